"""What is to be sent, read in parts: each file's sha256, and that of each part, in one pass and in constant memory."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.errors import Cancelled, DigestMismatch, InvalidRequest
from kale_serve_lab.serving.kserve.publishing import Cancelled as AskCancelled
from kale_serve_lab.serving.kserve.publishing import Entry, Tell
from kale_serve_lab.stores.published import Published, check_path
from kale_serve_lab.stores.walk import open_file

# S3 takes parts from 5 MiB, and at most 10,000 of them.
PART = 8 << 20
_MOST_PARTS = 9_000
_READ = 1 << 20


@dataclass(frozen=True)
class Part:
    """Bytes `start` up to `start + size` of a source, and their sha256. `number` counts from 1."""

    number: int
    start: int
    size: int
    sha256: bytes


@dataclass(frozen=True)
class Source:
    """One file to be sent: its path there, its bytes, and where they come from."""

    path: str
    origin: Path | bytes
    size: int
    sha256: str
    parts: tuple[Part, ...]

    @property
    def checksum(self) -> str:
        """The sha256 as S3 writes it."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()

    @property
    def composite(self) -> str:
        """S3's checksum of an object that was sent in these parts: that of the parts' checksums, and their count."""
        whole = hashlib.sha256(b"".join(part.sha256 for part in self.parts)).digest()
        return f"{base64.b64encode(whole).decode()}-{len(self.parts)}"

    def read(self, part: Part) -> bytes:
        """A part's bytes; raises `DigestMismatch` where the file has changed since it was looked at."""
        if isinstance(self.origin, bytes):
            data = self.origin[part.start : part.start + part.size]
        else:
            with opened(self.origin) as fd:
                data = _exactly(fd, part.start, part.size)
        if hashlib.sha256(data).digest() != part.sha256:
            raise _changed(self.origin)
        return data


def part_size(size: int) -> int:
    """Bytes of the parts of a file: 8 MiB, more only where there would be too many."""
    least = -(-size // _MOST_PARTS)
    return PART if least <= PART else -(-least // _READ) * _READ


def sources(
    folder: Path, entries: Sequence[Entry], stop: Stop, most: int | None = None
) -> tuple[Source, ...]:
    """Look at all entries. Raises `InvalidRequest` for a path that leaves the folder or stands there twice.

    `most` is the number of bytes that a path may have there.
    """
    found: dict[str, Source] = {}
    for entry in entries:
        path = check_path(entry.path)
        if path in found:
            raise InvalidRequest(f"{path} stands twice among what is to be published.", subject=path)
        if most is not None and len(path.encode()) > most:
            raise InvalidRequest(
                f"The path {path[:80]}… has {len(path.encode()):,} bytes; the store takes {most:,}.",
                subject=path[:200],
                hint="Give the file a shorter name.",
            )
        origin = (
            entry.source if isinstance(entry.source, bytes) else folder.joinpath(check_path(entry.source))
        )
        found[path] = _look(path, origin, stop)
    if not found:
        raise InvalidRequest("Nothing is to be published.", subject=str(folder))
    return tuple(found.values())


def is_same(folder: Path, entries: Sequence[Entry], known: Published) -> bool:
    """Whether a manifest speaks of these entries, by paths, sizes and own content. Files are not read: the digest names them."""
    there = {file.path: file for file in known.files}
    if {entry.path for entry in entries} != there.keys() or len(entries) != len(there):
        return False
    for entry in entries:
        file = there[entry.path]
        if isinstance(entry.source, bytes):
            same = hashlib.sha256(entry.source).hexdigest() == file.sha256
        else:
            try:
                found = folder.joinpath(check_path(entry.source)).lstat()
            except OSError:
                return False
            same = stat.S_ISREG(found.st_mode) and found.st_size == file.size
        if not same:
            return False
    return True


class Stop:
    """Asks whether to stop, and raises."""

    def __init__(self, cancelled: AskCancelled, what: str) -> None:
        self._cancelled = cancelled
        self._what = what

    def check(self) -> None:
        """Raise `Cancelled` when it was asked for."""
        if self._cancelled():
            raise Cancelled(
                f"Sending {self._what} was stopped.",
                subject=self._what,
                hint="Files that are there whole are not sent again.",
            )


class Progress:
    """Adds up what several threads have done, and tells it, one at a time and never going back."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._total = total
        self._tell = tell
        self._done = 0
        self._lock = threading.Lock()
        tell(0, total)

    def add(self, count: int) -> None:
        """`count` bytes more are there."""
        if count:
            with self._lock:
                self._done = min(self._done + count, self._total)
                self._tell(self._done, self._total)

    def finish(self) -> None:
        """All is there."""
        with self._lock:
            self._done = self._total
            self._tell(self._total, self._total)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read a regular file."""
    fd = open_file(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _look(path: str, origin: Path | bytes, stop: Stop) -> Source:
    if isinstance(origin, bytes):
        size, blocks = len(origin), iter([origin])
        return _hashed(path, origin, size, blocks, stop)
    with opened(origin) as fd:
        size = os.fstat(fd).st_size
        return _hashed(path, origin, size, _blocks(fd), stop)


def _blocks(fd: int) -> Iterator[bytes]:
    at = 0
    while data := os.pread(fd, _READ, at):
        at += len(data)
        yield data


def _hashed(path: str, origin: Path | bytes, size: int, blocks: Iterator[bytes], stop: Stop) -> Source:
    length = part_size(size)
    whole, one = hashlib.sha256(), hashlib.sha256()
    parts: list[Part] = []
    start = at = 0
    for block in blocks:
        stop.check()
        whole.update(block)
        view = memoryview(block)
        while view:
            piece = view[: start + length - at]
            one.update(piece)
            at += len(piece)
            view = view[len(piece) :]
            if at == start + length:
                parts.append(Part(len(parts) + 1, start, length, one.digest()))
                start, one = at, hashlib.sha256()
    if at != size:
        raise _changed(origin)
    if at > start or not parts:
        parts.append(Part(len(parts) + 1, start, at - start, one.digest()))
    return Source(path, origin, size, whole.hexdigest(), tuple(parts))


def _exactly(fd: int, start: int, size: int) -> bytes:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size and (count := os.preadv(fd, [view[at:]], start + at)):
        at += count
    view.release()
    return bytes(data) if at == size else bytes(data[:at])


def _changed(origin: Path | bytes) -> DigestMismatch:
    name = str(origin) if isinstance(origin, Path) else "content"
    return DigestMismatch(
        f"{name} has changed while it was being sent.",
        subject=name,
        hint="Submit the model again, and serve what was submitted.",
    )
