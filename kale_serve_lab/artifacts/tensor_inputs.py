"""The signature of a model that takes tensors (PyTorch, TensorFlow, ONNX), from a sample in any of the forms that people have.

A dict of arrays by the inputs' names, a tuple of arrays in their order, one array or table; torch's and TensorFlow's tensors
are read by their own `numpy()`. What the model's file says of its inputs goes before what the sample looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kale_serve_lab.artifacts import capture, features, kinds
from kale_serve_lab.errors import InvalidInput, InvalidSignature
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sample = dict[str, "NDArray[Any]"]


def is_sample(given: Any) -> bool:
    """Whether a dict is rows of several inputs, and no signature's JSON."""
    return (
        isinstance(given, Mapping)
        and bool(given)
        and all(
            kinds.is_array(value) or kinds.is_tensor(value) or kinds.is_series(value)
            for value in given.values()
        )
    )


def of_sample(model: Any, given: Any, label: str | None) -> tuple[Signature, Any] | None:
    """The signature by the sample, and the sample as the model's methods take it; None where it is a table like any other.

    Raises `InvalidSignature` where it does not fit what the model says of itself.
    """
    declared, names = features.declared(model), features.input_names(model)
    several = _several(given, declared, names)
    if several is not None:
        signature = _of_several(several, declared, names, _source(several, label))
        if len(several) == 1:
            (array,) = several.values()
            return signature, array
        return signature, several
    if not features.takes_tensors(model):
        return None
    data = capture.rows_of(given)
    if declared is not None and len(declared.inputs) > 1:
        return None
    table = kinds.is_frame(data) or (
        kinds.is_array(data)
        and data.ndim == 2
        and data.dtype.kind == "f"
        and data.shape[1] <= capture.MOST_COLUMNS
    )
    if table and declared is None:
        # One column each, which a form can show.
        signature = capture.signature_from(data, source=_source({"": data}, label))
        if all(spec.dtype != dtypes.BYTES for spec in signature.inputs):
            return _of_one_float(signature, features.float_dtype(model)), data
        raise InvalidSignature(
            "A table with texts is no input of a model that takes tensors.",
            hint="Give the numbers that the model takes, or a transformer that makes them.",
        )
    array = data.to_numpy() if hasattr(data, "to_numpy") else data
    spec = declared.inputs[0] if declared is not None else None
    name = spec.name if spec is not None else (names or ["input-0"])[0]
    sample = {name: array}
    return _of_several(sample, declared, names, _source(sample, label), features.float_dtype(model)), array


def _several(given: Any, declared: Signature | None, names: list[str] | None) -> Sample | None:
    if is_sample(given):
        return {str(name): _array(str(name), value) for name, value in given.items()}
    known = [spec.name for spec in declared.inputs] if declared is not None else names or []
    listed = isinstance(given, tuple) or (isinstance(given, list) and len(given) == len(known) > 1)
    if not listed or not given or not all(kinds.is_array(part) or kinds.is_tensor(part) for part in given):
        return None
    if known and len(given) > len(known):
        raise InvalidSignature(
            f"The sample has {len(given)} tensors; the model takes {len(known)}: {', '.join(known)}."
        )
    labels = known or [f"input-{at}" for at in range(len(given))]
    return {name: _array(name, part) for name, part in zip(labels, given, strict=False)}


def _array(name: str, value: Any) -> NDArray[Any]:
    from kale_serve_lab.model_server import fit

    try:
        return fit.as_array(name, value)
    except InvalidInput as error:
        raise InvalidSignature(error.message, subject=name, hint=error.hint) from error


def _of_several(
    sample: Sample,
    declared: Signature | None,
    names: list[str] | None,
    source: str | None,
    float_dtype: str | None = None,
) -> Signature:
    by_name = {spec.name: spec for spec in declared.inputs} if declared is not None else {}
    known = list(by_name) or names
    if known is not None and len(sample) > 1:
        unknown = [name for name in sample if name not in known]
        missing = [name for name in by_name if name not in sample]
        if unknown or missing:
            raise InvalidSignature(
                f"The sample names {', '.join(sample)}; the model takes {', '.join(known)}.",
                subject=(unknown or missing)[0],
                hint="Name each array as the model names its input.",
            )
    elif len(sample) == 1 and len(by_name) == 1:
        # Whatever it was called: there is only one.
        sample = dict(zip(by_name, sample.values(), strict=True))
    rows = {name: len(array) if array.ndim else -1 for name, array in sample.items()}
    if -1 in rows.values() or len(set(rows.values())) != 1:
        raise InvalidSignature(
            f"The arrays of the sample have different numbers of rows: {', '.join(f'{n} {r}' for n, r in rows.items())}."
        )
    specs = []
    for name, array in sample.items():
        own = by_name.get(name)
        specs.append(_declared(own, array) if own is not None else _spec(name, array, float_dtype))
    columns = [capture.value_of(array[: capture.SAMPLE_ROWS].tolist()) for array in sample.values()]
    example: list[Any] = (
        columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]
    )
    layout = "tensor" if len(specs) == 1 else "tensors"
    return Signature(layout=layout, inputs=specs, input_example=example or None, source=source)  # type: ignore[arg-type]


def _declared(spec: TensorSpec, array: NDArray[Any]) -> TensorSpec:
    """The file's own words, with the range of the sample. Raises where the sample is none of it."""
    from kale_serve_lab.model_server import fit

    try:
        fit.by_name({spec.name: array[: capture.SAMPLE_ROWS]}, [_of_any_batch(spec)])
    except InvalidInput as error:
        raise InvalidSignature(
            f"The sample is no input of the model: {error.message}", subject=spec.name, hint=error.hint
        ) from error
    low, high = (None, None) if spec.dtype == dtypes.BYTES else capture.range_of(array)
    return replace(spec, min=low, max=high)


def _of_any_batch(spec: TensorSpec) -> TensorSpec:
    # A sample may have fewer rows than a program of a fixed batch takes, or more; which is told when it is asked.
    return replace(spec, shape=(-1, *spec.shape[1:])) if spec.shape else spec


def _spec(name: str, array: NDArray[Any], float_dtype: str | None) -> TensorSpec:
    from kale_serve_lab.inference import tensors

    try:
        dtype = tensors.from_array(name, array[:1]).dtype
    except InvalidInput as error:
        raise InvalidSignature(error.message, subject=name, hint=error.hint) from error
    if float_dtype is not None and dtype in dtypes.FLOATS:
        dtype = float_dtype
    low, high = (None, None) if dtype in (dtypes.BYTES, "BOOL") else capture.range_of(array)
    return TensorSpec(name, dtype, (-1, *map(int, array.shape[1:])), min=low, max=high)


def _of_one_float(signature: Signature, dtype: str | None) -> Signature:
    """A table for a module: all its columns come as one tensor, of the type that its weights have."""
    kind = dtype or "FP32"
    return Signature(
        layout=signature.layout,
        named=signature.named,
        inputs=[replace(spec, dtype=kind) for spec in signature.inputs],
        input_example=signature.input_example,
        source=signature.source,
    )


def _source(sample: Mapping[str, Any], label: str | None) -> str | None:
    first = next(iter(sample.values()))
    rows = min(len(first) if first.shape else 0, capture.SAMPLE_ROWS)
    if not rows:
        return None
    said = f"{rows} row{'s' if rows != 1 else ''}"
    return f"{said} of {label}" if label else said
