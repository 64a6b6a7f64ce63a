"""The transformer's way to its predictor: HTTP/1.1 over the predictor's Unix socket, connections kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kale_serve_lab.errors import EndpointGone, EndpointNotReady, UpstreamFailed

Buffer = bytes | bytearray | memoryview

_MAX_HEADER_BYTES = 64 * 1024
_KEPT = 16


@dataclass(frozen=True)
class UpstreamAnswer:
    """Status, lower-case headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Stale(Exception):  # noqa: N818
    """A kept connection was closed before the answer began: the request may be sent again."""


class Upstream:
    """Posts to one Unix socket; to be used in one event loop."""

    def __init__(self, path: str, *, service: str, max_body_bytes: int) -> None:
        self._path = path
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(
        self, target: str, buffers: Sequence[Buffer], headers: Mapping[str, str]
    ) -> UpstreamAnswer:
        """One request.

        Raises `EndpointNotReady` without a listener, `EndpointGone` where the connection ends early, and `UpstreamFailed` for
        what is no HTTP.
        """
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        lines = [f"POST {target} HTTP/1.1", "Host: localhost", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        while self._kept:
            reader, writer = self._kept.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            # Predictions change nothing, so the one that met a connection's end goes out again, on a fresh one.
            with contextlib.suppress(_Stale):
                return await self._exchange(reader, writer, head, buffers, kept=True)
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=_MAX_HEADER_BYTES)
        except OSError as error:
            raise EndpointNotReady(
                f"{self._service}: the transformer cannot reach its predictor ({error.strerror}).",
                subject=self._service,
                hint="It may be starting again; try in a moment.",
            ) from error
        return await self._exchange(reader, writer, head, buffers, kept=False)

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: bytes,
        buffers: Sequence[Buffer],
        *,
        kept: bool,
    ) -> UpstreamAnswer:
        keep = False
        try:
            writer.writelines([head, *buffers])
            try:
                raw = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                if kept and not getattr(error, "partial", b""):
                    raise _Stale from error
                raise
            status, headers = _parse(raw)
            size = int(headers["content-length"])
            if size > self._max_body_bytes:
                raise UpstreamFailed(
                    f"{self._service}: the predictor's answer has {size} bytes.", subject=self._service
                )
            body = await reader.readexactly(size)
            keep = headers.get("connection", "").lower() != "close" and len(self._kept) < _KEPT
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EndpointGone(
                f"{self._service}: the predictor ended before it had answered.",
                subject=self._service,
                hint="Its log says why; it is started again by itself.",
            ) from error
        except (KeyError, ValueError, asyncio.LimitOverrunError) as error:
            raise UpstreamFailed(
                f"{self._service}: the predictor's answer is no HTTP.", subject=self._service
            ) from error
        finally:
            if keep:
                self._kept.append((reader, writer))
            else:
                writer.close()
        return UpstreamAnswer(status, headers, body)


def _parse(raw: bytes) -> tuple[int, dict[str, str]]:
    start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(start.split(" ", 2)[1]), headers
