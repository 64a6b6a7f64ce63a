"""The v1 protocol (TensorFlow Serving's): `{"instances": [...]}` and `{"predictions": [...]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import strict_json

CONTENT_TYPE = "application/json"


def encode_request(rows: Sequence[Any], outputs: Sequence[str] | None = None) -> bytes:
    """The body for rows of plain values (lists or `{"column": value}`); `outputs` names more than `predict`."""
    payload: dict[str, Any] = {"instances": rows}
    if outputs is not None:
        payload["parameters"] = {"outputs": list(outputs)}
    return strict_json.dumps(payload)


def decode_request(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The whole request, an object; `instances` reads the rows out of it. Raises `InvalidInput`."""
    value = strict_json.loads(body, "The request")
    if not isinstance(value, dict):
        raise InvalidInput("A v1 request is an object.", hint='Send {"instances": [[...], ...]}.')
    return value


def instances(payload: Mapping[str, Any]) -> list[Any]:
    """The rows of a request; `inputs` stands for `instances` as with KServe. Raises `InvalidInput`."""
    rows = payload.get("instances", payload.get("inputs"))
    if not isinstance(rows, list):
        raise InvalidInput("A v1 request has a list of instances.", hint='Send {"instances": [[...], ...]}.')
    return rows


def requested_outputs(payload: Mapping[str, Any]) -> list[str] | None:
    """The names in `parameters.outputs`, None where the request leaves it to the model. Raises `InvalidInput`."""
    parameters = payload.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        raise InvalidInput("parameters of a v1 request is an object.")
    names = parameters.get("outputs")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidInput("parameters.outputs is a list of names.")
    return names


def encode_response(predictions: Any, outputs: Mapping[str, Any] | None = None) -> bytes:
    """The answer's body; arrays are written as lists, `outputs` stands beside the predictions."""
    payload: dict[str, Any] = {"predictions": plain(predictions)}
    if outputs:
        payload["outputs"] = {name: plain(values) for name, values in outputs.items()}
    return strict_json.dumps(payload, "The answer")


def decode_response(body: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The whole answer, an object with `predictions`. Raises `InvalidInput`."""
    value = strict_json.loads(body, "The answer")
    if not isinstance(value, dict) or "predictions" not in value:
        raise InvalidInput("A v1 answer is an object with predictions.")
    return value


def plain(value: Any) -> Any:
    """Lists, texts and numbers in place of arrays, numpy's scalars and bytes."""
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):
        found = value.tolist()
        kind = getattr(getattr(value, "dtype", None), "kind", "O")
        return found if kind in "biufU" else plain(found)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
