"""Listening Unix sockets, and the front path that is moved from one to the next without a moment of nobody."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from kale_serve_lab import paths

BACKLOG = 1024


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, 0600, in the place of what may lie there."""
    remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def put_at_front(path: Path, front: Path) -> None:
    """Let `front` lead to the socket at `path`; a connection finds the old one or the new one, never none."""
    if same(path, front):
        return  # rename(2) of two links to one file does nothing and would leave the temporary one
    temporary = front.with_suffix(".new")
    remove(temporary)
    temporary.hardlink_to(path)
    temporary.rename(front)


def same(path: Path, front: Path) -> bool:
    """Whether both paths lead to one socket."""
    try:
        return path.samefile(front)
    except OSError:
        return False


def remove(path: Path) -> None:
    """Remove a socket's path, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def path_of(kind: str, key: str) -> Path:
    """The socket `<runtime dir>/<kind>/<key>.sock`; kinds are r (revision) and c (control), keys 16 hex digits."""
    folder = paths.runtime_dir() / kind
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{key}.sock"
