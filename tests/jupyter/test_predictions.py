"""Predictions pass unread, at a bounded size, and stop when the caller goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource

import pytest

from kale_serve_lab import paths
from kale_serve_lab.errors import EndpointNotFound
from kale_serve_lab.jupyter.fronts import Front

PATH = "/kale-serve/serving/default/tumour/v2/models/tumour/infer"
HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: %s\r\nX-Kale-Serve-Revision: 3\r\n"


@pytest.fixture
def upstream(home, jp_serverapp, jp_asyncio_loop):
    """A server of the test's own at the front socket of `tumour`; `start(answer)` gives it its behaviour."""
    running = []
    app = jp_serverapp.extension_manager.extension_points["kale_serve_lab"].app

    async def start(answer):
        path = str(paths.front_socket("default", "tumour"))
        tasks = set()

        async def serve(reader, writer):
            tasks.add(asyncio.current_task())
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                await answer(head, reader, writer)
            writer.close()

        running.append((await asyncio.start_unix_server(serve, path), tasks))
        app.fronts._kept[None, "default", "tumour"] = Front(path, "")

    yield start
    for server, tasks in running:
        server.close()
        for task in tasks:
            task.cancel()
        jp_asyncio_loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


@pytest.fixture
def predict(http_server_client, jp_base_url, jp_auth_header):
    async def post(body, kind="application/json", **more):
        headers = {**jp_auth_header, "Content-Type": kind, **more.pop("headers", {})}
        url = jp_base_url.rstrip("/") + PATH
        return await http_server_client.fetch(
            url, method="POST", headers=headers, body=body, raise_error=False, **more
        )

    return post


def _length(head):
    return int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[
            1
        ]
    )


async def test_bytes_arrive_as_they_were_sent_and_come_back_as_they_were_said(upstream, predict):
    heads = []

    async def echo(head, reader, writer):
        heads.append(head)
        body = await reader.readexactly(_length(head))
        length = b"Content-Length: %d\r\nInference-Header-Content-Length: 7\r\nSet-Cookie: a=b\r\n\r\n" % len(
            body
        )
        writer.write(HEAD % (200, b"application/octet-stream") + length + body)
        await writer.drain()

    await upstream(echo)
    body = b'{"a": 1e5 }\xff\x00\r\n' + os.urandom(200_000)
    answer = await predict(
        body, "application/octet-stream", headers={"Inference-Header-Content-Length": "11", "Cookie": "x=y"}
    )
    assert answer.code == 200
    assert answer.body == body
    assert answer.headers["Inference-Header-Content-Length"] == "7"
    assert answer.headers["X-Kale-Serve-Revision"] == "3"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"\r\nInference-Header-Content-Length: 11\r\n" in heads[0]
    assert heads[0].startswith(b"POST /v2/models/tumour/infer HTTP/1.1\r\n")
    # Who calls is Jupyter's to know; its token never leaves it.
    assert b"uthorization" not in heads[0] and b"ookie" not in heads[0]


