"""A lock on a file, which the kernel gives back whatever becomes of its holder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from kale_serve_lab.errors import LockUnsupported

_LOOK_SECONDS = 0.2


@contextlib.asynccontextmanager
async def held(path: Path, waiting: Callable[[], None]) -> AsyncIterator[int]:
    """Hold the lock of this file; the descriptor may be handed to a child, which then holds it too.

    `waiting` is called again and again while somebody else has it. Raises `LockUnsupported`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _take(descriptor, path):
            waiting()
            # The kernel tells nobody that a lock is free; a thread that waits for it could not be cancelled.
            await asyncio.sleep(_LOOK_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody has the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _take(descriptor, path)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise LockUnsupported(
                f"The file system of {path.parent} has no locks.",
                subject=str(path.parent),
                hint="Set KALE_SERVE_ENVIRONMENTS_DIR to a directory on a local disk.",
            ) from error
        raise
    return True
