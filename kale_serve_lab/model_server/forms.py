"""Between tensors and what transformers see of them: JSON objects, and kserve's classes (or their stand-ins)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from kale_serve_lab.errors import PredictFailed
from kale_serve_lab.inference import dtypes, tensors, v2
from kale_serve_lab.model_server import kserve_stand_in


def json_form(result: Any) -> dict[str, Any]:
    """The answer of a transformer as an object. Raises `PredictFailed` where it is none."""
    if hasattr(result, "to_rest"):
        # kserve's objects; the real one may answer binary, which is turned back by asking each output.
        return {
            "model_name": result.model_name,
            "id": result.id,
            "outputs": [to_dict(tensor(item)) for item in result.outputs],
        }
    if not isinstance(result, Mapping):
        raise PredictFailed(
            f"The transformer's postprocess gave a {type(result).__name__}, not an object.",
            hint='It returns {"predictions": [...]}.',
        )
    return dict(result)


def to_dict(tensor: tensors.Tensor) -> dict[str, Any]:
    """A tensor as v2's JSON has it, with its data as a flat list."""
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "datatype": tensor.dtype,
        "data": tensors.to_json(tensor),
    }


def tensor(item: Any) -> tensors.Tensor:
    """The tensor in one of kserve's inputs or outputs."""
    found = tensors.from_array(item.name, item.as_numpy())
    if found.dtype != item.datatype and item.datatype != "BYTES" != found.dtype:
        return tensors.from_array(item.name, found.data.astype(dtypes.NUMPY[item.datatype][0]))
    return found


def _kserve(name: str) -> Any:
    return getattr(sys.modules.get("kserve", kserve_stand_in), name)


def _filled(cls: Any, tensor: tensors.Tensor) -> Any:
    item = cls(name=tensor.name, shape=list(tensor.shape), datatype=tensor.dtype)
    # Texts go in as kserve has them, as bytes.
    item.set_data_from_numpy(tensor.data, binary_data=False)
    return item


def infer_request(name: str, request_id: str, asked: v2.InferRequest) -> Any:
    """A v2 request as kserve's InferRequest."""
    wanted = [_kserve("RequestedOutput")(output.name) for output in asked.outputs] if asked.outputs else None
    given = [_filled(_kserve("InferInput"), tensor) for tensor in asked.inputs]
    made = _kserve("InferRequest")(
        model_name=name, infer_inputs=given, request_id=request_id, parameters=asked.parameters
    )
    if wanted:
        made.request_outputs = wanted
    return made


def infer_response(found: v2.InferResponse) -> Any:
    """A v2 answer as kserve's InferResponse."""
    return _kserve("InferResponse")(
        response_id=found.id,
        model_name=found.model_name,
        model_version=found.model_version,
        infer_outputs=[_filled(_kserve("InferOutput"), tensor) for tensor in found.outputs],
    )
