"""Version skew in words: what a model was saved with, against what will load it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping


def skew(saved: Mapping[str, str], runtime: Mapping[str, str]) -> list[str]:
    """One sentence for each distribution whose major or minor version differs; both are distribution: version."""
    there = {_key(name): version for name, version in runtime.items()}
    found = []
    for name, version in saved.items():
        other = there.get(_key(name))
        if other is not None and _minor(other) != _minor(version):
            found.append(f"saved with {name} {_minor(version)}, the runtime has {_minor(other)}")
    return found


def _key(name: str) -> str:
    plain = re.sub(r"[-_.]+", "-", name).lower()
    # XGBoost's and TensorFlow's builds without CUDA are distributions of other names.
    return plain.removesuffix("-cpu")


def _minor(version: str) -> str:
    found = re.match(r"\d+(?:\.\d+)?", version)
    return found[0] if found else version
