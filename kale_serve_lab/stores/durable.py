"""Writes that survive a crash, and the one error of a full disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kale_serve_lab.errors import KaleServeError, SaveFailed, StoreFull

_COPIED = 8 << 20
_HASHED = 1 << 20
_NOT_IN_KERNEL = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
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
    """Copy between descriptors (`target` open for both ways), durably; the sha256 and size of what was written.

    A thread copies while this one hashes what has been written already: the copy then costs little time of its own on two
    cores. It is the target that is hashed, so that the digest is that of the copy also where the source changes meanwhile.
    """
    written: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    digest = hashlib.sha256()
    buffer = bytearray(_HASHED)
    view = memoryview(buffer)
    with ThreadPoolExecutor(1, "copy") as copier:
        copying = copier.submit(_copy, source, target, written)
        size = 0
        while (end := written.get()) is not None:
            while size < end:
                count = os.preadv(target, [view[: min(_HASHED, end - size)]], size)
                if not count:
                    raise OSError(errno.EIO, "a copy is shorter than what was written")
                digest.update(view[:count])
                size += count
        copying.result()
    return digest.hexdigest(), size


def _copy(source: int, target: int, written: queue.SimpleQueue[int | None]) -> None:
    """Copy, telling how far it is; None says that nothing more comes."""
    at = 0
    copy = _in_kernel
    try:
        while True:
            try:
                count = copy(source, target, at)
            except OSError as error:
                if copy is _by_hand or error.errno not in _NOT_IN_KERNEL:
                    raise
                count = 0
            if not count and copy is _in_kernel:
                # Some file systems answer 0 before the end instead of saying that they cannot.
                copy = _by_hand
                continue
            if not count:
                break
            at += count
            written.put(at)
    finally:
        written.put(None)
    # While the rest is still being hashed.
    os.fsync(target)


def _in_kernel(source: int, target: int, at: int) -> int:
    return os.copy_file_range(source, target, _COPIED, at, at)


def _by_hand(source: int, target: int, at: int) -> int:
    data = os.pread(source, _COPIED, at)
    view = memoryview(data)
    while view:
        view = view[os.pwrite(target, view, at + len(data) - len(view)) :]
    return len(data)
