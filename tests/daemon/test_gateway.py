"""The gateway: only with the token, only from no web page, and never two requests where one was meant."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest

from kale_serve_lab import paths
from kale_serve_lab.daemon.gateway import Gateway
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.errors import EndpointNotFound


class Front:
    """A server at the front socket that keeps all it was sent and answers as it is told."""

    def __init__(
        self, answer=b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Kale-Serve-Revision: 3\r\n\r\n{"ok":true}'
    ):
        self.answer, self.heads, self.bodies = answer, [], []

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            if "content-length" in fields:
                self.bodies.append(await reader.readexactly(int(fields["content-length"])))
            writer.write(self.answer)
            await writer.drain()
        writer.close()


def find(namespace, name, target):
    if (namespace, name) != ("default", "iris") or target not in (None, "local", "kserve"):
        raise EndpointNotFound("none")
    base = "/serving/default/iris" if target == "kserve" else ""
    return paths.front_socket("default", "iris"), base


def talk(home, *requests, front=None):
    """Send raw requests, each on a connection of its own; return the raw answers, the token put in for TOKEN."""

    async def run():
        gateway = Gateway(paths.data_dir(), None)
        idle = Idle(100, lambda: True, lambda: None)
        gateway.start(idle, find)
        server = front and await asyncio.start_unix_server(front.serve, paths.front_socket("default", "iris"))
        token = (paths.data_dir() / "token").read_bytes()
        answers = []
        try:
            for request in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                host = b"127.0.0.1:%d" % gateway.port
                writer.write(request.replace(b"TOKEN", token).replace(b"HOST", host))
                with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                    answers.append(await asyncio.wait_for(reader.read(), 10))
                writer.close()
                await writer.wait_closed()
        finally:
            if server:
                server.close()
                await server.wait_closed()
            await gateway.close()
            idle.close()
        return answers

    return asyncio.run(run())


GOOD = b"Host: HOST\r\nAuthorization: Bearer TOKEN\r\nConnection: close\r\n"
INFER = b"POST /serving/default/iris/v2/models/iris/infer HTTP/1.1\r\n"


def status(answer):
    return int(answer.split(b" ")[1]) if answer else 0


def test_a_prediction_goes_through_with_its_headers_and_without_the_token(home):
    front = Front()
    request = (
        INFER
        + GOOD
        + b"Inference-Header-Content-Length: 2\r\nCookie: a=b\r\nContent-Length: 5\r\n\r\n{}\0\1\2"
    )
    [answer] = talk(home, request, front=front)
    assert status(answer) == 200
    assert answer.endswith(b'{"ok":true}')
    assert b"X-Kale-Serve-Revision: 3" in answer
    assert b"nosniff" in answer
    assert front.bodies == [b"{}\0\1\2"]
    [head] = front.heads
    assert head.startswith("POST /v2/models/iris/infer HTTP/1.1\r\n")
    assert "Inference-Header-Content-Length: 2" in head
    assert "Bearer" not in head
    assert "Cookie" not in head


def test_nobody_gets_in_without_token_host_or_from_a_web_page(home):
    front = Front()
    get = b"GET /serving/default/iris/v2/health/ready HTTP/1.1\r\n"
    cases = {
        b"Host: HOST\r\n": 401,
        b"Host: HOST\r\nAuthorization: Bearer wrong\r\n": 401,
        b"Host: HOST\r\nAuthorization: Basic TOKEN\r\n": 401,
        b"Host: HOST\r\nAuthorization: Bearer \xc3\xa9\r\n": 401,
        b"Host: evil.com\r\nAuthorization: Bearer TOKEN\r\n": 403,
        b"Host: HOST\r\nAuthorization: Bearer TOKEN\r\nOrigin: http://evil.com\r\n": 403,
        b"Host: HOST\r\nAuthorization: Bearer TOKEN\r\nOrigin: null\r\n": 403,
    }
    answers = talk(home, *(get + fields + b"Connection: close\r\n\r\n" for fields in cases), front=front)
    assert [status(answer) for answer in answers] == list(cases.values())
    assert front.heads == []


def test_two_requests_where_one_was_meant_never_reach_the_endpoint(home):
    front = Front()
    smuggled = b"GET /v2/evil HTTP/1.1\r\nHost: x\r\n\r\n"
    frames = [
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled,
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled,
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled,
        b"Content-Length: +5\r\n\r\nhello" + smuggled,
        b"Content-Length: 5_0\r\n\r\nhello" + smuggled,
        b"Content-Length: -1\r\n\r\n" + smuggled,
        b"X: a\r\n\tfolded: b\0\r\n\r\n" + smuggled,
    ]
    answers = talk(home, *(INFER + GOOD + frame for frame in frames), front=front)
    assert [status(answer) for answer in answers] == [400] * len(frames), answers
    assert not any("evil" in head for head in front.heads)


def test_paths_that_lead_elsewhere_are_refused(home):
    front = Front()
    targets = {
        b"/serving/default/iris/v2/../../x": 400,
        b"/serving/default/iris/v2/%2e%2e/x": 400,
        b"/serving/default/iris/v2//x": 400,
        b"/serving/default/iris/v2/a%00b": 400,
        b"/serving/default/other/v2": 404,
        b"/serving/default/..%2firis/v2": 404,
        b"/serving/default/iris/v3/x": 404,
        b"/serving/default/iris/metrics": 404,
        b"http://evil.com/serving/default/iris/v2": 404,
        b"//evil.com/v2": 404,
    }
    answers = talk(
        home, *(b"GET " + target + b" HTTP/1.1\r\n" + GOOD + b"\r\n" for target in targets), front=front
    )
    got = [status(answer) for answer in answers]
    assert all(code in {400, 404} for code in got), dict(zip(targets, got, strict=True))
    assert front.heads == []


def test_an_endpoint_that_is_not_there_or_misbehaves_is_told_as_such(home):
    request = INFER + GOOD + b"Content-Length: 2\r\n\r\n{}"
    [answer] = talk(home, request)
    assert (status(answer), json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]) == (
        503,
        "EndpointNotReady",
    )
    for bad, code in [
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.com\r\nContent-Length: 0\r\n\r\n", 502),
        (b"not http at all\r\n\r\n", 502),
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", 502),
    ]:
        [answer] = talk(home, request, front=Front(bad))
        assert status(answer) == code, answer
    [answer] = talk(home, request, front=Front(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
    assert answer.endswith(b"short")
    assert b"error" not in answer


def test_the_port_is_kept_where_it_is_free(home):
    one = Gateway(paths.data_dir(), None)
    port = one.port
    two = Gateway(paths.data_dir(), port)
    assert two.port != port

    async def close():
        await one.close()
        await two.close()

    asyncio.run(close())
    three = Gateway(paths.data_dir(), port)
    assert three.port == port
    asyncio.run(three.close())
    with pytest.raises(ConnectionRefusedError), socket.socket() as client:
        client.connect(("127.0.0.1", port))


def test_a_service_of_a_cluster_is_asked_below_its_base(home):
    front = Front()
    asked = b"GET /serving/default/iris/v2/models/iris?target=kserve&x=1 HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer TOKEN\r\nConnection: close\r\n\r\n"
    there, unknown = talk(home, asked, asked.replace(b"kserve", b"mars"), front=front)
    assert there.startswith(b"HTTP/1.1 200")
    assert front.heads[0].startswith("GET /serving/default/iris/v2/models/iris?x=1 HTTP/1.1")
    assert unknown.startswith(b"HTTP/1.1 404")
    assert len(front.heads) == 1
