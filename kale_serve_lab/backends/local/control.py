"""The daemon's end of a model server's control socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MAX_LINE = 1 << 20
_MAX_FDS = 2


class Control:
    """Newline-delimited JSON; every message is given to `received`. Nothing that a stranger sends raises here."""

    def __init__(self, connection: socket.socket, received: Callable[[dict[str, Any]], None]) -> None:
        self._connection = connection
        self._received = received
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._handed: asyncio.Future[list[socket.socket]] | None = None
        self.closed = False
        self._reads = 0
        self._loop.add_reader(connection, self._read)

    @classmethod
    async def connect(cls, path: Path, received: Callable[[dict[str, Any]], None]) -> Control:
        """Raises `OSError` where nobody listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, os.fspath(path))
        except BaseException:
            connection.close()
            raise
        return cls(connection, received)

    def send(self, kind: str) -> bool:
        """Whether the command could be sent."""
        if self.closed:
            return False
        try:
            self._connection.sendall(json.dumps({"type": kind}).encode() + b"\n")
        except OSError:
            return False
        return True

    async def listening_sockets(self) -> list[socket.socket]:
        """The server's listening sockets: HTTP's, and gRPC's where it has one. Raises `ConnectionError`."""
        self._handed = self._loop.create_future()
        if not self.send("socket"):
            raise ConnectionError("the control connection is closed")
        return await self._handed

    def read_rest(self) -> None:
        """Take what a server that has ended has left unread."""
        while not self.closed:
            before = self._reads
            self._read()
            if self._reads == before:
                return

    def close(self) -> None:
        """Hang up; the server goes on."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._connection)
            self._connection.close()
            if self._handed is not None and not self._handed.done():
                self._handed.set_exception(ConnectionError("the control connection ended"))

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._connection, 65536, _MAX_FDS)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._reads += 1
        if fds:
            self._take(fds)
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        for line in lines:
            message: Any = None
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line)
            if isinstance(message, dict) and not self.closed:
                self._received(message)
        if not data or len(self._buffer) > _MAX_LINE:
            self.close()

    def _take(self, fds: list[int]) -> None:
        if self._handed is None or self._handed.done():
            for fd in fds:
                os.close(fd)
        else:
            self._handed.set_result([socket.socket(fileno=fd) for fd in fds])
