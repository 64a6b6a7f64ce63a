"""One request, one answer, over a connection that is kept: the lean way to a model server.

A request leaves in one `sendmsg` of its head and the callers' own buffers; its answer arrives in one buffer. Each thread
has a connection of its own, and a forked child opens new ones.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kale_serve_lab.endpoint.http1 import NothingRead, Reader, Response
from kale_serve_lab.errors import EndpointGone, Timeout

if TYPE_CHECKING:
    import ssl

# sendmsg takes at most IOV_MAX (1024 here and on macOS) buffers.
_MAX_VECTORS: Final = 512
_SMALL: Final = 65_536
MAX_BODY: Final = 1 << 30


@dataclass(frozen=True)
class Target:
    """Where a gRPC server listens: a Unix socket's path, or `host:port`."""

    address: str
    unix: bool = False
    tls: bool = False


class CannotConnect(Exception):  # noqa: N818
    """Nothing accepts connections at the address."""


class _Stale(Exception):  # noqa: N818
    """The connection ended before the server can have read the whole request."""


class _Connection:
    def __init__(self, sock: socket.socket, place: tuple[int, int, int] | None) -> None:
        self.sock = sock
        self.place = place
        self.reader = Reader(sock)
        self.pid = os.getpid()
        self.poll = select.poll()
        self.poll.register(sock, select.POLLIN)
        self.vectored = type(sock) is socket.socket
        self.used = False

    def __del__(self) -> None:
        self.sock.close()

    def ended(self) -> bool:
        """Whether the server has closed it, or sent what nobody asked for."""
        return self.pid != os.getpid() or not self.reader.idle or bool(self.poll.poll(0))

    def send(self, buffers: list[bytes | memoryview], deadline: float) -> None:
        if not self.vectored:
            # TLS has no vectors; each send is a record of its own, so what is small goes out together.
            if sum(len(buffer) for buffer in buffers) <= _SMALL:
                buffers = [b"".join(buffers)]
            for buffer in buffers:
                self.sock.sendall(buffer)
            return
        views = [memoryview(buffer) for buffer in buffers]
        first = 0
        while first < len(views):
            if time.monotonic() > deadline:
                raise Timeout("The request could not be sent in time.")
            sent = self.sock.sendmsg(views[first : first + _MAX_VECTORS])
            while first < len(views) and sent >= views[first].nbytes:
                sent -= views[first].nbytes
                first += 1
            if sent:
                views[first] = views[first][sent:]


class Transport:
    """Requests to one address: a Unix socket's path, or (host, port) with an optional TLS context."""

    def __init__(
        self, address: str | tuple[str, int], tls: ssl.SSLContext | None = None, *, max_body: int = MAX_BODY
    ) -> None:
        self.address = address
        self._tls = tls
        self._max_body = max_body
        self._local = threading.local()
        self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def request(self, head: bytes, buffers: Sequence[bytes | memoryview], timeout: float) -> Response:
        """Sends a head (ending in an empty line) and a body, and reads the answer; `timeout` in seconds is for both together.

        Raises `CannotConnect`, `Timeout`, `EndpointGone` (the answer did not come whole), `UpstreamFailed` (it is no HTTP).
        """
        deadline = time.monotonic() + timeout
        message: list[bytes | memoryview] = [head, *buffers]
        for attempt in (1, 2):
            connection = self._kept() or self._open(timeout)
            try:
                return self._exchange(connection, message, timeout, deadline)
            except _Stale:
                # Nothing of it was worked on, so sending it again cannot predict twice.
                if attempt == 2:
                    raise EndpointGone(
                        "The server closed the connection without an answer.",
                        hint="Look at the endpoint's logs.",
                    ) from None
        raise AssertionError

    def close(self) -> None:
        """Closes the connections of all threads; the next request opens a new one."""
        self._local = threading.local()
        for connection in list(self._all):
            connection.sock.close()

    def _exchange(
        self,
        connection: _Connection,
        message: list[bytes | memoryview],
        timeout: float,
        deadline: float,
    ) -> Response:
        keep = False
        reused, connection.used = connection.used, True
        try:
            connection.sock.settimeout(timeout)
            try:
                connection.send(message, deadline)
            except (BrokenPipeError, ConnectionResetError):
                # The server may have refused a part of the body and said why, before it closed.
                if connection.poll.poll(0):
                    return self._answer_to_part(connection, deadline)
                raise _Stale from None
            try:
                response = connection.reader.read(self._max_body, deadline)
            except (NothingRead, ConnectionResetError) as error:
                # A Unix socket resets only when the request was left unread; at its plain end it may have been worked on.
                if (isinstance(error, ConnectionResetError) and connection.sock.family == socket.AF_UNIX) or (
                    reused and connection.sock.family != socket.AF_UNIX
                ):
                    raise _Stale from None
                raise EndpointGone(
                    "The connection ended before the answer came.",
                    hint="The model server was stopped or crashed while it worked on this; look at the endpoint's logs.",
                ) from None
            keep = response.keep
            return response
        except TimeoutError:
            raise Timeout(
                f"No answer came within {timeout:g} s.",
                hint="Give predict(..., timeout=seconds) more, or send fewer rows.",
            ) from None
        except OSError as error:
            raise EndpointGone(f"The connection failed: {error.strerror or error}.") from error
        finally:
            if not keep:
                self._drop(connection)

    def _answer_to_part(self, connection: _Connection, deadline: float) -> Response:
        try:
            return connection.reader.read(self._max_body, deadline)
        except (NothingRead, OSError):
            raise _Stale from None

    def _kept(self) -> _Connection | None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and (connection.ended() or self._moved(connection)):
            self._drop(connection)
            return None
        return connection

    def _moved(self, connection: _Connection) -> bool:
        # The old revision would still answer this connection; after the switch its answers are wrong.
        place = self._place()
        return place is not None and place != connection.place

    def _place(self) -> tuple[int, int, int] | None:
        return place_of(self.address) if isinstance(self.address, str) else None

    def _drop(self, connection: _Connection) -> None:
        connection.sock.close()
        self._local.connection = None

    def _open(self, timeout: float) -> _Connection:
        # Before connecting: a switch in between is then seen as one at the next request.
        place = self._place()
        try:
            sock = self._connect(timeout)
        except TimeoutError:
            raise Timeout(f"No connection within {timeout:g} s.") from None
        except OSError as error:
            raise CannotConnect(error.strerror or str(error)) from error
        connection = _Connection(sock, place)
        self._all.add(connection)
        self._local.connection = connection
        return connection

    def _connect(self, timeout: float) -> socket.socket:
        if isinstance(self.address, str):
            return _connect_unix(self.address, timeout)
        plain = socket.create_connection(self.address, timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return (
                plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self.address[0])
            )
        except BaseException:
            plain.close()
            raise


def place_of(path: str) -> tuple[int, int, int] | None:
    """What tells the socket at the path from its successor, whose inode may be a used one; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (pathlib takes three times as long, for each request)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _connect_unix(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A full backlog turns a non-blocking connect away at once, so it waits in the kernel, with the kernel's timeout.
        whole, part = divmod(timeout, 1)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(whole), int(part * 1e6) or 1)
        )
        try:
            sock.connect(path)
        except BlockingIOError:
            raise TimeoutError from None
    except BaseException:
        sock.close()
        raise
    return sock
