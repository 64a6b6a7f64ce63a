"""ONNX: `model.onnx`, with its weights beside it where they are too large for one file; runs no code when loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.inference.signature import Signature

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
    from kale_serve_lab.model_server.loaders.onnx import OnnxModel

    return OnnxModel(obj.SerializeToString()).declared
