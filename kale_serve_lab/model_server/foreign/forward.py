"""The way to the child: HTTP/1.1 over a Unix socket or loopback, connections kept, bodies never looked into."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.errors import EndpointGone, EndpointNotReady, Timeout, UpstreamFailed
from kale_serve_lab.model_server.http import Buffer

_MAX_HEADER_BYTES = 64 * 1024
_KEPT = 32
_NO_BODY = (204, 304)

Address = tuple[str, int] | Path
_Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """Status, headers by their lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Stale(Exception):  # noqa: N818
    """A kept connection was closed before the answer began: the request may be sent again."""


class _NoHttp(Exception):  # noqa: N818
    """What came is no HTTP, or above the bounds; the text says which."""


class Forwarder:
    """Sends requests to one server; to be used in one event loop. `server` names it in errors.

    `host` is the Host header; `seconds` bounds the time to an answer's head.
    """

    def __init__(
        self,
        address: Address,
        *,
        service: str,
        server: str,
        max_body_bytes: int,
        host: str = "localhost",
        tls: ssl.SSLContext | None = None,
        seconds: float | None = None,
    ) -> None:
        self._host = host
        self._tls = tls
        self._seconds = seconds
        self._address = address
        self._service = service
        self._server = server
        self._max_body_bytes = max_body_bytes
        self._kept: list[_Wire] = []

    async def send(
        self,
        method: str,
        target: str,
        buffers: Sequence[Buffer] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request.

        Raises `EndpointNotReady` where nobody listens, `EndpointGone` where the connection ends early, and `UpstreamFailed`
        for what is no HTTP or beyond the bounds.
        """
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        request = ["\r\n".join(lines).encode("latin-1") + b"\r\n\r\n", *buffers]
        while self._kept:
            reader, writer = self._kept.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            # Predictions change nothing, so the one that met a connection's end goes out again, on a fresh one.
            with contextlib.suppress(_Stale):
                return await self._exchange((reader, writer), request, kept=True)
        try:
            wire = await self._connect()
        except OSError as error:
            raise EndpointNotReady(
                f"{self._service}: {self._server} takes no connections ({error.strerror or error}).",
                subject=self._service,
                hint="It may be starting again; try in a moment.",
            ) from error
        return await self._exchange(wire, request, kept=False)

    def close(self) -> None:
        """Hang up."""
        while self._kept:
            self._kept.pop()[1].close()

    async def _connect(self) -> _Wire:
        if isinstance(self._address, Path):
            return await asyncio.open_unix_connection(self._address, limit=_MAX_HEADER_BYTES)
        host, port = self._address
        return await asyncio.open_connection(host, port, ssl=self._tls, limit=_MAX_HEADER_BYTES)

    async def _exchange(self, wire: _Wire, request: list[Buffer], *, kept: bool) -> Answer:
        reader, writer = wire
        keep = False
        try:
            writer.writelines(request)
            try:
                status, headers = await asyncio.wait_for(self._head(reader), self._seconds)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                if kept and not getattr(error, "partial", b""):
                    raise _Stale from error
                raise
            body, framed = await self._body(reader, status, headers)
            keep = framed and "close" not in headers.get("connection", "").lower() and len(self._kept) < _KEPT
        except asyncio.TimeoutError as error:
            raise Timeout(
                f"{self._service}: {self._server} has not answered within {self._seconds:g} s.",
                subject=self._service,
            ) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EndpointGone(
                f"{self._service}: {self._server} ended the connection before it had answered.",
                subject=self._service,
                hint="Its log says why; a server that has ended is started again by itself.",
            ) from error
        except (_NoHttp, KeyError, ValueError, asyncio.LimitOverrunError) as error:
            what = error if isinstance(error, _NoHttp) else "it is no HTTP"
            raise UpstreamFailed(
                f"{self._service}: {self._server}'s answer cannot be passed on: {what}.",
                subject=self._service,
                hint="Its log may say what went wrong.",
            ) from error
        finally:
            if keep:
                self._kept.append(wire)
            else:
                writer.close()
        return Answer(status, headers, body)

    async def _head(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        while True:
            try:
                raw = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                raise _NoHttp(f"its headers have more than {_MAX_HEADER_BYTES} bytes") from error
            status, headers = _parse(raw)
            if status >= 200:
                return status, headers

    async def _body(
        self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]
    ) -> tuple[bytes, bool]:
        """The body, and whether its end was said (otherwise it was the connection's)."""
        if status in _NO_BODY:
            return b"", True
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self._chunks(reader), True
        if "content-length" in headers:
            length = headers["content-length"]
            if not length.isascii() or not length.isdigit():
                raise _NoHttp("its length is no number")
            self._check(int(length[:20]))
            return await reader.readexactly(int(length)), True
        parts = bytearray()
        while part := await reader.read(_MAX_HEADER_BYTES):
            parts += part
            self._check(len(parts))
        return bytes(parts), False

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = bytearray()
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0].strip()[:16], 16)
            if size < 0:
                raise _NoHttp("a part's length is no number")
            self._check(len(body) + size)
            if not size:
                break
            body += await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise _NoHttp("its parts do not fit together")
        trailers = 0
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            trailers += len(line)
            if trailers > _MAX_HEADER_BYTES:
                raise _NoHttp("its trailers do not end")
        return bytes(body)

    def _check(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise _NoHttp(f"it has {size} bytes or more, above the {self._max_body_bytes} that are taken")


def _parse(raw: bytes) -> tuple[int, dict[str, str]]:
    start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = start.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise _NoHttp("it is no HTTP")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(rest[:3]), headers
