"""The lines of an answer as they come, which another thread can end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kale_serve_lab.backends.kserve.cluster import Answer
from kale_serve_lab.backends.kserve.reaching import unreachable
from kale_serve_lab.errors import ClusterRefused, ClusterUnavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_BLOCK = 1 << 16
# An object may have 1.5 MiB in etcd, and twice that with its managed fields.
_LONGEST_LINE = 16 * 1024 * 1024
_LEAVE_SECONDS = 5.0


def allow_silence(response: BaseHTTPResponse, seconds: float) -> None:
    """Set how long a read of this answer may wait, whatever it was for its headers."""
    found = getattr(response.connection, "sock", None)
    if found is None:
        # An answer that ends with its connection has left it; its way to end it knows the socket.
        found = getattr(getattr(response, "_sock_shutdown", None), "__self__", None)
    if found is not None:
        found.settimeout(seconds)


class OpenLines:
    """See `cluster.Lines`. Without a `response` there are no lines."""

    def __init__(
        self,
        response: BaseHTTPResponse | None,
        answer: Answer,
        server: str,
        closed: Callable[[OpenLines], None],
    ) -> None:
        self.answer = answer
        self._response = response
        self._server = server
        self._tell_closed = closed
        self._reading = threading.Lock()
        self._closing = threading.Event()
        self._ended = response is None
        self._rest = b""
        self._ready: list[bytes] = []

    def __iter__(self) -> OpenLines:
        return self

    def __next__(self) -> bytes:
        with self._reading:
            while not self._ready:
                if self._ended or self._closing.is_set():
                    self._let_go()
                    raise StopIteration
                self._more()
            return self._ready.pop()

    def close(self) -> None:
        """Let go of the connection; a thread that waits for a line sees the end."""
        self._closing.set()
        response = self._response
        if response is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself, in any of its stages
                response.shutdown()
        if self._reading.acquire(timeout=_LEAVE_SECONDS):
            try:
                self._let_go()
            finally:
                self._reading.release()

    def _more(self) -> None:
        import urllib3

        response = self._response
        assert response is not None
        try:
            part = response.read1(_BLOCK)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._let_go()
            if self._closing.is_set():
                return
            raise self._lost(error) from None
        if not part:
            self._ended = True
            if self._rest:
                self._ready, self._rest = [self._rest], b""
            return
        *whole, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._let_go()
            raise ClusterRefused(f"{self._server} sends a line without an end.", subject=self._server)
        self._ready = whole[::-1]

    def _lost(self, error: BaseException) -> ClusterUnavailable:
        import urllib3

        if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
            return ClusterUnavailable(
                f"The API server at {self._server} has been silent for too long.",
                subject=self._server,
                details={"reason": "silent", "server": self._server},
            )
        return unreachable(error, self._server)

    def _let_go(self) -> None:
        self._ended = True
        response, self._response = self._response, None
        if response is not None:
            response.close()
        self._tell_closed(self)
