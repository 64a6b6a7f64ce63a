"""Writes that survive a crash, and the one error of a full disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from kale_serve_lab.errors import KaleServeError, SaveFailed, StoreFull

_CHUNK = 4 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def told_as_full(path: Path, need: int) -> Iterator[None]:
    """Turn an `OSError` of a write below `path` into `StoreFull` (`need` bytes are wanted) or `SaveFailed`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full(path, need) from error
        raise SaveFailed(
            f"The store at {path} cannot be written: {error.strerror} ({error.filename}).",
            subject=str(path),
            hint="Check the permissions and the file system of the data directory.",
        ) from error


def check_room(path: Path, need: int) -> None:
    """Raise `StoreFull` where `need` bytes do not fit now: better before a long copy than at its end."""
    found = os.statvfs(path)
    if need > found.f_bavail * found.f_frsize:
        raise full(path, need)


def full(path: Path, need: int) -> KaleServeError:
    """The error of a disk without room for `need` bytes."""
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    return StoreFull(
        f"The disk of {path} is full: {need:,} bytes are needed, {free:,} are free.",
        subject=str(path),
        hint="Free some space, or set KALE_SERVE_DATA_DIR to a directory on a larger disk.",
        details={"path": str(path), "need": need, "free": free},
    )


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes) -> None:
    """Replace a small file, all or nothing, durably."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with told_as_full(path.parent, len(data)):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def copy_hashed(source: int, target: int) -> tuple[str, int]:
    """Copy between descriptors and return the sha256 and size of what was copied; reading and hashing go at once."""
    digest = hashlib.sha256()
    free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
    filled: queue.SimpleQueue[tuple[bytearray, int] | None] = queue.SimpleQueue()
    for _ in range(3):
        free.put(bytearray(_CHUNK))

    def hash_all() -> None:
        while (item := filled.get()) is not None:
            digest.update(memoryview(item[0])[: item[1]])
            free.put(item[0])

    # hashlib lets go of the interpreter's lock, so that the copy costs no time of its own on two cores.
    thread = threading.Thread(target=hash_all, name="sha256", daemon=True)
    thread.start()
    size = 0
    try:
        while count := os.preadv(source, [buffer := free.get()], size):
            view = memoryview(buffer)[:count]
            filled.put((buffer, count))
            while view:
                view = view[os.write(target, view) :]
            size += count
    finally:
        filled.put(None)
        thread.join()
    return digest.hexdigest(), size
