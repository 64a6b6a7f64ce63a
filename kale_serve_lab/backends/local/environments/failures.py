"""What uv and pip say when they fail, in our errors. Pure, but for asking how full a disk is."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from kale_serve_lab.backends.local.environments import naming
from kale_serve_lab.backends.local.environments.running import Ended
from kale_serve_lab.errors import EnvironmentFailed, KaleServeError, StoreFull
from kale_serve_lab.serving.need import distribution

TAIL_LINES = 20
_UNRESOLVED = (
    "no solution found",
    "resolutionimpossible",
    "no matching distribution",
    "could not find a version",
)
_FULL = ("no space left on device", "disk quota exceeded", "os error 28", "os error 122")
_NETWORK = ("failed to fetch", "error sending request", "dns error", "connection refused", "timed out", "failed to download", "newconnectionerror", "certificate")  # fmt: skip
_NO_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) was not found in the (?:package registry|provided)")
_NO_PACKAGE_PIP = re.compile(r"No matching distribution found for (\S+)")
_NO_VERSION = re.compile(
    r"there (?:is|are) no versions? of ([A-Za-z0-9][A-Za-z0-9._-]*(?:[=<>!~]=?[^\s,]+)?)"
)


def unresolved(lines: Sequence[str]) -> bool:
    """Whether it failed because the versions that were asked for do not go together."""
    return _holds(lines, _UNRESOLVED)


def conflicting(lines: Sequence[str], pins: Mapping[str, str]) -> str | None:
    """The pin to drop: the least important of those that the explanation names, else the least important of all."""
    said = " ".join(lines)
    named = [
        name
        for name in pins
        if re.search(rf"(?<![\w.-]){re.escape(distribution(name))}(?![\w-])", _canonical(said))
    ]
    candidates = named or list(pins)
    return candidates[-1] if candidates else None


def from_output(ended: Ended, label: str, folder: Path) -> KaleServeError:
    """The error that a program's last lines tell."""
    lines = ended.lines
    text = "\n".join(lines)
    details = {"log_tail": [naming.plain(line) for line in lines[-TAIL_LINES:]], "exit": ended.status}
    if _holds(lines, _FULL):
        return full(label, folder, details=details)
    if unresolved(lines):
        package = _NO_PACKAGE.search(text) or _NO_PACKAGE_PIP.search(text) or _NO_VERSION.search(text)
        if package:
            return EnvironmentFailed(
                f"The environment for {label} cannot be made: the package {package[1]} is not to be had.",
                subject=package[1],
                hint="It may have been removed, renamed, or never been made for this Python and platform.",
                details=details,
            )
        return EnvironmentFailed(
            f"The environment for {label} cannot be made: the versions asked for do not go together.",
            subject=label,
            hint=_reason(lines),
            details=details,
        )
    if re.search(r"no interpreter found|python-build-standalone|querying python", text, re.IGNORECASE):
        return EnvironmentFailed(
            f"The environment for {label} needs a Python that is not on this machine: {_last(lines)}",
            subject=label,
            hint="Install it, or let uv fetch it where the network is there: uv python install",
            details=details,
        )
    if _holds(lines, _NETWORK):
        return EnvironmentFailed(
            f"The environment for {label} cannot be made: the package index cannot be reached.",
            subject=label,
            hint=_reason(lines),
            details=details,
        )
    how = f"was ended by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    return EnvironmentFailed(
        f"The environment for {label} cannot be made: its installer {how}. {_last(lines)}".rstrip(),
        subject=label,
        hint="Try again; details.log_tail holds what it said.",
        details=details,
    )


def from_os(error: OSError, label: str, folder: Path) -> KaleServeError:
    """The error for what the system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(label, folder)
    return EnvironmentFailed(f"The environment for {label} cannot be made: {error}.", subject=label)


def full(
    label: str, folder: Path, need: int | None = None, details: Mapping[str, object] | None = None
) -> StoreFull:
    """The error for a disk without room; `need` in bytes where it is known."""
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    about = f", which needs about {_size(need)}" if need else ""
    return StoreFull(
        f"There is no room for the environment of {label}{about}: {_size(free)} are free in {folder.parent}.",
        subject=str(folder.parent),
        hint="Free some: `kale-serve environments --prune` removes those that nothing uses; or set "
        "KALE_SERVE_ENVIRONMENTS_DIR to another disk.",
        details=details,
    )


def _holds(lines: Sequence[str], words: Sequence[str]) -> bool:
    said = "\n".join(lines).lower()
    return any(word in said for word in words)


def _reason(lines: Sequence[str]) -> str:
    shown = [naming.plain(line) for line in lines]
    told = [line for line in shown if re.match(r"(error|cause|because|hint)", line, re.IGNORECASE)]
    return " ".join(told or shown[-3:])[:1000]


def _last(lines: Sequence[str]) -> str:
    return next((shown for line in reversed(lines) if (shown := naming.plain(line))), "")


def _canonical(text: str) -> str:
    return re.sub(r"[_]+", "-", text).lower()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