async def test_a_large_body_costs_no_memory(upstream, jp_serverapp, jp_auth_header, jp_base_url, http_server):
    size, part = 100 << 20, bytes(1 << 20)
    counted = 0

    async def count(head, reader, writer):
        nonlocal counted
        assert _length(head) == size
        while counted < size:
            counted += len(await reader.read(1 << 16))
        writer.write(HEAD % (200, b"application/octet-stream") + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(part)):
            writer.write(part)
            await writer.drain()

    await upstream(count)
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {jp_base_url.rstrip('/')}{PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
    head += f"Content-Length: {size}\r\nAuthorization: {jp_auth_header['Authorization']}\r\nConnection: close\r\n\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    writer.write(head.encode())
    for _ in range(size // len(part)):
        writer.write(part)
        await writer.drain()
    assert b" 200 " in await reader.readline()
    received = 0
    while data := await reader.read(1 << 16):
        received += len(data)
    writer.close()
    assert counted == size
    assert received >= size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


@pytest.mark.parametrize(
    "said",
    [
        HEAD % (200, b"text/html") + b"Content-Length: 8\r\n\r\n<script>",
        HEAD % (302, b"application/json")
        + b"Location: http://169.254.169.254/\r\nContent-Length: 2\r\n\r\n{}",
        HEAD % (200, b"application/json") + b"Content-Length: 10737418240\r\n\r\n{",
        HEAD % (200, b"application/json") + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        HEAD % (200, b"application/json") + b"X: y\r\n" * 200 + b"\r\n",
        HEAD % (200, b"application/json") + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        HEAD % (200, b"application/json") + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"220 mail.example ESMTP\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_is_a_502(upstream, predict, said):
    async def say(head, reader, writer):
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    await upstream(say)
    answer = await predict(b"{}")
    assert answer.code == 502, answer.body
    assert json.loads(answer.body)["error"]["code"] == "UpstreamFailed"


async def test_a_models_own_error_is_passed_on(upstream, predict):
    error = b'{"error": {"code": "InvalidInput"}}'

    async def refuse(head, reader, writer):
        # Before the body has been read, as a server does that finds it too large.
        writer.write(HEAD % (413, b"application/json") + b"Content-Length: %d\r\n\r\n" % len(error) + error)
        await writer.drain()
        # As HTTP servers do: with unread bytes left, closing would reset the connection and lose the answer.
        while await reader.read(1 << 16):
            pass

    await upstream(refuse)
    answer = await predict(bytes(3 << 20))
    assert (answer.code, answer.body) == (413, error)


async def test_a_caller_that_goes_is_not_computed_for(upstream, jp_auth_header, jp_base_url, http_server):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def think(head, reader, writer):
        await reader.readexactly(2)
        asked.set()
        assert await reader.read() == b""
        gone.set()

    await upstream(think)
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {jp_base_url.rstrip('/')}{PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(
        f"{head}Content-Length: 2\r\nAuthorization: {jp_auth_header['Authorization']}\r\n\r\n{{}}".encode()
    )
    await asyncio.wait_for(asked.wait(), 10)
    writer.close()
    await asyncio.wait_for(gone.wait(), 10)


async def test_an_endpoint_that_is_not_there_is_named(predict):
    answer = await predict(b"{}")
    assert answer.code == 404
    assert json.loads(answer.body)["error"]["code"] == EndpointNotFound.__name__


async def test_a_service_of_a_cluster_is_asked_below_its_base(
    upstream, jp_serverapp, http_server_client, jp_base_url, jp_auth_header
):
    heads = []

    async def answer(head, reader, writer):
        heads.append(head.decode())
        writer.write(HEAD % (200, b"application/json") + b"Content-Length: 2\r\n\r\n{}")
        await writer.drain()

    await upstream(answer)
    fronts = jp_serverapp.extension_manager.extension_points["kale_serve_lab"].app.fronts
    here = fronts._kept[None, "default", "tumour"]
    fronts._kept["kserve", "default", "tumour"] = Front(here.socket, "", "/serving/default/tumour")

    async def post(query):
        url = jp_base_url.rstrip("/") + PATH + query
        headers = {**jp_auth_header, "Content-Type": "application/json"}
        return await http_server_client.fetch(
            url, method="POST", headers=headers, body=b"{}", raise_error=False
        )

    assert (await post("?target=kserve")).code == 200
    assert (await post("")).code == 200
    assert (await post("?target=http://evil")).code == 400
    assert [head.split(" ")[1] for head in heads] == [
        "/serving/default/tumour/v2/models/tumour/infer",
        "/v2/models/tumour/infer",
    ]
    # A change of the service, wherever it is, has all of its places looked up anew.
    fronts.on_event({"kind": "service", "namespace": "default", "name": "tumour", "target": "kserve"})
    assert not fronts._kept
