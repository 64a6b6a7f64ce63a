"""Which process is the daemon of a data directory: the one that holds the lock on `daemon.lock`."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.errors import DaemonUnavailable, LockUnsupported
from kale_serve_lab.stores.durable import write_file

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class Lock:
    """The daemon's lock; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "daemon.lock"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self) -> bool:
        """Whether this process holds the lock now; raises `LockUnsupported` where the file system has none."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise LockUnsupported(
                    f"The file system of {self.path.parent} has no file locks ({error.strerror}), so two daemons could "
                    "write to one database.",
                    subject=str(self.path.parent),
                    hint="Set KALE_SERVE_DATA_DIR to a directory on a local disk.",
                ) from error
            raise
        return True

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)


def win(lock: Lock, seconds: float = 20) -> bool:
    """True when this process is the daemon; False when another is and answers on its socket.

    Raises `DaemonUnavailable` when another holds the lock for all this time without answering.
    """
    deadline = time.monotonic() + seconds
    # This process has nothing else to do, and ends or becomes the daemon within moments.
    while not lock.take():
        if _answers(paths.daemon_socket()):
            return False
        if time.monotonic() > deadline:
            raise DaemonUnavailable(
                f"Another daemon holds {lock.path} but does not answer.",
                subject=str(lock.path),
                hint=f"Its pid stands in {lock.path.parent / 'daemon.json'}; end it and try again.",
            )
        time.sleep(0.05)
    return True


def note(folder: Path, started_at: int, version: str, gateway_port: int) -> None:
    """Write `daemon.json`, and the interpreter that the next daemon is to be started with."""
    value = {
        "pid": os.getpid(),
        "start_time": start_time(os.getpid()),
        "started_at": started_at,
        "version": version,
        "python": sys.executable,
        "socket": str(paths.daemon_socket()),
        "gateway_port": gateway_port,
    }
    write_file(folder / "daemon.json", json.dumps(value).encode())
    write_file(folder / "interpreter", sys.executable.encode())


def note_left(folder: Path, gateway_port: int) -> None:
    """Write that no daemon runs and that the last one left in order; the next takes its port where it is free."""
    write_file(folder / "daemon.json", json.dumps({"pid": None, "gateway_port": gateway_port}).encode())


def noted(folder: Path) -> dict[str, Any]:
    """What the last daemon wrote; empty where there is nothing to read."""
    try:
        value = json.loads((folder / "daemon.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def start_time(pid: int) -> int | None:
    """When a process began, in ticks since boot; with its pid it names one process forever. None where unknown."""
    try:
        # The name in parentheses may hold anything, so fields are counted after its end.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
            client.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(12).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
