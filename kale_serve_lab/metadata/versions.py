"""Versions of artifacts: which one comes next."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERS = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?")


def numbers(version: str) -> tuple[int, int, int] | None:
    """Major, minor and patch of `1.2.3`, `1.2`, `2` or `v2`; None for anything else, pre-releases included."""
    match = _NUMBERS.fullmatch(version)
    return None if match is None else (int(match[1]), int(match[2] or 0), int(match[3] or 0))


def following(existing: Iterable[str]) -> str:
    """The next patch after the highest numbered version; 1.0.0 where there is none."""
    found = [parts for version in existing if (parts := numbers(version))]
    if not found:
        return "1.0.0"
    major, minor, patch = max(found)
    return f"{major}.{minor}.{patch + 1}"
