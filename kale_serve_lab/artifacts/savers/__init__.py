"""From a model to files: one module a format, chosen by the first class in the model's MRO that one knows."""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from kale_serve_lab.errors import UnsupportedModel

if TYPE_CHECKING:
    from kale_serve_lab.inference.signature import Signature

# KServe's names of the model formats, and the modules of this package.
FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "lightgbm",
    "pytorch",
    "tensorflow",
    "onnx",
    "pmml",
    "mlflow",
    "python",
)

# Whose classes are whose. PMML and MLflow have none of their own here: the one is asked for, the other is a folder.
_BY_PACKAGE = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "torch": "pytorch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "tf_keras": "tensorflow",
    "onnx": "onnx",
}
_METHODS = ("predict", "predict_proba", "decision_function")


@dataclass(frozen=True)
class Saved:
    """What lies in the folder now. `packages` are the distributions that loading it needs."""

    format: str
    files: tuple[str, ...]
    executable: bool
    packages: tuple[str, ...]


class Saver(Protocol):
    """A module of this package.

    It may also define `methods(obj) -> dict`: what `methods` below gives for an object whose own attributes are not its
    methods (a module that is called, a booster with a matrix class of its own).
    """

    PACKAGE: str
    """The top-level module whose classes it knows."""

    FORMATS: tuple[str, ...]
    """The `Saved.format`s that may be asked for."""

    def matches(self, obj: Any) -> bool:
        """By the names in the MRO alone: the framework is not imported."""

    def problem(self, obj: Any) -> str | None:
        """Why it cannot be served (not fitted, cannot predict), as a sentence that goes on after the class's name."""

    def save(
        self, obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None
    ) -> Saved:
        """Writes the model, in the form `wanted` (one of FORMATS) where one is. Raises whatever the framework raises."""


def framework_of(obj: Any) -> str | None:
    """The format that saves the object, None where there is none. Never raises and runs no code of the object's.

    The first class of the MRO that a framework has decides: an XGBClassifier is XGBoost's though it derives from scikit-learn's
    classes, and a Pipeline that holds one is scikit-learn's. Last, whatever defines `predict` is a Python object.
    """
    for cls in type(obj).__mro__:
        framework = _BY_PACKAGE.get(module_of(cls).partition(".")[0])
        if framework is not None:
            if saver(framework).matches(obj):
                return framework
            break
    return "python" if saver("python").matches(obj) else None


def is_model(obj: Any) -> bool:
    """Whether what was given by its user can be one: functions too, of which a notebook has many that are none."""
    return type(obj) is types.FunctionType or framework_of(obj) is not None


def saver(framework: str) -> Saver:
    """The format's saver. Raises `UnsupportedModel` for one that there is none for."""
    if framework not in FRAMEWORKS:
        raise UnsupportedModel(
            f"There is no saver for {framework!r} models.",
            subject=framework,
            hint=f"Supported are {', '.join(FRAMEWORKS)}; a model's files can be given as artifact_uri.",
        )
    return cast("Saver", importlib.import_module(f"kale_serve_lab.artifacts.savers.{framework}"))


def methods(obj: Any, framework: str | None = None) -> Mapping[str, Callable[[Any], Any]]:
    """The object's own prediction methods by name, `predict` first; each takes what the loaded model's would.

    So its answers are what the served model's are compared with.
    """
    framework = framework or framework_of(obj) or ("python" if is_model(obj) else None)
    own = None if framework is None else getattr(saver(framework), "methods", None)
    if own is not None:
        return cast("Mapping[str, Callable[[Any], Any]]", own(obj))
    found = {}
    for name in _METHODS:
        # A property may ask an unfitted or foreign step, and fail.
        with contextlib.suppress(Exception):
            if callable(method := getattr(obj, name, None)):
                found[name] = method
    return found


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
