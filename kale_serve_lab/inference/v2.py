"""The Open Inference Protocol (v2) as bytes: JSON, and the binary tensor extension.

A binary body is a JSON header followed by the raw data of the tensors that have `parameters.binary_data_size`, in their
order; `Inference-Header-Content-Length` says where the header ends. The header is padded with spaces to a multiple of 8
bytes, so that views of the data are aligned.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, strict_json, tensors
from kale_serve_lab.inference.tensors import Tensor

JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
LENGTH_HEADER: Final = "Inference-Header-Content-Length"
MAX_TENSORS: Final = 65_536

_prefix = os.urandom(4).hex()
_counter = itertools.count(1)

Encoded = tuple[bytes, list[memoryview], int | None]


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a request asks for; `binary` is None where it leaves the form to the request as a whole."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True)
class InferRequest:
    """A decoded request; `outputs` is None where it leaves the choice to the model."""

    id: str
    inputs: list[Tensor]
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def wants_binary(self, name: str) -> bool:
        """Whether the output of this name is to be answered in binary."""
        for output in self.outputs or ():
            if output.name == name and output.binary is not None:
                return output.binary
        return self.parameters.get("binary_data_output") is True


@dataclass(frozen=True)
class InferResponse:
    """A decoded answer."""

    model_name: str
    model_version: str | None
    id: str
    outputs: list[Tensor]
    parameters: dict[str, Any] = field(default_factory=dict)


def new_id() -> str:
    """A request id; always sent, because some servers fail without one."""
    return f"{_prefix}-{next(_counter)}"


def encode_request(
    inputs: Sequence[Tensor],
    outputs: Sequence[str] | None = None,
    id: str | None = None,  # noqa: A002
    *,
    binary: bool = True,
) -> Encoded:
    """Header, buffers to send after it without a copy, and the header's length (None: all is JSON)."""
    payload: dict[str, Any] = {"id": id or new_id()}
    buffers: list[memoryview] = []
    payload["inputs"] = [_encode(tensor, buffers if binary else None) for tensor in inputs]
    parameters: dict[str, Any] = {"binary_data_output": True} if binary else {}
    parameters |= about_columns(inputs)
    if parameters:
        payload["parameters"] = parameters
    if outputs is not None:
        payload["outputs"] = [
            {"name": name, "parameters": {"binary_data": True}} if binary else {"name": name}
            for name in outputs
        ]
    return _with_header(payload, buffers, binary=binary, what="The input")


def about_columns(inputs: Sequence[Tensor]) -> dict[str, Any]:
    """The parameter that says of several columns that they are a table.

    KServe's server and MLServer take no more than the first without this word of Seldon's.
    """
    table = len(inputs) > 1 and all(len(tensor.shape) == 1 for tensor in inputs)
    return {"content_type": "pd"} if table else {}


def decode_request(body: bytes | bytearray | memoryview, json_length: int | None) -> InferRequest:
    """Reads a request; `json_length` is the header's value, None without one. Raises `InvalidInput`."""
    payload, raw = _split(body, json_length, "The request")
    parameters = _parameters(payload, "The request")
    outputs: list[RequestedOutput] | None = None
    if payload.get("outputs") is not None:
        outputs = [_requested(item) for item in _objects(payload, "outputs")]
    inputs = _decode_all(_objects(payload, "inputs"), raw)
    if not inputs:
        raise InvalidInput("A v2 request has at least one input.")
    return InferRequest(_id(payload), inputs, outputs or None, parameters)


def encode_response(
    model_name: str,
    outputs: Sequence[Tensor],
    id: str,  # noqa: A002
    *,
    model_version: str | None = None,
    binary: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
) -> Encoded:
    """As `encode_request`; `binary` names the outputs that go out in binary (see `InferRequest.wants_binary`)."""
    payload: dict[str, Any] = {"model_name": model_name}
    if model_version is not None:
        payload["model_version"] = model_version
    payload["id"] = id
    if parameters:
        payload["parameters"] = parameters
    buffers: list[memoryview] = []
    payload["outputs"] = [_encode(tensor, buffers if tensor.name in binary else None) for tensor in outputs]
    return _with_header(payload, buffers, binary=bool(buffers), what="The answer")


def decode_response(body: bytes | bytearray | memoryview, json_length: int | None) -> InferResponse:
    """Reads an answer; raises `InvalidInput` where it is none."""
    payload, raw = _split(body, json_length, "The answer")
    version = payload.get("model_version")
    return InferResponse(
        str(payload.get("model_name", "")),
        None if version is None else str(version),
        _id(payload),
        _decode_all(_objects(payload, "outputs"), raw),
        _parameters(payload, "The answer"),
    )


