"""Reads one HTTP/1.1 answer from a socket into as few buffers as its framing allows, within bounds.

Not a general client: no redirects, no content codings, no trailers kept. Ambiguous framing is an error, because what
follows it would be read as somebody else's answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

from kale_serve_lab.errors import EndpointGone, Timeout, UpstreamFailed

MAX_HEAD: Final = 65_536
# A length is a claim until the bytes have come: beyond this, memory follows what was received.
TRUSTED_LENGTH: Final = 64 * 1024 * 1024


class Readable(Protocol):
    """The half of a socket that is read here."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Fills the start of the buffer and says how far; 0 at the end."""


@dataclass(frozen=True)
class Response:
    """An answer; header names are in lower case, `keep` says whether the connection can take another request."""

    status: int
    headers: dict[str, str]
    body: memoryview
    keep: bool


class NothingRead(Exception):  # noqa: N818
    """The connection ended before the first byte of an answer."""


class Reader:
    """Reads answers from one connection, through one buffer that is used again for each head."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._raw = bytearray(MAX_HEAD)
        self._buffer = memoryview(self._raw)
        self._start = 0
        self._end = 0

    @property
    def idle(self) -> bool:
        """Whether nothing was received beyond the last answer."""
        return self._start == self._end

    def read(self, max_body: int, deadline: float) -> Response:
        """The next answer, whose body may have at most `max_body` bytes.

        Raises `NothingRead`, `EndpointGone` (ended within the answer), `UpstreamFailed` (bad framing, too large), `Timeout`.
        """
        while True:
            status, version, headers = self._head(deadline)
            if status >= 200:
                break
        coding = headers.get("content-encoding", "identity")
        if coding != "identity":
            raise UpstreamFailed(
                f"The answer came with the content coding {coding[:40]!r}, which was not asked for."
            )
        keep = version >= 1 and "close" not in headers.get("connection", "").lower()
        transfer, length = headers.get("transfer-encoding"), headers.get("content-length")
        if transfer is not None and length is not None:
            raise UpstreamFailed("The answer gives both a Content-Length and a Transfer-Encoding.")
        if status in (204, 304):
            return Response(status, headers, memoryview(b""), keep)
        if transfer is not None:
            if transfer.strip().lower() != "chunked":
                raise UpstreamFailed(f"The answer came with the transfer coding {transfer[:40]!r}.")
            return Response(status, headers, self._chunked(max_body, deadline), keep)
        if length is not None:
            return Response(status, headers, self._exactly(_length(length, max_body), deadline), keep)
        return Response(status, headers, self._rest(max_body, deadline), keep=False)

    def _head(self, deadline: float) -> tuple[int, int, dict[str, str]]:
        buffer = self._buffer
        if self._start:
            left = self._end - self._start
            buffer[:left] = bytes(buffer[self._start : self._end])
            self._start, self._end = 0, left
        searched = 0
        while (at := self._raw.find(b"\r\n\r\n", searched, self._end)) < 0:
            searched = max(0, self._end - 3)
            if self._end == MAX_HEAD:
                raise UpstreamFailed(f"The answer's headers are longer than {MAX_HEAD} bytes.")
            self._more(deadline, started=self._end > 0)
        self._start = at + 4
        return parse_head(bytes(buffer[:at]))

    def _more(self, deadline: float, *, started: bool = True) -> None:
        if self._start == self._end and started:
            self._start = self._end = 0
        count = self._receive(self._buffer[self._end :], deadline)
        if count == 0:
            if not started:
                raise NothingRead
            raise EndpointGone("The connection ended in the middle of the answer.")
        self._end += count

    def _receive(self, buffer: memoryview, deadline: float) -> int:
        # The socket's own timeout bounds each wait; a peer that drips bytes is bounded here.
        if time.monotonic() > deadline:
            raise Timeout("The answer did not come in time.")
        return self._source.recv_into(buffer)

    def _taken(self, target: memoryview) -> int:
        count = min(len(target), self._end - self._start)
        target[:count] = self._buffer[self._start : self._start + count]
        self._start += count
        return count

    def _fill(self, target: memoryview, deadline: float) -> None:
        at, size = self._taken(target), len(target)
        while at < size:
            count = self._receive(target[at:], deadline)
            if count == 0:
                raise EndpointGone(f"The connection ended after {at} of {size} bytes of the answer.")
            at += count

    def _exactly(self, length: int, deadline: float) -> memoryview:
        if length <= TRUSTED_LENGTH:
            whole = memoryview(bytearray(length))
            self._fill(whole, deadline)
            return whole
        parts = bytearray()
        while len(parts) < length:
            step = memoryview(bytearray(min(length - len(parts), max(TRUSTED_LENGTH, len(parts)))))
            self._fill(step, deadline)
            parts += step
        return memoryview(parts)

    def _chunked(self, max_body: int, deadline: float) -> memoryview:
        body = bytearray()
        while True:
            line = self._line(deadline)
            digits = line.split(b";", 1)[0].strip()
            if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
                raise UpstreamFailed("The answer's chunks are malformed.")
            size = int(digits, 16)
            if size == 0:
                break
            if len(body) + size > max_body:
                raise _too_large(max_body)
            body += self._exactly(size, deadline)
            if self._line(deadline):
                raise UpstreamFailed("The answer's chunks are malformed.")
        trailers = 0
        while line := self._line(deadline):
            trailers += len(line)
            if trailers > MAX_HEAD:
                raise UpstreamFailed("The answer's trailers do not end.")
        return memoryview(body)

    def _line(self, deadline: float) -> bytes:
        line = bytearray()
        while True:
            at = self._raw.find(b"\n", self._start, self._end)
            line += self._buffer[self._start : at + 1 if at >= 0 else self._end]
            self._start = at + 1 if at >= 0 else self._end
            if at >= 0:
                return bytes(line).rstrip(b"\r\n")
            if len(line) > MAX_HEAD:
                raise UpstreamFailed("A line of the answer's framing does not end.")
            self._more(deadline)

    def _rest(self, max_body: int, deadline: float) -> memoryview:
        body = bytearray()
        while True:
            body += self._buffer[self._start : self._end]
            self._start = self._end = 0
            if len(body) > max_body:
                raise _too_large(max_body)
            count = self._receive(self._buffer, deadline)
            if count == 0:
                return memoryview(body)
            self._end = count


def parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """Status, the minor version of HTTP/1 and the headers, of a head without its empty line. Raises `UpstreamFailed`."""
    first, *lines = head.decode("latin-1").split("\r\n")
    if (
        not first.startswith("HTTP/1.")
        or not first[7:8].isdigit()
        or not (first[9:12].isascii() and first[9:12].isdigit())
    ):
        raise UpstreamFailed("What answers there does not speak HTTP.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not name or name != name.strip():
            raise UpstreamFailed("The answer has a malformed header.")
        if name in headers and name in ("content-length", "transfer-encoding") and headers[name] != value:
            raise UpstreamFailed(f"The answer gives {name} twice.")
        headers[name] = value
    return int(first[9:12]), int(first[7]), headers


def _length(text: str, max_body: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UpstreamFailed(f"The answer's Content-Length is {text[:40]!r}.")
    length = int(text)
    if length > max_body:
        raise _too_large(max_body)
    return length


def _too_large(max_body: int) -> UpstreamFailed:
    return UpstreamFailed(
        f"The answer is larger than {max_body} bytes.",
        hint="Predict fewer rows at a time.",
    )
