"""gRPC's bytes from the service's socket to the server behind: connections, not calls, are passed on.

What goes by is looked at only as far as HTTP/2's frame headers, to know how many calls are open: a revision that leaves tells
its clients so (GOAWAY) between two frames, and ends a connection when its last call has been answered. No call is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial

BACKLOG_QUIET_SECONDS = 0.1
_CHUNK_BYTES = 1 << 18
_PREFACE_BYTES = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_FRAME_BYTES = 9
_DATA, _HEADERS, _RESET = 0, 1, 3
_CONTINUATION = 9
_END_STREAM, _END_HEADERS = 0x1, 0x4
# Type 7, no flags, stream 0; every call that has begun is still answered (the highest number), no error.
_GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"


class Relay:
    """Accepts on `listener` and leads each connection to what `address()` gives: "unix:/path" or "127.0.0.1:port"."""

    def __init__(self, listener: socket.socket, address: Callable[[], Awaitable[str]]) -> None:
        self._address = address
        self._listener = listener
        self._listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._last_accept = time.monotonic()
        self._loop.add_reader(listener, self._accept)

    @property
    def in_flight(self) -> int:
        """Calls that are not answered yet."""
        return sum(connection.open_calls for connection in self._connections)

    async def drain(self) -> None:
        """Accept whoever still comes, have every client leave after its call; return when none is left."""
        self._last_accept = time.monotonic()
        await self._see_off()
        await self.close()

    async def finish_in_flight(self, seconds: float) -> None:
        """Accept no more; give the calls that are open this long."""
        self._loop.remove_reader(self._listener)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._see_off(), seconds)
        await self.close()

    async def _see_off(self) -> None:
        while self._connections or time.monotonic() - self._last_accept < BACKLOG_QUIET_SECONDS:
            for connection in list(self._connections):
                connection.say_goodbye()
            await asyncio.sleep(BACKLOG_QUIET_SECONDS / 2)

    async def close(self) -> None:
        """Hang up on everyone; the listening socket stays with whoever else holds it."""
        self._loop.remove_reader(self._listener)
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._last_accept = time.monotonic()
            connection = _Connection(accepted, self._address)
            task = self._loop.create_task(connection.run())
            self._connections[connection] = task
            task.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: _Connection, _: asyncio.Task[None]) -> None:
        del self._connections[connection]


class _Connection:
    """One client's connection and ours to the server."""

    def __init__(self, accepted: socket.socket, address: Callable[[], Awaitable[str]]) -> None:
        self._accepted = accepted
        self._address = address
        self._calls: set[int] = set()
        self._to_server = _Frames(_PREFACE_BYTES)
        self._to_client = _Frames(0)
        self._client: asyncio.StreamWriter | None = None
        self._leaving: float | None = None
        self._said = False
        self._last = time.monotonic()

    @property
    def open_calls(self) -> int:
        return len(self._calls)

    async def run(self) -> None:
        client_reader, self._client = await asyncio.open_unix_connection(sock=self._accepted)
        try:
            try:
                address = await self._address()
                if address.startswith("unix:"):
                    reader, writer = await asyncio.open_unix_connection(address[5:])
                else:
                    host, _, port = address.rpartition(":")
                    reader, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                return  # the client sees UNAVAILABLE and comes again
            try:
                ways = [
                    asyncio.ensure_future(self._upwards(client_reader, writer)),
                    asyncio.ensure_future(self._downwards(reader, self._client)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                writer.close()
        finally:
            self._client.close()

    def say_goodbye(self) -> None:
        """Tell the client to go elsewhere with its next call; hang up once its calls are answered."""
        now = time.monotonic()
        if not self._said and self._client is not None and self._to_client.at_border:
            self._said, self._leaving = True, now
            self._client.write(_GOAWAY)
        quiet = self._leaving is not None and now - max(self._leaving, self._last) > BACKLOG_QUIET_SECONDS
        if self._said and quiet and not self._calls and self._client is not None:
            self._client.close()

    async def _upwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            for kind, _, stream in self._to_server.feed(data):
                if kind == _HEADERS:
                    self._calls.add(stream)
                elif kind == _RESET:
                    self._calls.discard(stream)
            self._last = time.monotonic()
            writer.write(data)
            await writer.drain()

    async def _downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                for kind, flags, stream in self._to_client.feed(data):
                    if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                        self._calls.discard(stream)
                self._last = time.monotonic()
                writer.write(data)
                await writer.drain()


class _Frames:
    """Finds the frame headers in one direction of a connection, however its bytes are cut."""

    def __init__(self, skipped: int) -> None:
        self._skip = skipped
        self._head = bytearray()
        self._whole = False

    @property
    def at_border(self) -> bool:
        """Between two frames that another one may stand between: after the first, and not within a block of headers."""
        return self._whole and not self._skip and not self._head

    def feed(self, data: bytes) -> list[tuple[int, int, int]]:
        """Type, flags and stream of each frame that begins in `data`."""
        found = []
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            need = _FRAME_BYTES - len(self._head)
            self._head += data[at : at + need]
            at += need
            if len(self._head) == _FRAME_BYTES:
                head = bytes(self._head)
                self._head.clear()
                self._skip = int.from_bytes(head[:3], "big")
                self._whole = head[3] not in (_HEADERS, _CONTINUATION) or bool(head[4] & _END_HEADERS)
                found.append((head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF))
        return found
