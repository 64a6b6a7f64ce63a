"""From a fitted model to files: one module a framework, chosen by the first class in the model's MRO that one knows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from kale_serve_lab.errors import UnsupportedModel

FRAMEWORKS = ("sklearn", "xgboost", "lightgbm")


@dataclass(frozen=True)
class Saved:
    """What lies in the folder now. `packages` are the distributions that loading it needs."""

    format: str
    files: tuple[str, ...]
    executable: bool
    packages: tuple[str, ...]


class Saver(Protocol):
    """A module of this package."""

    PACKAGE: str
    """The top-level module whose classes it knows."""

    def matches(self, obj: Any) -> bool:
        """By the names in the MRO alone: the framework is not imported."""

    def problem(self, obj: Any) -> str | None:
        """Why it cannot be served (not fitted, cannot predict), as a sentence that goes on after the class's name."""

    def save(self, obj: Any, folder: Path) -> Saved:
        """Writes the model. Raises whatever the framework raises."""


def framework_of(obj: Any) -> str | None:
    """The framework that saves the object, None where there is none. Never raises and runs no code of the object's.

    The first class of the MRO decides: an XGBClassifier is XGBoost's though it derives from scikit-learn's classes, and a
    Pipeline that holds one is scikit-learn's.
    """
    for cls in type(obj).__mro__:
        package = module_of(cls).partition(".")[0]
        if package in FRAMEWORKS:
            return package if saver(package).matches(obj) else None
    return None


def saver(framework: str) -> Saver:
    """The framework's saver. Raises `UnsupportedModel` for one that there is none for."""
    if framework not in FRAMEWORKS:
        raise UnsupportedModel(
            f"There is no saver for {framework!r} models.",
            subject=framework,
            hint=f"Supported are {', '.join(FRAMEWORKS)}; a model's files can be given as artifact_uri.",
        )
    return cast("Saver", importlib.import_module(f"kale_serve_lab.artifacts.savers.{framework}"))


def module_of(cls: type) -> str:
    """A class's module; a metaclass of the user's is not asked."""
    # By type's own descriptor: a class written in C (numpy's ndarray) has no such entry in its dict.
    found = type.__dict__["__module__"].__get__(cls)
    return found if isinstance(found, str) else ""


def derives_from(obj: Any, package: str, name: str) -> bool:
    """Whether a class of this name, defined anywhere in the package, is in the object's MRO."""
    return any(
        cls.__name__ == name and module_of(cls).partition(".")[0] == package for cls in type(obj).__mro__
    )
