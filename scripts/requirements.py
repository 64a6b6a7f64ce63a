#!/usr/bin/env python3
"""Print what the development environment needs, from pyproject.toml, without building the project first.

The extension's own build needs jlpm, which comes from these requirements: so they are installed before the project is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]


def requirements(pyproject: dict) -> list[str]:
    """All dependencies and those of the `dev` extra, with references to our own extras followed."""
    extras: dict[str, list[str]] = pyproject["project"]["optional-dependencies"]

    def expand(lines: list[str]) -> list[str]:
        found: list[str] = []
        for line in lines:
            own = re.fullmatch(r"kale-serve-lab\[([\w,]+)\]", line)
            found += [x for name in own[1].split(",") for x in expand(extras[name])] if own else [line]
        return found

    return expand([*pyproject["project"]["dependencies"], "kale-serve-lab[dev]"])


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.stdout.write("\n".join(requirements(tomllib.loads((root / "pyproject.toml").read_text()))) + "\n")
