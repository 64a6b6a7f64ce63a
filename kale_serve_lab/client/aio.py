"""The daemon's API, and any Unix socket that speaks HTTP, for the Jupyter server's event loop.

One connection a call: a Unix socket costs nothing to connect, and a call that is given up leaves no half-read answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.client import answers
from kale_serve_lab.errors import DaemonUnavailable, UpstreamFailed

_PART = 1 << 16
_MAX_HEADERS = 100
_NOT_THERE = (FileNotFoundError, ConnectionRefusedError)


@dataclass
class Answer:
    """The head of an answer; `parts()` gives its body as it comes, with the pace of whoever reads it."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of a name that came twice the values are joined by a comma."""
    _reader: asyncio.StreamReader
    _no_body: bool

    async def parts(self) -> AsyncIterator[bytes]:
        """The body in pieces of at most 64 KiB. Raises `UpstreamFailed` where it ends too early."""
        if self._no_body or self.status in (204, 304) or self.status < 200:
            return
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            async for part in self._chunks():
                yield part
        elif "content-length" in self.headers:
            left = _length(self.headers["content-length"])
            while left:
                part = await self._reader.read(min(_PART, left))
                if not part:
                    raise UpstreamFailed(f"The answer ended {left} bytes too early.")
                left -= len(part)
                yield part
        else:
            while part := await self._reader.read(_PART):
                yield part

    async def read(self, limit: int = answers.MAX_ANSWER) -> bytes:
        """The whole body. Raises `UpstreamFailed` above `limit` bytes."""
        found = bytearray()
        async for part in self.parts():
            found += part
            if len(found) > limit:
                raise UpstreamFailed(f"The answer is larger than {limit} bytes.")
        return bytes(found)

    async def lines(self) -> AsyncIterator[bytes]:
        """The body's lines, without their ends."""
        rest = b""
        async for part in self.parts():
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = (await _line(self._reader)).partition(b";")[0].strip()
            try:
                left = int(size, 16)
            except ValueError:
                raise UpstreamFailed("The answer's chunks are damaged.") from None
            if left == 0:
                return
            while left:
                part = await self._reader.read(min(_PART, left))
                if not part:
                    raise UpstreamFailed("The answer ended in the middle of a chunk.")
                left -= len(part)
                yield part
            if await _line(self._reader):
                raise UpstreamFailed("The answer's chunks are damaged.")


