"""The environment that a model was made in, which is the one that it is served in."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

# What a model's input or its arrays are made of, where the notebook has them loaded.
_ALONGSIDE = ("numpy", "scipy", "pandas")
# Looking through all that is installed takes a quarter of a second; these need no search.
_KNOWN = {
    "cloudpickle": "cloudpickle",
    "joblib": "joblib",
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "xgboost": "xgboost",
}
# More distributions than this in one module are a namespace (`google`), which says nothing.
_MOST_OF_ONE = 3


def environment(packages: Iterable[str] = (), modules: Iterable[str] = ()) -> dict[str, Any]:
    """The present interpreter, its platform, and the versions of what is needed.

    That is: the distributions `packages`, those of the top-level `modules`, and the usual ones that are loaded.
    """
    versions = {}
    for name in packages:
        found = _version(name)
        if found is not None:
            versions[name] = found
    loaded = [name for name in _ALONGSIDE if name in sys.modules]
    for name, version in distributions([*modules, *loaded]).items():
        versions.setdefault(name, version)
    return {
        "python": sys.executable,
        "python_version": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "packages": versions,
    }


def distributions(modules: Iterable[str]) -> dict[str, str]:
    """The installed distributions, with versions, that these top-level modules come from."""
    found: dict[str, str] = {}
    for module in sorted(set(modules)):
        for name in map(_normal, _distributions_of(module)):
            version = _version(name)
            if version is not None:
                found.setdefault(name, version)
    return found


def requirements(modules: Iterable[str]) -> str:
    """A requirements.txt of these modules' distributions, as installed here."""
    # A local version (2.13.0+cpu) says where a build came from; no index has it by that name.
    lines = [f"{name}=={version.partition('+')[0]}" for name, version in distributions(modules).items()]
    return "".join(f"{line}\n" for line in sorted(lines, key=str.lower))


def _distributions_of(module: str) -> list[str]:
    known = _KNOWN.get(module)
    if known is not None and _version(known) is not None:
        return [known]
    if module not in _installed() and module in sys.modules:
        # Installed since.
        _installed.cache_clear()
    found = sorted(set(_installed().get(module, ())))
    return found if len(found) <= _MOST_OF_ONE else []


def _normal(name: str) -> str:
    """As indexes write it; a build without CUDA by the name of what it is a build of."""
    return re.sub(r"[-_.]+", "-", name).lower().removesuffix("-cpu")


@cache
def _installed() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _version(name: str) -> str | None:
    # A build without CUDA (XGBoost's, TensorFlow's) is a distribution of another name.
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None
