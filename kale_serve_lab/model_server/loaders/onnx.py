"""ONNX: `model.onnx`, by onnxruntime. The file says its inputs and outputs; loading it runs no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server import loaders

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRELOAD = ("onnxruntime", "numpy")

FILE = "model.onnx"

# What onnxruntime calls a tensor's elements, where it is not numpy's name.
_ELEMENTS = {"float": "FP32", "double": "FP64", "string": dtypes.BYTES}


def load(folder: Path, about: dict[str, Any]) -> Any:  # noqa: ARG001
    """An `OnnxModel`."""
    return OnnxModel(str(loaders.one_file(folder, FILE, (".onnx",))))


class OnnxModel:
    """A session that takes arrays by the names of the graph's inputs and gives a dict of arrays by those of its outputs.

    scikit-learn's converter writes probabilities as a list of `{label: probability}`: they become one array with a column
    for each label, which are `classes` of that output.
    """

    def __init__(self, model: str | bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Its warnings about unused initializers are for those who wrote the converter.
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # Its exceptions have no common class; the file's path in them says nothing.
            raise loaders.WrongFile(f"onnxruntime cannot read it: {str(error)[:500]}") from error
        inputs = [_spec(item) for item in self._session.get_inputs()]
        outputs = [_spec(item) for item in self._session.get_outputs()]
        self.declared = Signature(
            layout="tensor" if len(inputs) == 1 else "tensors", inputs=inputs, outputs=outputs
        )
        self.outputs = tuple(spec.name for spec in outputs)

    def predict(self, given: Any) -> dict[str, NDArray[Any]]:
        """All outputs of the graph."""
        from kale_serve_lab.model_server import fit

        found = self._session.run(None, fit.by_name(given, self.declared.inputs))
        return {name: _array(value) for name, value in zip(self.outputs, found, strict=True)}


def _spec(item: Any) -> TensorSpec:
    """Of onnxruntime's description of an input or output. Raises `WrongFile` for what cannot travel."""
    kind = item.type
    if kind.startswith("seq(map("):
        # One object a row: {label: probability}.
        return TensorSpec(item.name, _element(item.name, kind.rpartition(",")[2].strip(")")), (-1, -1))
    if not kind.startswith("tensor("):
        raise loaders.WrongFile(f"{item.name} is a {kind}; only tensors can be sent")
    shape = tuple(size if type(size) is int and size >= 0 else -1 for size in item.shape)
    return TensorSpec(item.name, _element(item.name, kind[len("tensor(") : -1]), shape)


def _element(name: str, element: str) -> str:
    element = element.removeprefix("tensor(")
    if element in _ELEMENTS:
        return _ELEMENTS[element]
    if element not in (known := {numpy_name: v2 for v2, (numpy_name, _) in dtypes.NUMPY.items()}):
        raise loaders.WrongFile(
            f"{name} has elements of type {element}, which cannot be sent: convert it to float32 within the graph"
        )
    return known[element]


def _array(value: Any) -> NDArray[Any]:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Sequence) and value and all(isinstance(row, Mapping) for row in value):
        labels = list(value[0])
        # Each number is a float32 that Python holds as a double.
        return np.array([[row[label] for label in labels] for row in value], dtype="float32")
    return np.asarray(value)


def labels(value: Any) -> tuple[Any, ...] | None:
    """The labels of an output that scikit-learn's converter wrote as objects, in the order of its columns."""
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        return tuple(value[0])
    return None
