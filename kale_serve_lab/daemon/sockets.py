"""Sockets that only their owner can reach."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def bind(path: Path) -> socket.socket:
    """A listening socket, reachable by its owner only from its first moment on."""
    path.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX)
    one.setblocking(False)
    before = os.umask(0o177)
    try:
        one.bind(str(path))
    finally:
        os.umask(before)
    one.listen(128)
    return one
