"""ONNX: `model.onnx`, with its weights beside it where they are too large for one file; runs no code when loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.errors import InvalidSignature
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec

PACKAGE = "onnx"
FILE = "model.onnx"
WEIGHTS = "model.onnx.data"
FORMATS = ("onnx",)

# A protobuf has at most 2 GiB; what describes the graph takes some of it.
_MOST_BYTES = 2_000_000_000


def matches(obj: Any) -> bool:
    """A `ModelProto`, as converters return it and `onnx.load` reads it."""
    return savers.derives_from(obj, PACKAGE, "ModelProto")


def problem(obj: Any) -> str | None:
    """No valid graph, or no onnxruntime to serve it with."""
    import importlib.util

    import onnx

    if not obj.graph.output:
        return "has no outputs"
    if obj.ByteSize() < _MOST_BYTES:
        try:
            onnx.checker.check_model(obj)
        except onnx.checker.ValidationError as error:
            return f"is no valid graph ({str(error).strip().splitlines()[0]})"
    if importlib.util.find_spec("onnxruntime") is None:
        return "needs onnxruntime to predict, which is not installed here: pip install onnxruntime"
    return None


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """As one file up to 2 GB."""
    import onnx

    if obj.ByteSize() < _MOST_BYTES:
        # onnx.save would leave the order of maps to chance.
        (folder / FILE).write_bytes(obj.SerializeToString(deterministic=True))
        return Saved("onnx", (FILE,), executable=False, packages=("onnxruntime", "onnx"))
    # It takes the weights out of the object it is given.
    copy = type(obj)()
    copy.CopyFrom(obj)
    onnx.save_model(copy, str(folder / FILE), save_as_external_data=True, location=WEIGHTS)
    return Saved("onnx", (FILE, WEIGHTS), executable=False, packages=("onnxruntime", "onnx"))


def methods(obj: Any) -> dict[str, Callable[[Any], Any]]:
    """By onnxruntime: a graph has no other way to predict."""
    from kale_serve_lab.model_server.loaders.onnx import OnnxModel

    return {"predict": OnnxModel(obj.SerializeToString()).predict}


def declared(obj: Any) -> Signature | None:
    """The graph's own inputs and outputs."""
    weights = {weight.name for weight in obj.graph.initializer}
    # Before its third version the format listed the weights among the inputs.
    inputs = [_spec(item) for item in obj.graph.input if item.name not in weights]
    return Signature(
        layout="tensor" if len(inputs) == 1 else "tensors",
        inputs=inputs,
        outputs=[_spec(item) for item in obj.graph.output],
    )


def _spec(item: Any) -> TensorSpec:
    """Raises `InvalidSignature` for a type that cannot travel."""
    import onnx

    if item.type.HasField("sequence_type"):
        # scikit-learn's converter: an object of label and probability for each row.
        value = item.type.sequence_type.elem_type.map_type.value_type.tensor_type
        return TensorSpec(item.name, _v2(onnx, item.name, value.elem_type), (-1, -1))
    tensor = item.type.tensor_type
    shape = tuple(
        int(size.dim_value) if size.HasField("dim_value") and size.dim_value > 0 else -1
        for size in tensor.shape.dim
    )
    return TensorSpec(item.name, _v2(onnx, item.name, tensor.elem_type), shape)


def _v2(onnx: Any, name: str, element: int) -> str:
    if element == onnx.TensorProto.STRING:
        return dtypes.BYTES
    if element in (onnx.TensorProto.BFLOAT16, onnx.TensorProto.UNDEFINED):
        raise InvalidSignature(
            f"{name} is of type {onnx.TensorProto.DataType.Name(element)}, which cannot be sent.",
            subject=name,
            hint="Convert it to FLOAT within the graph.",
        )
    return dtypes.v2_name(onnx.helper.tensor_dtype_to_np_dtype(element))
