"""Log files of model servers: bounded while they are written, read from their end."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

MAX_BYTES = 4 << 20


def open_for_server(path: Path) -> int:
    """A descriptor to append to; O_APPEND is what makes the file safe to truncate under its writer."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def bound(path: Path) -> None:
    """Move the last `MAX_BYTES` aside (`.1`) and empty the file, where it has grown beyond them."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= MAX_BYTES:
                return
            file.seek(size - MAX_BYTES)
            rotated(path).write_bytes(file.read(MAX_BYTES))
            file.truncate(0)
    except FileNotFoundError:
        return


def rotated(path: Path) -> Path:
    """Where the older part lies."""
    return path.with_name(path.name + ".1")


def tail(path: Path, lines: int) -> list[str]:
    """The last lines, without their ends, over both parts of the log. Bytes that are no UTF-8 are replaced."""
    found: deque[str] = deque(maxlen=max(lines, 0))
    for part in (rotated(path), path):
        try:
            with part.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                # Nobody reads more than this at once, and a line without an end must not fill the memory.
                file.seek(max(0, size - (1 << 20)))
                found.extend(file.read().decode(errors="replace").splitlines())
        except FileNotFoundError:
            continue
    return list(found)
