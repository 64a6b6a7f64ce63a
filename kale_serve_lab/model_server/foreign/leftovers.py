"""What a server may leave behind on this machine, also when it was killed: its private folder, its shared memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where the kernel keeps named shared memory; there is no other place)


def shared_memory_prefix(work: Path) -> str:
    """How the names of the shared memory of the server with this folder begin. No other server's do."""
    digest = hashlib.sha256(os.fsencode(work.absolute())).hexdigest()[:16]
    return f"kale-serve-{os.getuid()}-{digest}-"


def remove(work: Path) -> None:
    """Remove the folder and the shared memory of a server that has ended; what is not there is no error."""
    shutil.rmtree(work, ignore_errors=True)
    for path in _SHARED_MEMORY.glob(f"{shared_memory_prefix(work)}*"):
        with contextlib.suppress(OSError):
            path.unlink()
