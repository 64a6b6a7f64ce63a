"""Processes as the kernel shows them: who a pid is, whether it is stopped, and ending a whole group of them.

A pid alone says nothing, for it is used again; a pid with its start time, since one boot, is one process.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def boot_id() -> str:
    """Of the running kernel: start times count from its boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Clock ticks since boot; None where there is no such process, or only its zombie."""
    found = _stat(pid)
    return None if found is None or found[0] == "Z" else int(found[19])


def is_stopped(pid: int) -> bool:
    """Whether it was stopped by a signal (SIGSTOP)."""
    found = _stat(pid)
    return found is not None and found[0] == "T"


def memory_of_group(leader: int) -> int:
    """Bytes of memory that the processes of a group hold (resident, what they share counted for each); 0 without any."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        found = _stat(int(entry.name))
        if found is not None and int(found[2]) == leader:
            total += memory(int(entry.name))
    return total


def memory(pid: int) -> int:
    """Bytes of memory that a process holds (resident); 0 where there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def commands() -> Iterator[tuple[int, list[str]]]:
    """Pid and command line of each process that may be looked at."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
            if words[0]:
                yield int(entry.name), words


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    # The name, in parentheses, may itself hold blanks and parentheses; the state comes first after it.
    return text.rpartition(")")[2].split()


def end_group(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal the process group that the still unreaped process `pid` leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_orphans(pid: int) -> None:
    """Kill what is left of the group of a leader that was reaped by somebody else."""
    # While a group of this number lives, the kernel gives the number to no new process: whoever has it now is a stranger.
    if _stat(pid) is None:
        end_group(pid)


def server_environment(sdk_path: Path, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a model server: the daemon's, our package for an interpreter without it, and `extra`."""
    found = dict(os.environ)
    # Imports without bytecode take twice as long.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [found.get("PYTHONPATH"), str(sdk_path)]))
    # Several servers share the machine; each with a thread a core makes all of them slower.
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        found.setdefault(name, threads)
    return found | extra
