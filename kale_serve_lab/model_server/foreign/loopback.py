"""A port on this machine that leads to a Unix socket, for programs that know nothing but host and port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path

_CHUNK_BYTES = 1 << 16


def lead_to(path: Path) -> str:
    """`127.0.0.1:PORT`, whose connections end at `path` until this process ends."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    host, port = listener.getsockname()

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                behind_reader, behind_writer = await asyncio.open_unix_connection(path)
                await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))
            writer.close()

        server = await asyncio.start_server(connected, sock=listener)
        await server.serve_forever()

    threading.Thread(target=asyncio.run, args=(serve(),), name="kale-serve-loopback", daemon=True).start()
    return f"{host}:{port}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
