"""A followed log arrives as it is written, with a sign of life in between, and ends when the browser goes."""

from __future__ import annotations

import asyncio
import json

from kale_serve_lab.client.aio import AsyncClient


async def test_a_log_is_followed(home, jp_serverapp, jp_auth_header, jp_base_url, http_server):
    app = jp_serverapp.extension_manager.extension_points["kale_serve_lab"].app
    app.heartbeat_seconds = 0.05
    more, gone = asyncio.Event(), asyncio.Event()

    async def daemon(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nloaded\n\xc3")
        await more.wait()
        writer.write(b"\xa9\n")
        assert await reader.read() == b""
        gone.set()
        writer.close()

    server = await asyncio.start_unix_server(daemon, str(home / "d.sock"))
    app.client = AsyncClient(home / "d.sock")
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"{jp_base_url}kale-serve/api/services/tumour/logs?follow=1"
    token = jp_auth_header["Authorization"]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b"text/event-stream" in head
    assert b"X-Accel-Buffering: no" in head
    first = await asyncio.wait_for(reader.readuntil(b": \n\n"), 10)
    assert f"data: {json.dumps({'text': 'loaded' + chr(10)})}".encode() in first
    more.set()
    await asyncio.wait_for(reader.readuntil(json.dumps({"text": "é\n"}).encode()), 10)
    writer.close()
    await asyncio.wait_for(gone.wait(), 10)
    server.close()
