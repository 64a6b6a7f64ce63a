"""What a model answers, by the names that its outputs have on the wire."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kale_serve_lab.errors import InvalidInput, KaleServeError, ModelLoadFailed, PredictFailed
from kale_serve_lab.inference import tensors

# What a request may ask for by name: an attribute of the model is never reached by a name from the wire.
METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score_samples",
)

# An array; a list of them (one for each output of a multi-output model); a dict of them (a model that names its outputs).
Answer = NDArray[Any] | list[NDArray[Any]] | dict[str, NDArray[Any]]

log = logging.getLogger("kale_serve_lab.model_server")


class Outputs:
    """A loaded model's methods, and the outputs that its `predict` names.

    `named`: names of outputs beside those of the model itself (its signature's). `method`: what answers a request that
    asks for nothing by name, None for the first that the model has. Raises `ModelLoadFailed` where it has none.
    """

    def __init__(
        self, model: Any, service: str, method: str | None = None, named: Sequence[str] = ()
    ) -> None:
        self._service = service
        self._model = model
        self._methods: dict[str, Callable[[Any], Any]] = {
            name: getattr(model, name) for name in METHODS if callable(getattr(model, name, None))
        }
        default = method or next(iter(self._methods), None)
        if default not in self._methods:
            raise ModelLoadFailed(
                f"{service}: {type(model).__name__} has no method {default or 'predict'!r}.",
                subject=service,
                hint=f"It has {', '.join(self._methods) or 'nothing to predict with'}.",
            )
        self.default = default
        self._own = [
            name for name in dict.fromkeys((*getattr(model, "outputs", ()), *named)) if name not in METHODS
        ]

    def check(self, names: Sequence[str]) -> None:
        """Raises `InvalidInput` for an output that the model does not have."""
        for name in names:
            if name not in self._methods and name not in self._own:
                raise InvalidInput(
                    f"{self._service} has no output {name[:100]!r}.",
                    subject=name[:100],
                    hint=f"It has {', '.join((*self._methods, *self._own))}.",
                )

    def of(self, names: Sequence[str], given: Any) -> dict[str, Answer]:
        """The model's answers by the names that were asked for; nothing asked is the default method.

        Raises `PredictFailed` with what the model raised, or `InvalidInput` where it found its input wrong.
        """
        self.check(names)
        answers: dict[str, Answer] = {}
        found: dict[str, Answer] = {}
        for name in names or (self.default,):
            method = self._method(name)
            if method not in answers:
                answers[method] = self._run(method, given)
            found[name] = (
                answers[method] if name in self._methods else self._part(name, method, answers[method])
            )
        return found

    def asked_by(self, tensor_name: str, names: Sequence[str]) -> str:
        """The name among those that were asked for under which this tensor is answered."""
        if tensor_name in names:
            return tensor_name
        method = self._method(tensor_name)
        return method if method in names else self.default

    def _method(self, name: str) -> str:
        if name in self._methods:
            return name
        # One output of a multi-output model: predict_proba-1.
        base, _, number = name.rpartition("-")
        return base if base in self._methods and number.isdigit() else self.default

    def _part(self, name: str, method: str, answer: Answer) -> NDArray[Any]:
        parts = by_name(method, answer)
        if name not in parts:
            raise InvalidInput(
                f"{self._service} answered no output {name!r}.",
                subject=name,
                hint=f"It answered {', '.join(parts)}.",
            )
        return parts[name]

    def _run(self, method: str, given: Any) -> Answer:
        try:
            return plain(self._methods[method](given))
        except KaleServeError:
            raise
        except BaseException as error:  # a user's model may raise anything, SystemExit included
            log.exception("%s: %s failed", self._service, method)
            raise PredictFailed(
                f"{type(self._model).__name__}.{method} raised {type(error).__name__}: {error}",
                subject=self._service,
                hint="The log has the traceback.",
                details={"exception": type(error).__name__},
            ) from error


def by_name(name: str, answer: Answer) -> dict[str, NDArray[Any]]:
    """The tensors of an answer that was asked for as `name`: several are `name-0`, `name-1` …, or have names of their own."""
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, list):
        return {f"{name}-{at}": part for at, part in enumerate(answer)}
    return {name: answer}


def plain(value: Any) -> Answer:
    """What a model's method returned, as arrays."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Mapping):
        return {str(name): _array(part) for name, part in value.items()}
    if isinstance(value, list | tuple) and value:
        parts = [
            part if isinstance(part, np.ndarray) else tensors.of_framework("predict", part) for part in value
        ]
        if all(part is not None and part.ndim for part in parts):
            return [np.asarray(part) for part in parts]
    return _array(value)


def rows(answer: Answer) -> Any:
    """An answer as v1 has it: of a model that names several outputs an object for each row, as TensorFlow Serving does."""
    if not isinstance(answer, dict):
        return answer
    if len(answer) == 1:
        return next(iter(answer.values()))
    sizes = {len(part) if part.ndim else -1 for part in answer.values()}
    if len(sizes) != 1 or -1 in sizes:
        # What is no output a row cannot be written by rows.
        return answer
    listed = {name: part.tolist() for name, part in answer.items()}
    return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    for convert in ("toarray", "to_numpy"):
        if hasattr(value, convert):
            return np.asarray(getattr(value, convert)())
    own = tensors.of_framework("predict", value)
    return np.asarray(value) if own is None else own
