"""The daemon's API for callers that wait: the SDK, the command line, a notebook."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.client import answers
from kale_serve_lab.client.connection import UnixConnection
from kale_serve_lab.errors import DaemonUnavailable

# The daemon sends a heartbeat every 15 s.
_SILENCE_SECONDS = 45
_NOT_THERE = (FileNotFoundError, ConnectionRefusedError)
_GONE = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)


class Client:
    """Calls the daemon, starting it where it does not run. Safe to share between threads: it holds no connection."""

    def __init__(self, *, timeout_seconds: float = 60, start: bool = True) -> None:
        self._timeout = timeout_seconds
        self._start = start
        self._checked = False

    def request(
        self, method: str, path: str, body: Any = None, *, timeout_seconds: float | None = None
    ) -> Any:
        """The decoded JSON answer, None where it has none.

        Raises the daemon's own error; `DaemonUnavailable` where it cannot be reached or started, `Timeout` is the
        daemon's. Without `start=True` a daemon that does not run is an error too.
        """
        call = f"{method} {path}"
        connection, response = self._open(method, path, body, timeout_seconds or self._timeout)
        with closing(connection), closing(response):
            try:
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise _went_away(call, error) from error
        return answers.decode(response.status, content, call)

    def stream(self, path: str) -> Generator[bytes, None, None]:
        """The parts of a streamed answer (logs) as they come; close the iterator to end it."""
        connection, response = self._open("GET", path, None, None)
        with closing(connection), closing(response):
            try:
                if response.status >= 300:
                    answers.decode(response.status, response.read(), f"GET {path}")
                while part := response.read1(1 << 16):
                    yield part
            except (OSError, http.client.HTTPException) as error:
                raise _went_away(f"GET {path}", error) from error

    def events(self, since: int, *, until: float | None = None) -> Generator[dict[str, Any], None, None]:
        """Each change after the sequence number `since`, until the iterator is closed or `time.monotonic()` reaches `until`.

        Raises `DaemonUnavailable` when the daemon goes away or not even its heartbeat comes.
        """
        path = f"/api/events?since={since}"
        connection, response = self._open("GET", path, None, _SILENCE_SECONDS)
        with closing(connection), closing(response):
            try:
                if response.status >= 300:
                    answers.decode(response.status, response.read(), f"GET {path}")
                while True:
                    left = (
                        _SILENCE_SECONDS if until is None else min(_SILENCE_SECONDS, until - time.monotonic())
                    )
                    if left <= 0:
                        return
                    if connection.socket is not None:
                        connection.socket.settimeout(left)
                    line = response.readline()
                    if not line:
                        return
                    if line.strip():
                        yield json.loads(line)
            except TimeoutError as error:
                if until is not None and time.monotonic() >= until:
                    return
                raise _went_away(f"GET {path}", error) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _went_away(f"GET {path}", error) from error

    def _open(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float | None,
    ) -> tuple[UnixConnection, http.client.HTTPResponse]:
        if self._start and not self._checked:
            self._ensure()
        # What only reads may be sent twice; of anything else nobody knows how far it came.
        retried = (*_NOT_THERE, *_GONE) if method == "GET" else _NOT_THERE
        try:
            return self._send(method, path, body, timeout)
        except retried as error:
            if not self._start:
                raise DaemonUnavailable(
                    "The Kale Serve daemon is not running.",
                    hint="Any call of the SDK starts it.",
                ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _went_away(f"{method} {path}", error) from error
        # It has left (idle) or died since the last call.
        self._ensure()
        try:
            return self._send(method, path, body, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise _went_away(f"{method} {path}", error) from error

    def _ensure(self) -> None:
        from kale_serve_lab.client.start import ensure_daemon

        ensure_daemon()
        self._checked = True

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float | None,
    ) -> tuple[UnixConnection, http.client.HTTPResponse]:
        connection = UnixConnection(paths.daemon_socket(), timeout)
        try:
            content = None if body is None else answers.encode(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, content, headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise


def _went_away(call: str, error: Exception) -> DaemonUnavailable:
    how = (
        "did not answer in time"
        if isinstance(error, TimeoutError)
        else f"went away during the call ({error})"
    )
    return DaemonUnavailable(
        f"The Kale Serve daemon {how}: {call}.",
        subject=call,
        hint=f"Try again; its log is {paths.data_dir() / 'logs' / 'daemon.log'}.",
    )
