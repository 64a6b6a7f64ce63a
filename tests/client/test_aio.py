"""The event loop's client against real servers on real Unix sockets."""

import asyncio
import contextlib
import socket

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.errors import NameTaken, UpstreamFailed


class Echo(tornado.web.RequestHandler):
    def post(self):
        self.set_header("X-Length", str(len(self.request.body)))
        self.write(self.request.body)


class Parts(tornado.web.RequestHandler):
    async def get(self):
        for part in (b"one\ntw", b"o\n", b"\nthree"):
            self.write(part)
            await self.flush()


class Refuse(tornado.web.RequestHandler):
    def get(self):
        self.set_status(409)
        self.write({"error": {"code": "NameTaken", "message": "It is there.", "subject": "iris"}})

    def delete(self):
        self.set_status(204)


@contextlib.asynccontextmanager
async def serving(path):
    app = tornado.web.Application([("/echo", Echo), ("/parts", Parts), ("/refuse", Refuse)])
    server = tornado.httpserver.HTTPServer(app)
    server.add_socket(tornado.netutil.bind_unix_socket(str(path)))
    try:
        yield AsyncClient(socket=path)
    finally:
        server.stop()
        await server.close_all_connections()


@contextlib.asynccontextmanager
async def answering(path, content):
    """A server that answers these bytes to whatever comes."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, str(path))
    async with server:
        yield AsyncClient(socket=path)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def test_answers_errors_and_nothing(tmp_path):
    async def go():
        async with serving(tmp_path / "s") as client:
            assert await client.request("POST", "/echo", {"a": [1, "ü"]}) == {"a": [1, "ü"]}
            assert await client.request("DELETE", "/refuse") is None
            with pytest.raises(NameTaken, match="It is there") as raised:
                await client.request("GET", "/refuse")
            assert raised.value.subject == "iris"

    run(go())


@pytest.mark.parametrize("length", [True, False])
def test_a_body_streams_through_with_a_length_or_in_chunks(tmp_path, length):
    async def go():
        async def body():
            for _ in range(64):
                yield b"x" * 100_000

        headers = {"Content-Length": str(6_400_000)} if length else {}
        async with (
            serving(tmp_path / "s") as client,
            client.stream("POST", "/echo", headers=headers, body=body()) as answer,
        ):
            assert answer.status == 200
            assert answer.headers["x-length"] == "6400000"
            assert len(await answer.read()) == 6_400_000

    run(go())


def test_lines_come_whole_however_they_were_cut(tmp_path):
    async def go():
        async with serving(tmp_path / "s") as client, client.stream("GET", "/parts") as answer:
            assert [line async for line in answer.lines()] == [b"one", b"two", b"", b"three"]

    run(go())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno json",
    ],
)
def test_an_answer_that_is_none_is_an_error(tmp_path, content):
    async def go():
        async with answering(tmp_path / "s", content) as client:
            with pytest.raises(UpstreamFailed):
                await client.request("GET", "/")

    run(go())


def test_nothing_can_be_smuggled_into_the_head(tmp_path):
    async def go():
        async with serving(tmp_path / "s") as client:
            for path, headers in (("/a b", {}), ("/a\r\nX: y", {}), ("/a", {"X": "y\r\nZ: 1"})):
                with pytest.raises(ValueError, match="single lines"):
                    async with client.stream("GET", path, headers=headers):
                        pass

    run(go())


def test_a_socket_where_nobody_listens_is_an_os_error(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        with pytest.raises(ConnectionRefusedError):
            run(AsyncClient(socket=tmp_path / "s").request("GET", "/"))


def test_the_daemon_is_started_and_its_events_followed(home):
    async def go():
        client = AsyncClient()
        sequence = (await client.request("GET", "/api/services"))["seq"]
        staging = home / "data" / "staging" / "00000000-0000-4000-8000-000000000000"
        staging.mkdir(parents=True)
        (staging / "features.csv").write_text("a\n1\n")
        events = client.events(sequence)
        following = asyncio.create_task(anext(events))
        body = {"type": "kale.Dataset", "name": "d", "staging": staging.name, "tags": {}}
        recorded = await client.request("POST", "/api/artifacts", body)
        event = await following
        assert (event["kind"], event["id"]) == ("artifact", recorded["id"])
        await events.aclose()

    run(go())
