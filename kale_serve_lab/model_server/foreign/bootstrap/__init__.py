"""Scripts that the interpreter of another server's environment runs: they import that server, and nothing of ours."""

from __future__ import annotations

from pathlib import Path


def script(name: str) -> Path:
    """The path of one of them."""
    return Path(__file__).with_name(name)
