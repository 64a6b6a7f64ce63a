"""The answer in the kind of the question: an array for an array, a frame for a frame, a list for a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kale_serve_lab.endpoint.inputs import Given
from kale_serve_lab.errors import UpstreamFailed
from kale_serve_lab.inference import dtypes, v1
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.inference.v2 import InferResponse


def of_v2(
    response: InferResponse, given: Given, signature: Signature | None, asked: Sequence[str] | None
) -> Any:
    """The outputs of a v2 answer; a model of several outputs answers `name-0`, `name-1` ... for one name."""
    found: dict[str, Any] = {tensor.name: tensor.array for tensor in response.outputs}
    if not found:
        raise UpstreamFailed("The answer has no outputs.", subject=response.model_name)
    names = list(asked) if asked is not None else ["predict"] if "predict" in found else None
    if names is None:
        return _in_kind(found, given, signature, several=len(found) > 1)
    picked: dict[str, Any] = {}
    for name in names:
        if name in found:
            picked[name] = found[name]
        else:
            parts = {key: value for key, value in found.items() if key.rpartition("-")[0] == name}
            if not parts:
                raise UpstreamFailed(f"The answer lacks the output {name!r}.", subject=response.model_name)
            picked.update(parts)
    return _in_kind(picked, given, signature, several=len(picked) > 1)


def as_v1(response: InferResponse) -> dict[str, Any]:
    """The answer that a v1 server would have given: predictions, and other outputs beside them."""
    found = {tensor.name: v1.plain(tensor.array) for tensor in response.outputs}
    if not found:
        raise UpstreamFailed("The answer has no outputs.", subject=response.model_name)
    predictions = found.pop("predict" if "predict" in found else next(iter(found)))
    return {"predictions": predictions, **({"outputs": found} if found else {})}


def of_v1(
    payload: dict[str, Any], given: Given, signature: Signature | None, asked: Sequence[str] | None
) -> Any:
    """The predictions of a v1 answer, and the outputs beside them where they were asked for."""
    predictions, beside = payload["predictions"], payload.get("outputs") or {}
    if not isinstance(beside, dict):
        raise UpstreamFailed("The answer's outputs are no object.")
    if asked is None and isinstance(predictions, dict | list):
        several = _by_name(predictions, signature)
        if several is not None:
            predictions_by_name = {
                name: value if given.kind == "list" else _array(value, _spec(signature, name))
                for name, value in several.items()
            }
            return _in_kind(predictions_by_name, given, signature, several=True)
    names = list(asked) if asked is not None else ["predict"]
    if len([name for name in names if name not in beside]) > 1:
        raise UpstreamFailed(
            f"The server answered fewer outputs than {list(names)}.",
            hint="Not every v1 server knows parameters.outputs.",
        )
    picked: dict[str, Any] = {}
    for name in names:
        value = beside.get(name, predictions)
        picked[name] = (
            value
            if given.kind == "list" or not isinstance(value, list)
            else _array(value, _spec(signature, name))
        )
    return _in_kind(picked, given, signature, several=len(picked) > 1)


def _by_name(predictions: Any, signature: Signature | None) -> dict[str, list[Any]] | None:
    """The outputs of a model that names several: v1 writes an object for each row."""
    names = [spec.name for spec in signature.outputs] if signature is not None else []
    if isinstance(predictions, dict):
        return predictions if predictions.keys() == set(names) else None
    if len(names) < 2 or not all(isinstance(row, dict) and row.keys() == set(names) for row in predictions):
        return None
    return {name: [row[name] for row in predictions] for name in names}


def _in_kind(found: dict[str, Any], given: Given, signature: Signature | None, *, several: bool) -> Any:
    if given.kind in ("frame", "series"):
        return _pandas(found, given, signature)
    values = {
        name: value.tolist() if given.kind == "list" and hasattr(value, "tolist") else value
        for name, value in found.items()
    }
    return values if several else next(iter(values.values()))


def _pandas(found: dict[str, Any], given: Given, signature: Signature | None) -> Any:
    import pandas as pd

    series: dict[Any, Any] = {}
    for name, value in found.items():
        if not hasattr(value, "ndim") or value.ndim == 0 or value.ndim > 2:
            return found if len(found) > 1 else value
        if value.ndim == 1:
            series[name] = value
            continue
        spec = _spec(signature, name)
        labels: Sequence[Any] = range(value.shape[1])
        if spec is not None and spec.classes is not None and len(spec.classes) == value.shape[1]:
            labels = spec.classes
        for at, label in enumerate(labels):
            series[label if len(found) == 1 else f"{name}_{label}"] = value[:, at]
    rows = len(next(iter(series.values()))) if series else 0
    # A transformer may have made more or fewer rows of them; then the old labels say nothing.
    index = given.index if given.index is not None and len(given.index) == rows else None
    frame = pd.DataFrame(series, index=index)
    if given.kind == "series" and len(frame.columns) == 1:
        return frame.iloc[:, 0]
    return frame


def _array(values: list[Any], spec: TensorSpec | None) -> Any:
    import numpy as np

    try:
        found = np.array(values)
    except ValueError:
        # Rows of different lengths (texts split into words, say) have no shape but their number.
        found = np.empty(len(values), dtype=object)
        found[:] = values
        return found
    if found.dtype.kind in "US":
        # The same as over v2: texts are objects, as they are in a DataFrame.
        return np.array(values, dtype=object)
    if found.dtype.kind == "O" and spec is not None and spec.dtype in dtypes.FLOATS:
        found = np.array(_with_nan(values), dtype="float64")
    if spec is not None and spec.dtype != dtypes.BYTES and found.dtype.kind in "biuf":
        told = found.astype(dtypes.NUMPY[spec.dtype][0], copy=False)
        # A server may answer probabilities where the model itself answers classes: not to be cut down to zeros.
        return told if spec.dtype in dtypes.FLOATS or np.array_equal(told, found) else found
    return found


def _with_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def _spec(signature: Signature | None, name: str) -> TensorSpec | None:
    for spec in signature.outputs if signature is not None else ():
        if spec.name == name:
            return spec
    return None
