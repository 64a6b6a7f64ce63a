"""Python: a function, or any object with `predict`: `model.pkl`, by value, with the source that it came from beside it."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers, source
from kale_serve_lab.artifacts.environment import distributions, requirements
from kale_serve_lab.artifacts.pickles import dump_by_value
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.inference.signature import Signature

PACKAGE = "cloudpickle"
FILE = "model.pkl"
FORMATS = ("cloudpickle",)

# An Endpoint predicts too, and is no model.
_OURS = "kale_serve_lab"


def is_function(obj: Any) -> bool:
    """A plain function, which is a model only where it is given as one."""
    return type(obj) is types.FunctionType


def matches(obj: Any) -> bool:
    """Whatever has a class with `predict` of its own; classes and modules are none. No property is asked."""
    if issubclass(type(obj), type | types.ModuleType):
        return False
    return not any(savers.module_of(cls).partition(".")[0] == _OURS for cls in type(obj).__mro__) and any(
        isinstance(cls.__dict__.get("predict"), _CALLED) for cls in type(obj).__mro__
    )


# What `def`, a decorator, a static method, a compiled class leave in a class; a property or a value is none.
_CALLED = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    staticmethod,
    classmethod,
)


def problem(obj: Any) -> str | None:  # noqa: ARG001
    """Nobody but its author knows whether it is ready."""
    return None


def methods(obj: Any) -> dict[str, Callable[[Any], Any]]:
    """The function as `predict`; of an object its `predict` and, where there is one, its `predict_proba`."""
    if is_function(obj):
        return {"predict": obj}
    return {
        name: getattr(obj, name)
        for name in ("predict", "predict_proba")
        if callable(getattr(type(obj), name, None))
    }


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """By value, so that the server needs no module of the user's; `source/` and `requirements.txt` are for people."""
    code = source.code_of(obj)
    dump_by_value(obj, folder / FILE)
    modules = {*code.packages, *source.packages_of(obj), PACKAGE}
    (folder / "requirements.txt").write_text(requirements(modules))
    files = (FILE, "requirements.txt", *source.write(code, folder))
    return Saved("cloudpickle", files, executable=True, packages=tuple(distributions(modules)))
