"""Which version of the package this process runs, and how two versions compare."""

from __future__ import annotations

import importlib
import re

PROTOCOL = 1
_PHASES = ("dev", "a", "b", "rc")


def own_version() -> str:
    """The version of the package that runs here; "0" in a checkout that was never built."""
    try:
        return str(importlib.import_module("kale_serve_lab._version").__version__)
    except ImportError:
        return "0"


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another; a pre-release comes before its release."""
    return _key(version) < _key(than)


def _key(version: str) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    rest = version[release.end() :] if release else version
    phase = re.search(r"dev|a|b|rc", rest)
    rank = _PHASES.index(phase.group()) if phase else len(_PHASES)
    return tuple(numbers), rank, tuple(int(part) for part in re.findall(r"\d+", rest))
