"""HTTP over a Unix socket, as both the calls and the start of the daemon need it."""

from __future__ import annotations

import http.client
import os
import socket


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str | os.PathLike[str], timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        # http.client forgets its own once an answer says that the connection ends with it.
        self.socket: socket.socket | None = None
        self._path = os.fspath(path)

    def connect(self) -> None:
        """Raises `FileNotFoundError` or `ConnectionRefusedError` where nobody listens."""
        self.socket = self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise
