"""What a model knows of its input and classes, whatever its framework calls it."""

from __future__ import annotations

import inspect
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import derives_from, framework_of
from kale_serve_lab.inference.signature import Signature

_TENSORS = ("pytorch", "tensorflow", "onnx")


def expected(model: Any) -> tuple[int | None, list[str] | None]:
    """How many features it was fitted on, and their names where they are the user's own."""
    if derives_from(model, "xgboost", "Booster"):
        return int(model.num_features()), _texts(model.feature_names)
    if derives_from(model, "lightgbm", "Booster"):
        return int(model.num_feature()), _own(_texts(model.feature_name()))
    if takes_tensors(model):
        return _width(model), None
    names = _own(_texts(_get(model, "feature_names_in_")))
    count = _get(model, "n_features_in_")
    if count is None and names is not None:
        count = len(names)
    return (None if count is None else int(count)), names


def takes_tensors(model: Any) -> bool:
    """Whether it is of a framework whose models take tensors by name, and no tables."""
    return framework_of(model) in _TENSORS


def declared(model: Any) -> Signature | None:
    """What the model says of its inputs and outputs itself, with their own names; None where it says nothing."""
    found = _of_saver(model, "declared")
    return found if isinstance(found, Signature) else None


def input_names(model: Any) -> list[str] | None:
    """The names of its inputs where only those are known (the arguments of `forward`)."""
    return _texts(_of_saver(model, "input_names"))


def float_dtype(model: Any) -> str | None:
    """The v2 name of the type that it takes floats in; None where the sample's own will do."""
    found = _of_saver(model, "float_dtype")
    return None if found is None else str(found)


def classes(model: Any) -> tuple[Any, ...] | None:
    """A classifier's labels as JSON values, in the order of `predict_proba`'s columns."""
    return _labels(_get(model, "classes_"))


def classes_of_each(model: Any) -> tuple[tuple[Any, ...] | None, ...]:
    """The labels of each output of a multi-output classifier, which keeps them in a list; () of any other model."""
    found = _get(model, "classes_")
    return tuple(_labels(part) for part in found) if isinstance(found, list) else ()


def estimator_type(model: Any) -> str | None:
    """classifier, regressor, ranker …, as scikit-learn's classes say it."""
    for name in ("Classifier", "Regressor", "Ranker"):
        if any(
            cls.__name__.endswith((f"{name}Mixin", f"XGB{name}", f"LGBM{name}"))
            for cls in type(model).__mro__
        ):
            return name.lower()
    return None


def _labels(found: Any) -> tuple[Any, ...] | None:
    if found is None or getattr(found, "ndim", 1) != 1 or isinstance(found, str):
        return None
    labels = found.tolist() if hasattr(found, "tolist") else list(found)
    plain = all(isinstance(label, str | int | float | bool) for label in labels)
    return tuple(labels) if plain and labels else None


def _own(names: list[str] | None) -> list[str] | None:
    # LightGBM names the columns of an array so.
    made_up = names is not None and all(name == f"Column_{index}" for index, name in enumerate(names))
    return None if made_up else names


def _texts(names: Any) -> list[str] | None:
    return None if names is None else [str(name) for name in names]


def _get(model: Any, name: str) -> Any:
    if framework_of(model) == "python":
        # Nobody knows what a property of the user's own class does.
        found = inspect.getattr_static(model, name, None)
        return None if hasattr(found, "__get__") else found
    try:
        return getattr(model, name, None)
    except Exception:  # a property that asks an unfitted or foreign step
        return None


def _of_saver(model: Any, name: str) -> Any:
    framework = framework_of(model)
    if framework not in _TENSORS:
        return None
    found = getattr(savers.saver(framework), name, None)
    return None if found is None else found(model)


def _width(model: Any) -> int | None:
    """The columns of a table that it takes, where it takes one."""
    own = _of_saver(model, "width")
    if own is not None:
        return int(own)
    signature = declared(model)
    if signature is None or len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 2:
        return None
    width = signature.inputs[0].shape[1]
    return None if width == -1 else width
