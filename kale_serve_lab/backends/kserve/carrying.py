"""Requests to a service's address: HTTP/1.1 over connections that are kept, bodies streamed both ways and never looked into.

Bounds hold for whatever answers: the head's size, the body's length, the time to the first byte, the silence between two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kale_serve_lab.backends.kserve.tunnel import Proxy, ProxyRefused, through
from kale_serve_lab.endpoint.http1 import MAX_HEAD, parse_head
from kale_serve_lab.errors import EndpointGone, Timeout, UpstreamFailed

MAX_ANSWER: Final = 1 << 30
HEAD_SECONDS: Final = 600.0
SILENCE_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 3.0
_PART: Final = 1 << 16
_KEPT: Final = 16
_IDLE_SECONDS: Final = 30.0

Body = AsyncIterator[bytes] | bytes | None
_Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Door:
    """Where requests for a service go in: IP addresses that were checked, and what is said there.

    `host` is the Host header, `server_name` what the certificate must be for, `prefix` what stands before /v1 or /v2. With
    a `proxy`, `ips` may be a name.
    """

    ips: tuple[str, ...]
    port: int
    host: str
    prefix: str = ""
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: Proxy | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def line(self) -> tuple[object, ...]:
        """What one connection can be used for."""
        return (self.ips, self.port, id(self.tls), self.server_name, self.proxy and self.proxy.url)


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Body
    seconds: float


class NotConnected(Exception):  # noqa: N818
    """No connection came about: nothing of the request was sent."""


class _Stale(Exception):  # noqa: N818
    """A kept connection was closed before the answer began."""


class Answer:
    """The head of an answer; `parts()` gives its body as it comes. `status` and `headers` (names in lower case) are the server's."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader, most: int) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader
        self._most = most
        self.whole = False
        self._held: tuple[bytes, AsyncIterator[bytes]] | None = None

    def put_back(self, start: bytes, rest: AsyncIterator[bytes]) -> None:
        """What was read of the body comes again, before the rest of it."""
        self._held = (start, rest)

    def check(self) -> None:
        """Refuse a body that cannot be passed on, before any of it is read. Raises `UpstreamFailed`."""
        coding = self.headers.get("content-encoding", "identity").lower()
        if coding != "identity":
            raise UpstreamFailed(
                f"The answer came with the content coding {coding[:40]!r}, which was not asked for."
            )
        transfer, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if transfer is not None and (length is not None or transfer.strip().lower() != "chunked"):
            raise UpstreamFailed("The answer's framing is ambiguous.")
        if length is not None:
            if not length.isascii() or not length.isdigit() or len(length) > 18:
                raise UpstreamFailed(f"The answer's Content-Length is {length[:40]!r}.")
            self._bound(int(length))

    async def parts(self) -> AsyncIterator[bytes]:
        """The body in pieces of at most 64 KiB. Raises `UpstreamFailed` (too long, malformed), `EndpointGone`, `Timeout`."""
        if self._held is not None:
            start, rest = self._held
            self._held = None
            if start:
                yield start
            async for part in rest:
                yield part
            return
        self.check()
        if self.status in (204, 304):
            self.whole = True
            return
        if "transfer-encoding" in self.headers:
            async for part in self._chunks():
                yield part
            self.whole = True
        elif "content-length" in self.headers:
            async for part in self._exactly(int(self.headers["content-length"])):
                yield part
            self.whole = True
        else:
            count = 0
            while part := await _timed(self._reader.read(_PART)):
                count += len(part)
                self._bound(count)
                yield part

    async def _exactly(self, left: int) -> AsyncIterator[bytes]:
        while left:
            part = await _timed(self._reader.read(min(_PART, left)))
            if not part:
                raise EndpointGone(f"The connection ended {left} bytes before the answer's end.")
            left -= len(part)
            yield part

    async def _chunks(self) -> AsyncIterator[bytes]:
        count = 0
        while True:
            digits = (await self._line()).partition(b";")[0].strip()
            if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
                raise UpstreamFailed("The answer's chunks are malformed.")
            size = int(digits, 16)
            count += size
            self._bound(count)
            if size == 0:
                break
            async for part in self._exactly(size):
                yield part
            if await self._line():
                raise UpstreamFailed("The answer's chunks are malformed.")
        trailers = 0
        while line := await self._line():
            trailers += len(line)
            if trailers > MAX_HEAD:
                raise UpstreamFailed("The answer's trailers do not end.")

    async def _line(self) -> bytes:
        try:
            return (await _timed(self._reader.readuntil(b"\n"))).rstrip(b"\r\n")
        except asyncio.IncompleteReadError as error:
            raise EndpointGone("The connection ended in the middle of the answer.") from error
        except asyncio.LimitOverrunError as error:
            raise UpstreamFailed("A line of the answer's framing does not end.") from error

    def _bound(self, size: int) -> None:
        if size > self._most:
            raise UpstreamFailed(
                f"The answer is larger than {self._most} bytes.", hint="Predict fewer rows at a time."
            )


