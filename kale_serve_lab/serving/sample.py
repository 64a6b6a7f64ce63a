"""A request for a real prediction on the artifact's own sample. Pure."""

from __future__ import annotations

from typing import Any

from kale_serve_lab.inference import tensors, v1, v2
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.inference.tensors import Tensor


def request(model_name: str, signature: Signature | None, protocol: str) -> tuple[str, bytes] | None:
    """Path and JSON body of a POST, by v1 or (for every other protocol) v2; None where there is no sample."""
    if signature is None or not signature.input_example:
        return None
    if protocol == "v1":
        return f"/v1/models/{model_name}:predict", v1.encode_request(_rows(signature))
    header, _, _ = v2.encode_request(_inputs(signature), binary=False)
    return f"/v2/models/{model_name}/infer", header


def _rows(signature: Signature) -> list[Any]:
    """Rows as any v1 server takes them: what has several inputs is an object by their names."""
    rows = signature.input_example or []
    if signature.layout != "tensors":
        return rows
    names = [spec.name for spec in signature.inputs]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _inputs(signature: Signature) -> list[Tensor]:
    rows = signature.input_example or []
    specs = signature.wire_inputs()
    if signature.layout == "tensor" or signature.one_dtype is not None:
        return [_tensor(specs[0].name, specs[0].dtype, rows)]
    return [_tensor(spec.name, spec.dtype, [row[i] for row in rows]) for i, spec in enumerate(specs)]


def _tensor(name: str, dtype: str, rows: list[Any]) -> Tensor:
    shape: list[int] = []
    inner: Any = rows
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    return tensors.from_json(name, dtype, tuple(shape), rows)
