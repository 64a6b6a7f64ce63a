"""Arrays as a model's inputs: the shape and the type that it takes, by its own names. Raises `InvalidInput` in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, tensors
from kale_serve_lab.inference.signature import TensorSpec

_MOST_NAMES_SHOWN = 8


def by_name(given: Any, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """What a predict method was given, as the model's own inputs in their order.

    `given`: a dict of arrays; an array, which is the only input, or a table with a column for each; a DataFrame likewise,
    its columns found by name. Each has the spec's shape and dtype afterwards.
    """
    if isinstance(given, Mapping):
        check_names(given, [spec.name for spec in specs])
        found = {spec.name: np.asarray(given[spec.name]) for spec in specs}
    elif len(specs) == 1:
        found = {specs[0].name: as_array(specs[0].name, given)}
    elif hasattr(given, "columns"):
        check_names(list(given.columns), [spec.name for spec in specs])
        found = {spec.name: given[spec.name].to_numpy() for spec in specs}
    else:
        table = as_array("The input", given)
        if table.ndim != 2 or table.shape[1] != len(specs):
            raise InvalidInput(
                f"The model takes {len(specs)} inputs ({names_shown([spec.name for spec in specs])}); one of shape "
                f"{list(table.shape)} came.",
                hint="Give each by its name.",
            )
        found = {spec.name: table[:, at] for at, spec in enumerate(specs)}
    fitted = {}
    for spec in specs:
        array = found[spec.name]
        if array.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] in (-1, 1):
            # A column of a table, for a model that takes each as a matrix of its own.
            array = array.reshape(-1, 1)
        check_shape(spec.name, array.shape, spec.shape)
        fitted[spec.name] = cast(spec.name, array, spec.dtype)
    return fitted


def as_array(name: str, given: Any) -> NDArray[Any]:
    """An array of what a predict method may be given: an array, a DataFrame, a framework's tensor, rows."""
    if isinstance(given, np.ndarray):
        return given
    if hasattr(given, "to_numpy"):
        return np.asarray(given.to_numpy())
    own = tensors.of_framework(name, given)
    return np.asarray(given) if own is None else own


def check_names(given: Any, wanted: Sequence[str], required: Sequence[str] | None = None) -> None:
    """Whether these are the names of the model's inputs; `required` are those that have no default."""
    known, there = set(wanted), set(given)
    missing = [name for name in (wanted if required is None else required) if name not in there]
    unknown = [str(name) for name in given if name not in known]
    if missing:
        raise InvalidInput(
            f"The request misses {names_shown(missing)}.",
            subject=missing[0],
            hint=f"It has {names_shown(unknown)}, which the model does not know."
            if unknown
            else f"The model takes {names_shown(wanted)}.",
        )
    if unknown:
        raise InvalidInput(
            f"The model has no input {names_shown(unknown)}.",
            subject=unknown[0],
            hint=f"It takes {names_shown(wanted)}.",
        )


def check_shape(name: str, came: Sequence[int], wanted: Sequence[int]) -> None:
    """Whether a tensor of the shape `came` is one of the shape `wanted`, in which -1 is any size."""
    fits = len(came) == len(wanted) and all(size in (-1, own) for size, own in zip(wanted, came, strict=True))
    if fits:
        return
    if len(came) == len(wanted) and came and _rest_fits(came, wanted):
        rows = wanted[0]
        raise InvalidInput(
            f"{name}: {came[0]} rows came; the model was exported for exactly {rows} row{'s' if rows != 1 else ''} a request.",
            subject=name,
            hint=f"Send {rows} at a time, or export the model with a first dimension of any size.",
        )
    raise InvalidInput(
        f"{name}: shape {list(came)} came, the model takes {list(wanted)} (-1: any).", subject=name
    )


def check_batch(found: Mapping[str, NDArray[Any]]) -> None:
    """Whether all inputs have the same number of rows, and at least one."""
    first = next(iter(found))
    rows = len(found[first])
    for name, array in found.items():
        if len(array) != rows:
            raise InvalidInput(f"{name} has {len(array)} rows, {first} has {rows}.", subject=name)
    if not rows:
        raise InvalidInput("The request has no rows.")


def cast(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The values in the model's dtype (a v2 name); refused where that would lose more than a float's last digits."""
    if dtype == dtypes.BYTES:
        if array.dtype.kind in "OUST":
            return array.astype(object, copy=False)
        raise InvalidInput(f"{name}: {array.dtype} came, the model takes texts.", subject=name)
    wanted = dtypes.NUMPY[dtype][0]
    if array.dtype.name == wanted:
        return array
    wrong = InvalidInput(f"{name}: {_v2(array)} came, the model takes {dtype}.", subject=name)
    if array.dtype.kind == "O":
        # A column of numbers among texts, or one with gaps.
        array = tensors.from_array(name, array).data
    if array.dtype.kind not in "biuf":
        raise wrong
    with np.errstate(invalid="ignore", over="ignore"):
        found = array.astype(wanted)
    if dtype not in dtypes.FLOATS and not np.array_equal(found, array):
        raise wrong
    # A float of 64 bits may be too large for 32.
    if dtype in dtypes.FLOATS and np.isinf(found).any() and not np.isinf(array).any():
        raise InvalidInput(f"{name}: a value is beyond what {dtype} holds.", subject=name)
    return found


def names_shown(names: Sequence[str]) -> str:
    """At most eight of the names."""
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMES_SHOWN])
    more = len(names) - _MOST_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _v2(array: NDArray[Any]) -> str:
    return dtypes.BYTES if array.dtype.kind in "OUST" else dtypes.v2_name(array.dtype)


def _rest_fits(came: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(size in (-1, own) for size, own in zip(wanted[1:], came[1:], strict=True))