class Wires:
    """Connections to doors, kept; belongs to one event loop."""

    def __init__(self, *, most: int = MAX_ANSWER, head_seconds: float = HEAD_SECONDS) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._kept: dict[tuple[object, ...], list[tuple[_Wire, float]]] = {}

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        door: Door,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body = None,
        *,
        seconds: float | None = None,
    ) -> AsyncIterator[Answer]:
        """Sends a request and gives its answer, whose body is to be read inside the block.

        An iterator's body goes out with the Content-Length of `headers`, chunked without. Raises `NotConnected` (nothing was
        sent), `EndpointGone`, `Timeout` (`seconds` to the answer's head), `UpstreamFailed`.
        """
        request = _Request(method, path, headers, body, seconds or self._head_seconds)
        wire, kept = await self._wire(door, fresh=body is not None and not isinstance(body, bytes))
        sending: asyncio.Task[None] | None = None
        keep = False
        try:
            try:
                sending, answer = await self._asked(wire, door, request, kept=kept)
            except _Stale:
                wire[1].close()
                wire = await self._connect(door)
                sending, answer = await self._asked(wire, door, request, kept=False)
            yield answer
            keep = answer.whole and "close" not in answer.headers.get("connection", "").lower()
            keep = keep and (sending is None or sending.done())
        finally:
            if sending is not None:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await sending
            if keep:
                self._keep(door, wire)
            else:
                wire[1].close()

    async def close(self) -> None:
        """Hang up."""
        for wires in self._kept.values():
            for wire, _ in wires:
                # Nothing is under way by it, and a farewell by TLS would outlast the loop.
                wire[1].transport.abort()
        self._kept.clear()

    async def _wire(self, door: Door, *, fresh: bool) -> tuple[_Wire, bool]:
        # A streamed body cannot be sent twice, so it goes by a connection of which nobody can have hung up unseen.
        now = asyncio.get_running_loop().time()
        waiting = self._kept.get(door.line, [])
        while waiting and not fresh:
            wire, since = waiting.pop()
            if wire[0].at_eof() or wire[1].is_closing() or now - since > _IDLE_SECONDS:
                wire[1].close()
                continue
            return wire, True
        return await self._connect(door), False

    def _keep(self, door: Door, wire: _Wire) -> None:
        kept = self._kept.setdefault(door.line, [])
        if len(kept) >= _KEPT:
            wire[1].close()
            return
        kept.append((wire, asyncio.get_running_loop().time()))

    async def _connect(self, door: Door) -> _Wire:
        why = "no address"
        for ip in door.ips:
            try:
                return await asyncio.wait_for(_opened(door, ip), _CONNECT_SECONDS)
            except asyncio.TimeoutError:
                why = f"{ip}:{door.port} takes no connection within {_CONNECT_SECONDS:g} s"
            except ssl.SSLCertVerificationError as error:
                why = f"its certificate is not trusted ({error.verify_message})"
            except ssl.SSLError as error:
                why = f"{ip}:{door.port} does not speak TLS as it should ({error.reason})"
            except ProxyRefused as error:
                why = f"the proxy {door.proxy and door.proxy.url} does not let us through: {error}"
            except OSError as error:
                # asyncio has words of its own for it, which say less.
                why = f"{ip}:{door.port}: {os.strerror(error.errno) if error.errno else error}"
        raise NotConnected(why)

    async def _asked(
        self, wire: _Wire, door: Door, request: _Request, *, kept: bool
    ) -> tuple[asyncio.Task[None] | None, Answer]:
        reader, writer = wire
        body = request.body
        sent = {name.lower(): value for name, value in request.headers.items()}
        chunked = False
        if isinstance(body, bytes):
            sent["content-length"] = str(len(body))
        elif body is not None:
            chunked = "content-length" not in sent
            if chunked:
                sent["transfer-encoding"] = "chunked"
        elif request.method not in ("GET", "HEAD"):
            sent["content-length"] = "0"
        head = _head(request.method, door.prefix + request.path, {"host": door.host, **sent, **door.headers})
        sending: asyncio.Task[None] | None = None
        if body is None or isinstance(body, bytes):
            writer.write(head + (body or b""))
        else:
            writer.write(head)
            # Beside reading: a server that refuses a large body answers before it has taken it.
            sending = asyncio.create_task(_send(writer, body, chunked=chunked))
        try:
            return sending, await self._answer(reader, request.seconds, kept=kept)
        except BaseException:
            if sending is not None:
                sending.cancel()
            raise

    async def _answer(self, reader: asyncio.StreamReader, seconds: float, *, kept: bool) -> Answer:
        while True:
            try:
                raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), seconds)
            except asyncio.TimeoutError:
                raise Timeout(f"No answer came within {seconds:g} s.") from None
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                if kept and not getattr(error, "partial", b""):
                    raise _Stale from error
                raise EndpointGone("The connection ended before the answer came.") from error
            except asyncio.LimitOverrunError as error:
                raise UpstreamFailed(f"The answer's headers are longer than {MAX_HEAD} bytes.") from error
            status, _, headers = parse_head(raw[:-4])
            if status >= 200:
                return Answer(status, headers, reader, self._most)


def _opened(door: Door, ip: str) -> Coroutine[Any, Any, _Wire]:
    if door.proxy is not None:
        return through(door.proxy, ip, door.port, door.tls, door.server_name, MAX_HEAD)
    return asyncio.open_connection(
        ip, door.port, ssl=door.tls, server_hostname=door.server_name, limit=MAX_HEAD
    )


async def _send(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    with contextlib.suppress(ConnectionError):
        async for part in body:
            if part:
                writer.writelines([b"%x\r\n" % len(part), part, b"\r\n"] if chunked else [part])
                await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


async def _timed(reading: Awaitable[bytes]) -> bytes:
    try:
        return await asyncio.wait_for(reading, SILENCE_SECONDS)
    except asyncio.TimeoutError:
        raise Timeout(f"The answer stopped for {SILENCE_SECONDS:g} s.") from None
    except ConnectionError as error:
        raise EndpointGone("The connection ended in the middle of the answer.") from error


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(char in line for line in lines for char in "\r\n\0") or " " in path:
        raise UpstreamFailed("A request's path and headers are single lines.")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
