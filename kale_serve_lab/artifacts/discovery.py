"""Which variables of a notebook are models, and which hold the data that one was trained on.

Only classes are looked at, and attributes of objects whose framework is known: a user's own objects are never asked for
their repr or a property. The namespace is copied first, since a cell may be running.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kale_serve_lab.artifacts import capture, features, kinds, savers, tensor_inputs
from kale_serve_lab.artifacts.dataset import Dataset, made_in_this_session
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.inference.signature import Signature

# Trying a sample means predicting five rows; a notebook with many tables of one width is not searched to its end.
_MOST_TRIED = 4
_PREFERRED = re.compile(r"^(x|features|inputs)_?(train|tr|training)", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A variable that may be a model's training data. `label` says it: "X_train", "the dataset cancer"."""

    variable: str
    label: str
    data: Any
    score: int


def namespace_of_main() -> dict[str, Any]:
    """A copy of the notebook's or script's variables, without private ones, modules and classes."""
    shell = sys.modules.get("IPython")
    ipython = shell.get_ipython() if shell is not None else None
    names = ipython.user_ns if ipython is not None else vars(sys.modules["__main__"])
    module = type(sys)
    return {
        name: value
        for name, value in list(names.items())
        if not name.startswith("_")
        and name not in ("In", "Out", "exit", "quit", "get_ipython")
        and not kinds.is_class(value)
        and not isinstance(value, module)
    }


def executed_sources() -> list[str]:
    """The cells that were run so far, newest first; empty in a script."""
    shell = sys.modules.get("IPython")
    ipython = shell.get_ipython() if shell is not None else None
    cells = ipython.user_ns.get("In") if ipython is not None else None
    return (
        [cell for cell in reversed(list(cells)) if isinstance(cell, str) and cell]
        if isinstance(cells, list)
        else []
    )


def models(namespace: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(variable, model, framework) of each variable that some saver takes; a model of two names comes once, under the first."""
    seen: set[int] = set()
    for name, value in namespace.items():
        framework = savers.framework_of(value)
        if framework is None or id(value) in seen:
            continue
        # A scaler or vectorizer is an estimator too, but nothing to serve by itself.
        if framework == "sklearn" and not any("predict" in vars(cls) for cls in type(value).__mro__):
            continue
        seen.add(id(value))
        yield name, value, framework


def candidates(model: Any, namespace: Mapping[str, Any], sources: Iterable[str] = ()) -> list[Candidate]:
    """The variables whose shape and names fit what the model was fitted on, the likeliest first."""
    count, names = features.expected(model)
    fitted_on = fit_arguments(model, namespace, sources)
    found = []
    for dataset in made_in_this_session():
        score = _fit(dataset.features, count, names)
        if score is not None:
            variable = next(
                (key for key, value in namespace.items() if value is dataset), dataset.name or "dataset"
            )
            found.append(
                Candidate(variable, f"the dataset {dataset.name or variable}", dataset.features, score + 60)
            )
    for variable, value in namespace.items():
        if not kinds.is_table_like(value) and not (variable in fitted_on and type(value) is list):
            continue
        # Without a known width only what stands in a call of fit is worth trying.
        score = _fit(value, count, names) if count is not None else 0 if variable in fitted_on else None
        if score is None:
            continue
        if variable in fitted_on:
            score += 100 - fitted_on.index(variable)
        found.append(Candidate(variable, variable, value, score + _by_name(variable)))
    return sorted(found, key=lambda candidate: -candidate.score)


def find_signature(model: Any, namespace: Mapping[str, Any], sources: Iterable[str] = ()) -> Signature | None:
    """The signature by the likeliest data that the model can predict, else by what the model knows of itself."""
    for candidate in candidates(model, namespace, sources)[:_MOST_TRIED]:
        try:
            return signature_by(model, candidate.data, candidate.label)
        except (KaleServeError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            continue
    return capture.from_model(model)


def signature_by(model: Any, given: Any, label: str | None) -> Signature:
    """The signature by this data, in the order of the model's own columns, with the outputs that it gives for it.

    Raises `InvalidSignature` where the model cannot predict it.
    """
    own = tensor_inputs.of_sample(model, given, label)
    if own is not None:
        signature, sample = own
        return capture.with_outputs(signature, model, sample) if signature.input_example else signature
    data = capture.rows_of(given)
    _, names = features.expected(model)
    if names and kinds.is_frame(data) and list(data.columns) != names and set(names) <= set(data.columns):
        data = data[names]
    rows = min(int(data.shape[0]), capture.SAMPLE_ROWS)
    source = f"{rows} row{'s' if rows != 1 else ''} of {label}" if label else None
    signature = capture.signature_from(data, names=names, source=source)
    return capture.with_outputs(signature, model, data) if rows else signature


def training_datasets(model: Any) -> list[Dataset]:
    """The submitted datasets of the session that fit the model: inputs of its training."""
    count, names = features.expected(model)
    return [
        dataset
        for dataset in made_in_this_session()
        if dataset.id is not None and count is not None and _fit(dataset.features, count, names) is not None
    ]


def datasets(namespace: Mapping[str, Any]) -> dict[str, Dataset]:
    """The variables that are datasets of ours."""
    return {name: value for name, value in namespace.items() if type(value) is Dataset}


def fit_arguments(model: Any, namespace: Mapping[str, Any], sources: Iterable[str]) -> list[str]:
    """The variables that stand as features in a call of this model's `fit`, of the newest call first.

    A Python object need not be fitted, nor a function: their `predict`, or the function itself, takes the same.
    """
    own = {name for name, value in namespace.items() if value is model}
    class_name = type(model).__name__
    python = savers.framework_of(model) in ("python", None)
    methods = ("fit", "partial_fit", "predict") if python else ("fit", "partial_fit")
    found: list[str] = []
    for source in sources:
        try:
            tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute):
                called = node.func.attr in methods and _names(node.func.value) & (own | {class_name})
            else:
                called = python and _names(node.func) & own
            if not called:
                continue
            given = (
                node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "X"), None)
            )
            root = given
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name) and root.id not in found:
                found.append(root.id)
    return found


def _names(node: ast.AST) -> set[str]:
    """What a fit is called on: `model` in `model.fit(…)`, `Forest` in `sk.Forest(depth=3).fit(…)`, a pipeline's maker."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.Call):
        made_by = _names(node.func)
        # make_pipeline(…) gives a Pipeline.
        return made_by | ({"Pipeline"} if "make_pipeline" in made_by else set())
    return set()


def _fit(value: Any, count: int | None, names: list[str] | None) -> int | None:
    """How well the data fits, None where it does not."""
    if not kinds.is_table_like(value):
        return None if count is not None else 0
    width = int(value.shape[1]) if len(value.shape) == 2 else None
    if not value.shape or not value.shape[0]:
        return None
    if kinds.is_frame(value) and names is not None:
        columns = list(value.columns)
        if columns == names:
            return 30
        # The whole table with its target column holds the features too.
        return 5 if set(names) <= set(columns) else None
    if width is None or width != count:
        return None
    return 10 if names is None else 5


def _by_name(variable: str) -> int:
    lower = variable.lower()
    if _PREFERRED.match(variable):
        return 50
    if "test" in lower or "val" in lower:
        return 0
    if "train" in lower:
        return 25
    return 20 if lower in ("x", "features", "data", "inputs") else 10
