"""HTTP/1.1 on the inherited socket: accept, bound, answer, drain. Knows nothing about models.

Built on tornado's connection, below its web framework: a prediction's answer is one header block and a few buffers, and the
framework's routing would cost as much as a small model's prediction.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tornado import httputil, iostream
from tornado.http1connection import HTTP1ConnectionParameters, HTTP1ServerConnection

from kale_serve_lab.errors import InvalidInput, KaleServeError

Buffer = bytes | bytearray | memoryview

# How long a draining server waits for a client that holds an idle connection. A client that comes back later finds its
# connection closed while idle, which HTTP clients expect of any server.
IDLE_WHILE_DRAINING_SECONDS = 10.0
# A client may have looked up the old socket's path just before the rename and connect just after: the backlog counts as
# empty only when nobody has come for this long.
QUIET_BEFORE_LEAVING_SECONDS = 0.1
_ACCEPTS_A_TURN = 64
_CHUNK_BYTES = 1 << 20
# Tornado makes a buffer of the full size for each read, which for a small request costs more than reading it.
_SMALL_CHUNK_BYTES = 1 << 16
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_JOIN_BELOW = 16 * 1024


@dataclass(frozen=True)
class Request:
    """A whole request; `body` is one buffer."""

    method: str
    path: str
    headers: httputil.HTTPHeaders
    body: Buffer


@dataclass(frozen=True)
class Response:
    """Status, headers and the body as buffers that go out as they are."""

    status: int
    buffers: Sequence[Buffer] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """A JSON body."""
        return cls(
            status, (json.dumps(value).encode(),), {"Content-Type": "application/json", **(headers or {})}
        )

    @classmethod
    def of_error(
        cls, error: KaleServeError, status: int | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """The error's JSON with its own status."""
        return cls.of_json(error.to_prediction_json(), status or error.http_status, headers)


Answer = Callable[[Request, Callable[[Response], None]], None]


class HttpServer(httputil.HTTPServerConnectionDelegate):
    """Accepts on a listening socket and answers by `answer(request, respond)`; all in the event loop's thread."""

    def __init__(
        self, listener: socket.socket, answer: Answer, *, headers: dict[str, str], max_body_bytes: int
    ) -> None:
        self.answer = answer
        self.headers = headers
        self.max_body_bytes = max_body_bytes
        # Whoever starts an end sets it first: each connection then closes after its answer.
        self.draining = False
        self.in_flight = 0
        self._none_in_flight = asyncio.Event()
        self._listener = listener
        self._listener.setblocking(False)
        self._parameters = HTTP1ConnectionParameters(chunk_size=_CHUNK_BYTES, max_body_size=max_body_bytes)
        # Connection -> when it last became idle; None while it has a request.
        self._idle_since: dict[HTTP1ServerConnection, float | None] = {}
        self._last_accept = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._last_accept = time.monotonic()
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = iostream.IOStream(
                accepted,
                max_buffer_size=max(self.max_body_bytes, 1 << 20),
                read_chunk_size=_SMALL_CHUNK_BYTES,
            )
            connection = HTTP1ServerConnection(stream, self._parameters)
            self._idle_since[connection] = time.monotonic()
            connection.start_serving(self)

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Tornado's call at the start of each request of a connection."""
        return _Exchange(self, server_conn, request_conn)  # type: ignore[arg-type]

    def on_close(self, server_conn: object) -> None:
        """Tornado's call when a connection has ended."""
        self._idle_since.pop(server_conn, None)  # type: ignore[call-overload]

    def began(self, connection: HTTP1ServerConnection) -> None:
        """A request's headers have come."""
        self.in_flight += 1
        self._none_in_flight.clear()
        self._idle_since[connection] = None

    def ended(self, connection: HTTP1ServerConnection) -> None:
        """Its answer is written, or its connection gone."""
        self.in_flight -= 1
        if not self.in_flight:
            self._none_in_flight.set()
        if connection in self._idle_since:
            self._idle_since[connection] = time.monotonic()

    async def drain(self) -> None:
        """Answer everyone who has come or still comes, close each connection after its answer; return when none is left."""
        self._last_accept = time.monotonic()
        while True:
            now = time.monotonic()
            if not self._idle_since and now - self._last_accept >= QUIET_BEFORE_LEAVING_SECONDS:
                break
            for connection, idle_since in list(self._idle_since.items()):
                if idle_since is not None and now - idle_since > IDLE_WHILE_DRAINING_SECONDS:
                    connection.stream.close()
            await asyncio.sleep(QUIET_BEFORE_LEAVING_SECONDS / 2)
        self.stop_accepting()

    async def finish_in_flight(self, seconds: float) -> None:
        """Accept no more, and give the requests that are being answered this long."""
        self.stop_accepting()
        if self.in_flight:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._none_in_flight.wait(), seconds)

    def stop_accepting(self) -> None:
        """Leave the listening socket to whoever else holds it."""
        self._loop.remove_reader(self._listener)


