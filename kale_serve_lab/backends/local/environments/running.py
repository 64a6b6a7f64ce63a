"""One program run to its end, its lines told as they come; it ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Holds our end of its stdin as a sign of our life: when we are gone, however suddenly, it takes its whole group with it.
_LAUNCHER = """
import os, signal, subprocess, sys, threading
def watch():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
status = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).wait()
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""
_KEPT_LINES = 200
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class Ended:
    """How a program ended, and its last lines of both outputs together."""

    status: int
    lines: tuple[str, ...]


async def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    told: Callable[[str], None],
    *,
    seconds: float,
    folder: Path,
    hold: int | None = None,
) -> Ended:
    """Run it in a process group of its own, killed on cancelling, after `seconds` (`asyncio.TimeoutError`), and with us.

    `hold` is a descriptor that stays open as long as the program runs. Raises `OSError`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _LAUNCHER, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        limit=_LONGEST_LINE,
        pass_fds=[] if hold is None else [hold],
        start_new_session=True,
    )
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        await asyncio.wait_for(_read(process, kept, told), seconds)
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # Shielded from a second cancelling: an unreaped program would stay a zombie.
        await asyncio.shield(process.wait())
    return Ended(status, tuple(kept))


async def _read(process: asyncio.subprocess.Process, kept: deque[str], told: Callable[[str], None]) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than the limit; what was read of it is dropped
            continue
        if not line:
            return
        text = line.decode(errors="replace").rstrip("\n")
        kept.append(text)
        told(text)
