"""The child process: started in our process group, watched, ended with us however we end."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Java and Python servers finish what is in flight first; the daemon kills the whole group a little later.
_END_SECONDS = 3.0
# Reads until we have gone, also by kill -9, and then leaves nothing of our group behind. A shell, because it holds one megabyte.
_GUARD = "trap '' HUP INT TERM; read -r _; kill -KILL 0"
_TAIL_BYTES = 32 * 1024
# What an interpreter was told about itself does not hold for another one.
_NOT_HANDED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
_CAUSE = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning)\b.*")


class Child:
    """One server. Its output goes where ours goes: to the log."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        """Raises `OSError` where it cannot be started."""
        _lead_a_group()
        inherited = {key: value for key, value in os.environ.items() if key not in _NOT_HANDED_ON}
        self._guard = _guard()
        self._process = subprocess.Popen(
            list(argv), env=inherited | dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=1, stderr=2
        )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._ending = False

    def ended(self, seconds: float = 0.0) -> bool:
        """Whether it has ended, now or within this time."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def watch(self, told: Callable[[], None]) -> None:
        """Call `told`, in a thread of its own, when it ends before it is asked to."""

        def wait() -> None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            poller.poll()
            if not self._ending:
                told()

        threading.Thread(target=wait, name="kale-serve-child", daemon=True).start()

    def how_it_ended(self) -> str:
        """For a sentence: `ended with exit status 1 (ValueError: no such file)`, `was killed by SIGKILL`."""
        status = self._process.wait()
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-status).name}"
            return f"was killed by signal {-status}"
        cause = last_cause()
        return f"ended with exit status {status}" + (f" ({cause})" if cause else "")

    def end(self) -> None:
        """Ask it to stop, then make it stop. Nothing of it is left when this returns."""
        self._ending = True
        if not self.ended():
            self._process.terminate()
            if not self.ended(_END_SECONDS):
                self._process.kill()
        self._process.wait()


def last_cause() -> str | None:
    """The last line of our log that names an exception; None where it cannot be read, or there is none."""
    try:
        if not stat.S_ISREG(os.fstat(2).st_mode):
            return None
        with Path("/proc/self/fd/2").open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _TAIL_BYTES))
            lines = log.read(_TAIL_BYTES).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return None
    for line in reversed(lines):
        if match := _CAUSE.fullmatch(line.strip()):
            return match[0][:300]
    return None


def _lead_a_group() -> None:
    # The guard ends its whole group: it must be ours alone.
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def _guard() -> int:
    """The end of a pipe whose closing, by whatever end of this process, kills the group."""
    read, write = os.pipe()
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD], stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    finally:
        os.close(read)
    guard.returncode = 0  # it outlives us by a moment: nobody here waits for it
    return write