class _Exchange(httputil.HTTPMessageDelegate):
    """One request and its answer."""

    def __init__(self, server: HttpServer, connection: HTTP1ServerConnection, wire: Any) -> None:
        self._server = server
        self._connection = connection
        self._wire = wire
        self._chunks: list[bytes] = []
        self._method = self._path = ""
        self._headers: httputil.HTTPHeaders | None = None
        self._open = False

    def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        self._method, self._path, self._headers = start_line.method, start_line.path, headers
        self._open = True
        self._server.began(self._connection)
        length = headers.get("Content-Length")
        if length is None:
            return
        large = len(length) > len(str(_SMALL_CHUNK_BYTES))
        stream = self._connection.stream
        stream.read_chunk_size = min(
            _CHUNK_BYTES if large else _SMALL_CHUNK_BYTES, stream.max_buffer_size // 2
        )
        if "," in length or "Transfer-Encoding" in headers:
            # Two parties that count differently would see different requests in the bytes that follow.
            self._refuse(InvalidInput("The request says its body's length twice.", subject=self._path), 400)
        elif not length.isascii() or not length.isdigit():
            self._refuse(InvalidInput("Content-Length is not a number.", subject=self._path), 400)
        elif int(length[:20]) > self._server.max_body_bytes:
            self._refuse(
                InvalidInput(
                    f"The request's body has {length[:20]} bytes; at most {self._server.max_body_bytes} are taken.",
                    subject=self._path,
                    hint="Send the rows in several requests.",
                ),
                413,
            )

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        if not self._open:
            return
        assert self._headers is not None
        chunks, self._chunks = self._chunks, []
        # A bytearray, because arrays are views of it and models may write into what they are given.
        body = bytearray().join(chunks)
        self._server.answer(Request(self._method, self._path, self._headers, body), self.respond)

    def on_connection_close(self) -> None:
        self._end()

    def respond(self, response: Response) -> None:
        """Write the answer; a client that has gone is nobody's error."""
        if not self._open:
            return
        stream = self._connection.stream
        if stream.closed():
            self._end()
            return
        headers = httputil.HTTPHeaders(self._server.headers)
        for name, value in response.headers.items():
            headers[name] = value
        # A typed view's len() counts items; the wire counts bytes.
        body = [buffer.cast("B") if isinstance(buffer, memoryview) else buffer for buffer in response.buffers]
        size = sum(map(len, body))
        headers["Content-Length"] = str(size)
        if self._server.draining:
            self._wire.no_keep_alive = True
            self._wire._disconnect_on_finish = True  # noqa: SLF001 (decided by tornado when the request came)
        start = httputil.ResponseStartLine(
            "HTTP/1.1", response.status, _REASONS.get(response.status, "Unknown")
        )
        if self._method == "HEAD":
            self._wire.write_headers(start, headers)
        elif size <= _JOIN_BELOW:
            self._wire.write_headers(start, headers, b"".join(body))
        else:
            self._wire.write_headers(start, headers)
            for buffer in body:
                self._wire.write(buffer)
        self._wire.finish()
        self._end()

    def _refuse(self, error: KaleServeError, status: int) -> None:
        self._wire._disconnect_on_finish = True  # noqa: SLF001 (what follows on this connection cannot be trusted)
        self.respond(Response.of_error(error, status))
        raise httputil.HTTPInputError(error.message)

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._server.ended(self._connection)
