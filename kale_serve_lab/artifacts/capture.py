"""A signature from data (names, dtypes, ranges, categories, a few rows), from a model, or from somebody else's signature."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kale_serve_lab.artifacts import features, kinds, savers
from kale_serve_lab.errors import InvalidInput, InvalidSignature, KaleServeError
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec

SAMPLE_ROWS = 5
# A table wider than this is one tensor: nobody fills a form of it.
MOST_COLUMNS = 2000
# What a form can offer as a choice.
MOST_CATEGORIES = 50
_CATEGORY_ROWS = 100_000
_LONGEST_CATEGORY = 100

_MLFLOW = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
    "datetime": "BYTES",
}


def signature_from(given: Any, *, names: Sequence[str] | None = None, source: str | None = None) -> Signature:
    """The signature of what a user gave as one: ours, Kale's or MLflow's, its JSON, a Dataset, or the data itself.

    Data may be a DataFrame, a Series, an array (numpy's, sparse, or whatever numpy reads) or a list of rows or texts.
    `names` are the columns' names where the data itself has none. Raises `InvalidSignature`.
    """
    if isinstance(given, Signature):
        return given
    if isinstance(given, dict):
        return Signature.from_json(given)
    if hasattr(given, "inputs") and hasattr(given, "outputs") and hasattr(given.inputs, "to_dict"):
        return _from_mlflow(given)
    data = rows_of(given)
    rows = _length(data)
    said = source or (f"{min(rows, SAMPLE_ROWS)} rows" if rows else None)
    if kinds.is_frame(data):
        return _from_frame(data, said)
    if kinds.is_series(data):
        data = data.to_numpy()
    return _from_array(data, names, said)


def rows_of(given: Any) -> Any:
    """The table, array or series in what a user gave: a Dataset's features, a frame of another library as pandas'."""
    features_of = getattr(given, "features", None) if type(given).__name__ == "Dataset" else None
    data = given if features_of is None else features_of
    if kinds.is_tensor(data):
        data = _of_tensor(data)
    if kinds.is_table_like(data):
        return data
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    import numpy as np

    try:
        array = np.asarray(data)
    except ValueError as error:
        raise InvalidSignature(f"The rows of the sample differ in length: {error}") from error
    if array.ndim == 0:
        raise InvalidSignature(
            f"A signature cannot be read from {type(given).__name__}.",
            hint="Give a DataFrame, an array, a Dataset or a kale_serve_lab.Signature.",
        )
    return array


def _of_tensor(data: Any) -> Any:
    from kale_serve_lab.inference import tensors

    try:
        return tensors.of_framework("The sample", data)
    except InvalidInput as error:
        raise InvalidSignature(error.message, hint=error.hint) from error


def head(data: Any) -> Any:
    """The first rows, in the data's own type; of a dict, of each of its arrays."""
    if isinstance(data, dict):
        return {name: array[:SAMPLE_ROWS] for name, array in data.items()}
    return data.iloc[:SAMPLE_ROWS] if kinds.is_frame(data) or kinds.is_series(data) else data[:SAMPLE_ROWS]


def from_model(model: Any) -> Signature | None:
    """What the model itself knows of its input: no sample, no ranges; None where it knows nothing."""
    own = features.declared(model)
    if own is not None:
        return own
    count, names = features.expected(model)
    return None if count is None else from_columns(count, names)


def from_columns(count: int, names: Sequence[str] | None) -> Signature:
    """A table of this many numbers, of which no more is known."""
    if count > MOST_COLUMNS:
        return Signature(layout="tensor", inputs=[TensorSpec("input-0", "FP64", (-1, count))])
    columns = names or [f"x{index}" for index in range(count)]
    return Signature(
        layout="columns", named=names is not None, inputs=[TensorSpec(name, "FP64") for name in columns]
    )


def with_outputs(signature: Signature, model: Any, data: Any) -> Signature:
    """The signature with the outputs that the model gave for the first rows of the data.

    Raises `InvalidSignature` where the model cannot predict them.
    """
    sample = head(data)
    classes = features.classes(model)
    outputs: list[TensorSpec] = []
    for method, call in savers.methods(model).items():
        if method == "decision_function" and len(outputs) > 1:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                specs = _outputs(method, call(sample), classes, features.classes_of_each(model))
        except KaleServeError:
            raise
        except Exception as error:
            if method != "predict":
                continue
            raise InvalidSignature(
                f"{type(model).__name__} cannot predict the rows of the signature: {type(error).__name__}: {error}",
                subject=type(model).__name__,
                hint="Give rows like those it was fitted on.",
            ) from error
        outputs += specs
    return signature.with_outputs(outputs)


def _outputs(
    name: str, value: Any, classes: tuple[Any, ...] | None, of_each: Sequence[tuple[Any, ...] | None]
) -> list[TensorSpec]:
    """As the server answers it: of a multi-output classifier one tensor for each output, `name-0`, `name-1` ..."""
    from kale_serve_lab.model_server.outputs import by_name, plain

    answer = plain(value)
    found = by_name(name, answer)
    labels: Sequence[tuple[Any, ...] | None] = [classes] * len(found)
    if name == "decision_function" or isinstance(answer, dict):
        labels = [None] * len(found)
    elif isinstance(answer, list):
        labels = of_each if len(of_each) == len(answer) else [None] * len(found)
    specs = []
    for (label, array), own in zip(found.items(), labels, strict=True):
        dtype = dtypes.BYTES if array.dtype.kind in "OUST" else dtypes.v2_name(array.dtype)
        specs.append(TensorSpec(label, dtype, (-1, *array.shape[1:]), classes=own))
    return specs


def _from_frame(frame: Any, source: str | None) -> Signature:
    named = all(isinstance(name, str) for name in frame.columns)
    if frame.shape[1] > MOST_COLUMNS:
        return _from_array(frame.to_numpy(), None, source)
    specs, columns = [], []
    for index in range(frame.shape[1]):
        column = frame.iloc[:, index]
        name = str(frame.columns[index]) if named else f"x{index}"
        specs.append(_column(name, column.dtype, column))
        columns.append([value_of(item) for item in column.iloc[:SAMPLE_ROWS]])
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Signature(layout="columns", named=named, inputs=specs, input_example=rows or None, source=source)


def _from_array(array: Any, names: Sequence[str] | None, source: str | None) -> Signature:
    rows = array[:SAMPLE_ROWS]
    if kinds.is_sparse(array):
        rows = rows.toarray()
    example = value_of(rows.tolist()) or None
    if array.ndim != 2 or array.shape[1] > MOST_COLUMNS:
        low, high = range_of(array)
        dtype = _dtype(array.dtype, array.reshape(-1)[:1000] if not kinds.is_sparse(array) else rows)
        spec = TensorSpec("input-0", dtype, (-1, *map(int, array.shape[1:])), min=low, max=high)
        return Signature(layout="tensor", inputs=[spec], input_example=example, source=source)
    if names is not None and len(names) != array.shape[1]:
        names = None
    specs = [
        _column(
            names[index] if names else f"x{index}",
            array.dtype,
            array[:, [index]] if kinds.is_sparse(array) else array[:, index],
        )
        for index in range(array.shape[1])
    ]
    return Signature(
        layout="columns", named=names is not None, inputs=specs, input_example=example, source=source
    )


def _column(name: str, dtype: Any, values: Any) -> TensorSpec:
    own_categories = getattr(dtype, "categories", None)
    if own_categories is not None:
        return TensorSpec(
            name, dtypes.BYTES, categories=tuple(str(item) for item in own_categories[:MOST_CATEGORIES])
        )
    found = _dtype(dtype, values)
    if found == dtypes.BYTES:
        return TensorSpec(name, found, categories=_categories(values))
    low, high = (None, None) if found == "BOOL" else range_of(values)
    return TensorSpec(name, found, min=low, max=high)


def _dtype(dtype: Any, values: Any) -> str:
    if str(dtype) != "object":
        return dtypes.v2_name(dtype)
    # An object column holds texts, or numbers that a join or a missing value has boxed.
    kinds_there = {type(item) for item in list(values[:1000]) if not _missing(item)}
    if kinds_there and kinds_there <= {bool}:
        return "BOOL"
    if kinds_there and all(issubclass(kind, int) and kind is not bool for kind in kinds_there):
        return "INT64"
    if kinds_there and all(issubclass(kind, int | float) and kind is not bool for kind in kinds_there):
        return "FP64"
    return dtypes.BYTES


def _categories(values: Any) -> tuple[str, ...] | None:
    there: set[str] = set()
    for item in values[:_CATEGORY_ROWS]:
        if _missing(item):
            continue
        text = str(value_of(item))
        there.add(text)
        if len(there) > MOST_CATEGORIES or len(text) > _LONGEST_CATEGORY:
            return None
    return tuple(sorted(there)) or None


def range_of(values: Any) -> tuple[float | None, float | None]:
    """The least and the largest number; None where there are none."""
    import numpy as np

    try:
        if kinds.is_sparse(values):
            return float(values.min()), float(values.max())
        array = (
            values.to_numpy(dtype="float64", na_value=np.nan)
            if hasattr(values, "to_numpy")
            else np.asarray(values)
        )
        if array.dtype.kind == "O":
            array = array.astype("float64")
        if array.dtype.kind not in "iuf" or not array.size:
            return None, None
        low, high = float(np.fmin.reduce(array, axis=None)), float(np.fmax.reduce(array, axis=None))
    except (TypeError, ValueError):
        return None, None
    return (low if math.isfinite(low) else None), (high if math.isfinite(high) else None)


def _missing(item: Any) -> bool:
    return item is None or item != item or type(item).__name__ == "NAType"  # noqa: PLR0124 (NaN)


def value_of(item: Any) -> Any:
    """The JSON value of one cell; missing and infinite become null."""
    if isinstance(item, list):
        return [value_of(part) for part in item]
    if isinstance(item, str | bool) or item is None:
        return item
    if type(item).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(item, "isoformat"):
        return item.isoformat()
    if hasattr(item, "item"):
        return value_of(item.item())
    if isinstance(item, bytes):
        return item.decode(errors="replace")
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    return item if isinstance(item, int) else str(item)


def _length(data: Any) -> int:
    return int(data.shape[0])


def _from_mlflow(given: Any) -> Signature:
    """By its own dicts, so that mlflow need not be there to be understood."""

    def specs(schema: Any, fallback: str) -> list[tuple[TensorSpec, bool]]:
        found = []
        for index, entry in enumerate(schema.to_dict() if schema is not None else []):
            name = entry.get("name")
            if entry.get("type") == "tensor":
                inner = entry["tensor-spec"]
                spec = TensorSpec(name or fallback, dtypes.v2_name(inner["dtype"]), tuple(inner["shape"]))
            else:
                dtype = _MLFLOW.get(str(entry.get("type")))
                if dtype is None:
                    raise InvalidSignature(
                        f"The MLflow type {entry.get('type')!r} has no tensor data type.", subject=name
                    )
                spec = TensorSpec(str(name) if name is not None else f"x{index}", dtype)
            found.append((spec, name is not None))
        return found

    inputs, outputs = specs(given.inputs, "input-0"), specs(given.outputs, "predict")
    if not inputs:
        raise InvalidSignature("The MLflow signature has no inputs.")
    if any(len(spec.shape) != 1 for spec, _ in inputs):
        return Signature(
            layout="tensor" if len(inputs) == 1 else "tensors",
            inputs=[spec for spec, _ in inputs],
            outputs=[spec for spec, _ in outputs],
        )
    outs = [spec for spec, _ in outputs]
    if len(outs) == 1:
        outs = [replace(outs[0], name="predict")]
    return Signature(
        layout="columns",
        named=all(named for _, named in inputs),
        inputs=[spec for spec, _ in inputs],
        outputs=outs,
    )