class AsyncClient:
    """Calls the daemon, starting it where it does not run; with `socket`, any other server on a Unix socket."""

    def __init__(self, socket: str | os.PathLike[str] | None = None, *, timeout_seconds: float = 60) -> None:
        self._socket = socket
        self._timeout = timeout_seconds
        self._checked = False

    async def request(
        self, method: str, path: str, body: Any = None, *, timeout_seconds: float | None = None
    ) -> Any:
        """The decoded JSON answer, None where it has none. Raises the daemon's own error, or `DaemonUnavailable`."""
        call = f"{method} {path}"
        content = None if body is None else answers.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            return await asyncio.wait_for(
                self._whole(method, path, content, headers), timeout_seconds or self._timeout
            )
        except asyncio.TimeoutError:
            raise DaemonUnavailable(
                f"The Kale Serve daemon did not answer in time: {call}.", subject=call
            ) from None

    async def events(self, since: int, *, silence_seconds: float = 45) -> AsyncIterator[dict[str, Any]]:
        """Each change after the sequence number `since`, until the iterator is closed.

        Raises `DaemonUnavailable` when the daemon goes away, or is silent for longer than its heartbeat allows.
        """
        path = f"/api/events?since={since}"
        async with self.stream("GET", path) as answer:
            if answer.status >= 300:
                answers.decode(answer.status, await answer.read(), f"GET {path}")
            lines = answer.lines()
            while True:
                try:
                    line = await asyncio.wait_for(anext(lines), silence_seconds)
                    event = json.loads(line) if line.strip() else None
                except StopAsyncIteration:
                    return
                except (asyncio.TimeoutError, UpstreamFailed, ValueError) as error:
                    raise DaemonUnavailable(
                        "The Kale Serve daemon's events have ended.", subject=path
                    ) from error
                if event is not None:
                    yield event

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[Answer]:
        """Sends a body that is passed on as it comes, and gives the answer while it comes.

        An iterator's body goes out with the `Content-Length` of `headers`, chunked where that is not there. The answer may
        come before the body has been sent. Leaving the block closes the connection. Raises `DaemonUnavailable` or, for a
        given `socket`, the `OSError` of connecting, and `UpstreamFailed` for an answer that is not HTTP.
        """
        reader, writer = await self._connect()
        sending: asyncio.Task[None] | None = None
        try:
            sent = dict(headers or {})
            names = {name.lower() for name in sent}
            chunked = False
            if isinstance(body, bytes):
                sent = {name: value for name, value in sent.items() if name.lower() != "content-length"}
                sent["Content-Length"] = str(len(body))
            elif body is not None:
                chunked = "content-length" not in names
                if chunked:
                    sent["Transfer-Encoding"] = "chunked"
            elif method not in ("GET", "HEAD", "DELETE"):
                sent["Content-Length"] = "0"
            writer.write(_head(method, path, sent))
            if body is not None:
                # Beside reading: a server that refuses a large body answers before it has taken it.
                sending = asyncio.create_task(_send(writer, body, chunked=chunked))
            yield await self._answer(reader, method)
        finally:
            if sending is not None:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await sending
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _whole(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Any:
        async with self.stream(method, path, headers=headers, body=content) as answer:
            return answers.decode(answer.status, await answer.read(), f"{method} {path}")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._socket is not None:
            return await asyncio.open_unix_connection(os.fspath(self._socket), limit=_PART)
        if not self._checked:
            await self._ensure()
        try:
            return await asyncio.open_unix_connection(str(paths.daemon_socket()), limit=_PART)
        except _NOT_THERE:
            await self._ensure()
        try:
            return await asyncio.open_unix_connection(str(paths.daemon_socket()), limit=_PART)
        except OSError as error:
            raise DaemonUnavailable(
                f"The Kale Serve daemon left as soon as it was ready ({error})."
            ) from error

    async def _ensure(self) -> None:
        from kale_serve_lab.client.start import ensure_daemon

        await asyncio.get_running_loop().run_in_executor(None, ensure_daemon)
        self._checked = True

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> Answer:
        while True:
            version, _, rest = (await _line(reader)).partition(b" ")
            status = rest[:3]
            if not version.startswith(b"HTTP/1.") or not status.isdigit():
                raise UpstreamFailed("The server's answer is not HTTP.")
            headers: dict[str, str] = {}
            for _ in range(_MAX_HEADERS):
                line = await _line(reader)
                if not line:
                    break
                name, colon, value = line.decode("latin-1").partition(":")
                if not colon or name != name.strip():
                    raise UpstreamFailed("The server's answer has a header that is none.")
                key = name.lower()
                text = value.strip()
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
            else:
                raise UpstreamFailed(f"The server's answer has more than {_MAX_HEADERS} headers.")
            # 100 Continue and its like precede the answer.
            if int(status) >= 200:
                return Answer(int(status), headers, reader, method == "HEAD")


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [
        f"{name}: {value}" for name, value in headers.items() if name.lower() not in ("host", "connection")
    ]
    if any(c in line for line in lines for c in "\r\n\0") or " " in path:
        raise ValueError("A request's path and headers are single lines.")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(writer: asyncio.StreamWriter, body: bytes | AsyncIterator[bytes], *, chunked: bool) -> None:
    with contextlib.suppress(ConnectionError):
        if isinstance(body, bytes):
            writer.write(body)
            await writer.drain()
            return
        async for part in body:
            if part:
                writer.writelines([b"%x\r\n" % len(part), part, b"\r\n"] if chunked else [part])
                await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raise UpstreamFailed("The connection ended before the answer had come.") from error
    except asyncio.LimitOverrunError as error:
        raise UpstreamFailed("The server's answer has a line that is too long.") from error
    except OSError as error:
        raise UpstreamFailed(f"The connection ended before the answer had come ({error}).") from error
    return line.rstrip(b"\r\n")


def _length(value: str) -> int:
    if not value.isdigit():
        raise UpstreamFailed("The server's answer has more than one length.")
    return int(value)
