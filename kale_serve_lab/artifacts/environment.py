"""The environment that a model was made in, which is the one that it is served in."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

# What a model's input or its arrays are made of, where the notebook has them loaded.
_ALONGSIDE = {"numpy": "numpy", "scipy": "scipy", "pandas": "pandas"}


def environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """The present interpreter, its platform and the versions of these distributions and of the usual ones that are loaded."""
    wanted = [*packages, *(name for module, name in _ALONGSIDE.items() if module in sys.modules)]
    versions = {}
    for name in dict.fromkeys(wanted):
        version = _version(name)
        if version is not None:
            versions[name] = version
    return {
        "python": sys.executable,
        "python_version": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "packages": versions,
    }


def _version(name: str) -> str | None:
    # XGBoost's build without CUDA is a distribution of another name.
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None