def header_length(value: str | None) -> int | None:
    """The value of the header `Inference-Header-Content-Length`; raises `InvalidInput` where it is no length."""
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise InvalidInput(f"{LENGTH_HEADER} is a number of bytes.")
    return int(value)


def _encode(tensor: Tensor, buffers: list[memoryview] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.dtype}
    parameters = dict(tensor.parameters)
    if buffers is None:
        # JSON says a gap by null.
        parameters.pop(tensors.MISSING, None)
        found["data"] = tensors.to_json(tensor)
    else:
        raw = tensors.to_bytes(tensor)
        buffers.append(raw)
        parameters["binary_data_size"] = raw.nbytes
    if parameters:
        found["parameters"] = parameters
    return found


def _with_header(payload: dict[str, Any], buffers: list[memoryview], *, binary: bool, what: str) -> Encoded:
    header = strict_json.dumps(payload, what)
    if not binary:
        return header, [], None
    header += b" " * (-len(header) % 8)
    return header, [raw for raw in buffers if raw.nbytes], len(header)


def _split(
    body: bytes | bytearray | memoryview, json_length: int | None, what: str
) -> tuple[dict[str, Any], memoryview]:
    view = memoryview(body).cast("B")
    if json_length is None:
        json_length = view.nbytes
    if not 0 <= json_length <= view.nbytes:
        raise InvalidInput(
            f"{what}: a header of {json_length} bytes does not fit into a body of {view.nbytes}."
        )
    payload = strict_json.loads(view[:json_length], what)
    if not isinstance(payload, dict):
        raise InvalidInput(f"{what} is an object.")
    return payload, view[json_length:]


def _objects(payload: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = payload.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidInput(
            f"{key} is a list of objects.", hint='See {"inputs": [{"name", "shape", "datatype", "data"}]}.'
        )
    if len(found) > MAX_TENSORS:
        raise InvalidInput(f"There are {len(found)} {key}; at most {MAX_TENSORS} are read.")
    return found


def _parameters(payload: dict[str, Any], what: str) -> dict[str, Any]:
    found = payload.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{what}: parameters is an object.")
    return found


def _id(payload: dict[str, Any]) -> str:
    found = payload.get("id")
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > 256:
        raise InvalidInput("An id is a text of at most 256 characters.")
    return found


def _requested(item: dict[str, Any]) -> RequestedOutput:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput("A requested output has a name.")
    binary = _parameters(item, name).get("binary_data")
    if binary is not None and not isinstance(binary, bool):
        raise InvalidInput(f"{name}: binary_data is true or false.", subject=name)
    return RequestedOutput(name, binary)


def _decode_all(items: list[dict[str, Any]], raw: memoryview) -> list[Tensor]:
    found: dict[str, Tensor] = {}
    at = 0
    for item in items:
        tensor, size = _decode(item, raw[at:])
        at += size
        if tensor.name in found:
            raise InvalidInput(f"The tensor {tensor.name!r} is there twice.", subject=tensor.name)
        found[tensor.name] = tensor
    if at != raw.nbytes:
        raise InvalidInput(f"{raw.nbytes - at} bytes are left after the last binary tensor.")
    return list(found.values())


def _decode(item: dict[str, Any], raw: memoryview) -> tuple[Tensor, int]:
    name, dtype = item.get("name"), item.get("datatype")
    if not isinstance(name, str) or not name:
        raise InvalidInput("A tensor has a name.")
    if not isinstance(dtype, str) or dtype not in dtypes.ALL:
        shown = repr(dtype)[:40]
        raise InvalidInput(
            f"{name}: the datatype {shown} is not known.",
            subject=name,
            hint=f"Known are {', '.join(dtypes.ALL)}.",
        )
    shape = tensors.checked_shape(name, item.get("shape"))
    parameters = dict(_parameters(item, name))
    size = parameters.pop("binary_data_size", None)
    if size is None:
        return tensors.from_json(name, dtype, shape, item.get("data"), parameters), 0
    if item.get("data") is not None:
        raise InvalidInput(f"{name}: data comes either as JSON or in binary.", subject=name)
    if type(size) is not int or not 0 <= size <= raw.nbytes:
        raise InvalidInput(f"{name}: binary_data_size {str(size)[:40]} is not in the body.", subject=name)
    return tensors.from_bytes(name, dtype, shape, raw[:size], parameters), size
