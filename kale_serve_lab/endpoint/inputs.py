"""What people give to `predict`, understood and checked before anything is sent.

    JSON text, dict            a whole request of v1 or v2, sent as it is; also one row, a dict of columns, or of tensors
    list                       rows: lists, or {"column": value}; texts where the model takes texts
    array                      a table of shape (rows, columns), or the model's tensor
    DataFrame, Series          columns are found by name, in any order; a Series is a row (its index names columns) or texts
    dict of arrays, tuple      for a model of several inputs: one array an input, by its name or in their order
    tensor                     torch's or TensorFlow's, by its own numpy()

Refused with `InvalidInput`, naming what is wrong: missing, unknown and doubled columns, another number of columns, texts for
numbers and numbers for texts, fractions for integers, ragged rows, no rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, strict_json, tensors, v1
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.inference.tensors import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["dict", "list", "array", "frame", "series"]
_MOST_NAMES = 8


@dataclass(frozen=True)
class Given:
    """An input: exactly one of `payload` (a whole request), `matrix`, `columns` and `rows` is set.

    `index` is the pandas index of a frame's or series' rows, for the answer.
    """

    kind: Kind
    payload: dict[str, Any] | None = None
    matrix: NDArray[Any] | None = None
    columns: dict[str, Any] | None = None
    rows: list[Any] | None = None
    index: Any = field(default=None, repr=False)


def understand(value: Any, signature: Signature | None, *, verbatim_dicts: bool = False) -> Given:
    """What was given, checked against the signature where there is one.

    `verbatim_dicts`: every dict is a whole request (there is a transformer that may expect any).
    """
    if isinstance(value, str | bytes):
        value = strict_json.loads(
            value.encode("utf-8", "replace") if isinstance(value, str) else value, "The text"
        )
        if not isinstance(value, dict):
            value = {"instances": value if isinstance(value, list) else [value]}
    if signature is not None and signature.layout == "tensors":
        named = _named(value, signature)
        if named is not None:
            return _of_named(named, signature)
    if isinstance(value, Mapping):
        return _of_dict({str(key): item for key, item in value.items()}, signature, verbatim=verbatim_dicts)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _of_frame(value, signature)
    if pandas is not None and isinstance(value, pandas.Series):
        return _of_series(value, signature)
    if isinstance(value, list | tuple):
        return _of_list(list(value), signature)
    own = tensors.of_framework("The input", value)
    if own is not None:
        value = own
    if hasattr(value, "__array__") and getattr(value, "ndim", None) != 0:
        return _of_array(value, signature)
    raise InvalidInput(
        f"There is nothing to predict in {_shown(value)} ({type(value).__name__}).",
        hint="Give rows as a list, a numpy array, a DataFrame, or a v1 or v2 request as a dict or JSON text."
        + (" A sparse matrix: x.toarray()." if hasattr(value, "toarray") else ""),
    )


def to_tensors(given: Given, signature: Signature | None) -> list[Tensor]:
    """The tensors of a v2 request: one for a tensor or an unmixed numeric table, else one a column."""
    name = signature.inputs[0].name if signature is not None and signature.layout == "tensor" else "input-0"
    if given.matrix is not None:
        return [tensors.from_array(name, given.matrix)]
    columns = given.columns
    if columns is None:
        assert given.rows is not None
        found = _array_of_rows(given.rows)
        return [tensors.from_array(name, found)]
    import numpy as np

    made = [tensors.from_array(column, values) for column, values in columns.items()]
    if signature is not None and signature.one_dtype and all(tensor.dtype != dtypes.BYTES for tensor in made):
        return [tensors.from_array(name, np.column_stack([tensor.data for tensor in made]))]
    return made


def to_rows(given: Given) -> list[Any]:
    """The instances of a v1 request: lists, or `{"column": value}` where columns have names."""
    if given.rows is not None:
        return [v1.plain(row) for row in given.rows]
    if given.columns is not None:
        names = list(given.columns)
        values = [v1.plain(column) for column in given.columns.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    rows: list[Any] = v1.plain(given.matrix)
    return rows


def _of_dict(value: dict[str, Any], signature: Signature | None, *, verbatim: bool) -> Given:
    if "instances" in value or verbatim:
        if not verbatim and isinstance(value.get("instances"), list):
            _check_instances(value["instances"], signature)
        return Given("dict", payload=value)
    inputs = value.get("inputs")
    if isinstance(inputs, list) and all(isinstance(item, Mapping) and "datatype" in item for item in inputs):
        return Given("dict", payload=value)
    if signature is None or not signature.named or not value:
        raise InvalidInput(
            "The request has neither instances (v1) nor inputs (v2).",
            hint='For example {"instances": [[1.0, 2.0]]}.',
        )
    if signature.layout == "tensors":
        return _of_tensors(value, signature)
    columns = {name: v1.plain(column) for name, column in value.items()}
    if any(isinstance(column, list) for column in columns.values()):
        sizes = {name: len(column) if isinstance(column, list) else 1 for name, column in columns.items()}
        first = next(iter(sizes))
        for name, size in sizes.items():
            if size != sizes[first]:
                raise InvalidInput(
                    f"{name!r} has {size} values, {first!r} has {sizes[first]}.",
                    subject=name,
                    hint="In a dict of columns each has one value for each row.",
                )
        lists = [column if isinstance(column, list) else [column] for column in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    else:
        rows = [columns]
    _of_list(rows, signature)
    return Given("dict", payload={"instances": rows})


def _of_tensors(value: dict[str, Any], signature: Signature) -> Given:
    import numpy as np

    _check_names(list(value), [spec.name for spec in signature.inputs])
    found = {spec.name: _checked_tensor(np.asarray(value[spec.name]), spec) for spec in signature.inputs}
    first, rows = next((name, len(tensor)) for name, tensor in found.items())
    _some(rows)
    for name, tensor in found.items():
        if len(tensor) != rows:
            raise InvalidInput(
                f"{name!r} has {len(tensor)} rows, {first!r} has {rows}.",
                subject=name,
                hint="The first dimension of each tensor counts the rows.",
            )
    return Given("array", columns=found)


def _check_instances(rows: list[Any], signature: Signature | None) -> None:
    if signature is None or signature.layout != "tensors":
        _of_list(rows, signature)
        return
    _some(len(rows))
    named = _named(rows, signature)
    assert named is not None
    _of_named(named, signature)


def _named(value: Any, signature: Signature) -> dict[str, Any] | None:
    """The inputs by their names; None where this is something else (a request, one row, rows)."""
    names = [spec.name for spec in signature.inputs]
    if isinstance(value, Mapping):
        if "instances" in value or (isinstance(value.get("inputs"), list) and "inputs" not in names):
            return None
        return {str(name): item for name, item in value.items()}
    if isinstance(value, tuple) and all(hasattr(part, "shape") for part in value):
        if len(value) != len(names):
            raise InvalidInput(
                f"{len(value)} arrays came; the model takes {len(names)}: {_names(names)}.",
                hint="Give them in this order, or by name.",
            )
        return dict(zip(names, value, strict=True))
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return {str(name): value[name].to_numpy() for name in value.columns}
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        for at, row in enumerate(value):
            _check_names([str(name) for name in row], names, f"Row {at}")
        return {name: [row[name] for row in value] for name in names}
    if (
        isinstance(value, list)
        and value
        and all(isinstance(row, list) and len(row) == len(names) for row in value)
    ):
        return {name: [row[at] for row in value] for at, name in enumerate(names)}
    raise InvalidInput(
        f"The model takes {len(names)} inputs: {_names(names)}; {_shown(type(value).__name__)} names none.",
        hint="Give a dict of arrays by these names.",
    )


def _of_named(named: dict[str, Any], signature: Signature) -> Given:
    import numpy as np

    names = [spec.name for spec in signature.inputs]
    _check_names(list(named), names)
    columns: dict[str, Any] = {}
    for spec in signature.inputs:
        item = named[spec.name]
        own = tensors.of_framework(spec.name, item)
        found = (
            own if own is not None else _array_of_rows(item) if isinstance(item, list) else np.asarray(item)
        )
        if found.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] == 1:
            found = found.reshape(-1, 1)
        columns[spec.name] = _checked_tensor(found, spec, spec.name)
    first, rows = names[0], len(columns[names[0]])
    for name, found in columns.items():
        if len(found) != rows:
            raise InvalidInput(
                f"{name!r} has {len(found)} rows, {first!r} has {rows}.",
                subject=name,
                hint="Each input has one entry for each row.",
            )
    _some(rows)
    lists = all(isinstance(item, list) for item in named.values())
    return Given("list" if lists else "array", columns=columns)


def _of_frame(frame: Any, signature: Signature | None) -> Given:
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(
            f"The column {twice!r} is there twice.", subject=twice, hint="Drop or rename one of the two."
        )
    _some(len(frame))
    if signature is not None and signature.layout == "columns":
        wanted = [spec.name for spec in signature.inputs]
        if signature.named:
            _check_names(names, wanted)
            if names != wanted:
                place = {name: at for at, name in enumerate(names)}
                frame = frame.iloc[:, [place[name] for name in wanted]]
        else:
            _check_width(len(names), signature)
        return _of_columns(frame, wanted, signature)
    if signature is not None:
        return Given(
            "frame", matrix=_checked_tensor(frame.to_numpy(), signature.inputs[0]), index=frame.index
        )
    return _of_columns(frame, names, None)


def _of_columns(frame: Any, names: list[str], signature: Signature | None) -> Given:
    kinds = set(frame.dtypes)
    one = next(iter(kinds)) if len(kinds) == 1 else None
    if (
        signature is not None
        and signature.one_dtype
        and getattr(one, "kind", "O") in "biuf"
        and hasattr(one, "newbyteorder")
    ):
        matrix = frame.to_numpy()
        _check_matrix(matrix, signature)
        return Given("frame", matrix=matrix, index=frame.index)
    columns = {name: frame.iloc[:, at].to_numpy() for at, name in enumerate(names)}
    _check_columns(columns, signature)
    return Given("frame", columns=columns, index=frame.index)


def _of_series(series: Any, signature: Signature | None) -> Given:
    if signature is not None and signature.layout == "columns" and len(signature.inputs) > 1:
        # One row of a frame, as df.iloc[0] gives it; its dtype is what all its values have in common.
        names = [str(name) for name in series.index]
        if signature.named:
            _check_names(names, [spec.name for spec in signature.inputs])
            row = dict(zip(names, series.tolist(), strict=True))
            values = [row[spec.name] for spec in signature.inputs]
        else:
            values = series.tolist()
        given = _of_list([values], signature)
        index = type(series.index)([series.name]) if series.name is not None else None
        return Given("series", matrix=given.matrix, columns=given.columns, index=index)
    _some(len(series))
    if signature is not None and signature.layout == "columns":
        name = signature.inputs[0].name
        columns = {name: series.to_numpy()}
        _check_columns(columns, signature)
        return Given("series", columns=columns, index=series.index)
    values = series.to_numpy()
    if signature is not None:
        _checked_tensor(values, signature.inputs[0])
    return Given("series", matrix=values, index=series.index)


def _of_array(value: Any, signature: Signature | None) -> Given:
    import numpy as np

    found = np.asarray(value)
    if found.dtype.names is not None:
        import pandas as pd

        frame = _of_frame(pd.DataFrame(found.reshape(-1)), signature)
        return Given("array", matrix=frame.matrix, columns=frame.columns)
    _some(len(found))
    if signature is None:
        return Given("array", matrix=found)
    if signature.layout == "tensor":
        return Given("array", matrix=_checked_tensor(found, signature.inputs[0]))
    return _of_table("array", found, signature)


def _of_table(kind: Kind, found: NDArray[Any], signature: Signature) -> Given:
    width = len(signature.inputs)
    if found.ndim != 2:
        hint = (
            f"One row of {width} values is [[...]]."
            if found.ndim == 1 and len(found) == width
            else f"Give it the shape (rows, {width})."
        )
        raise InvalidInput(
            f"The model takes a table of {width} columns; this has shape {list(found.shape)}.", hint=hint
        )
    _check_width(found.shape[1], signature)
    if found.dtype.kind in "biuf" and signature.one_dtype is not None:
        _check_matrix(found, signature)
        return Given(kind, matrix=found)
    columns = {spec.name: found[:, at] for at, spec in enumerate(signature.inputs)}
    _check_columns(columns, signature)
    return Given(kind, columns=columns)


def _of_list(rows: list[Any], signature: Signature | None) -> Given:
    _some(len(rows))
    if isinstance(rows[0], Mapping):
        return _of_objects(rows, signature)
    if signature is None:
        return Given("list", rows=rows)
    if signature.layout == "tensor":
        return Given("list", matrix=_checked_tensor(_array_of_rows(rows), signature.inputs[0]))
    specs = signature.inputs
    listed = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    for at, row in enumerate(listed):
        if not isinstance(row, list | tuple):
            hint = "One row is a list in the list: [[...]]." if len(rows) == len(specs) else None
            raise InvalidInput(f"Row {at} is {_shown(row)}, not a list of {len(specs)} values.", hint=hint)
        if len(row) != len(specs):
            raise InvalidInput(
                f"Row {at} has {len(row)} values; the model takes {len(specs)}: {_names([spec.name for spec in specs])}.",
                hint=f"Give each row {len(specs)} values, in this order.",
            )
    import numpy as np

    if signature.one_dtype is not None:
        try:
            found = np.array(listed)
        except (ValueError, OverflowError):
            found = np.empty((0, 0), dtype=object)
        if found.dtype.kind in "biuf" and found.ndim == 2:
            _check_matrix(found, signature)
            return Given("list", matrix=found)
    columns = {spec.name: _objects([row[at] for row in listed]) for at, spec in enumerate(specs)}
    _check_columns(columns, signature)
    return Given("list", columns=columns)


def _of_objects(rows: list[Any], signature: Signature | None) -> Given:
    if signature is not None and signature.layout == "tensor":
        raise InvalidInput(
            "The model takes a tensor; these rows name columns.", hint="Give each row as a list."
        )
    wanted = list(rows[0]) if signature is None else [spec.name for spec in signature.inputs]
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(
                f"Row {at} is {_shown(row)}, the rows before it name their columns.",
                hint="Give all rows as lists, or all as {column: value}.",
            )
        _check_names([str(name) for name in row], wanted, f"Row {at}")
    columns = {name: _objects([row[name] for row in rows]) for name in wanted}
    _check_columns(columns, signature)
    return Given("list", columns=columns)


def _array_of_rows(rows: list[Any]) -> NDArray[Any]:
    import numpy as np

    try:
        found = np.array(rows)
        if found.dtype.kind in "US":
            # numpy writes [1, "a"] as two texts; the values themselves say what they are.
            found = np.array(rows, dtype=object)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "The rows differ in length.", hint="Each row has the same number of values."
        ) from error
    return found


def _objects(values: list[Any]) -> NDArray[Any]:
    import numpy as np

    out: NDArray[Any] = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _checked_tensor(found: NDArray[Any], spec: TensorSpec, what: str = "The model") -> NDArray[Any]:
    shape = found.shape
    takes = "The model takes" if what == "The model" else f"{what}: the model takes"
    if len(shape) != len(spec.shape):
        wanted = "one" if len(spec.shape) == 1 else str(len(spec.shape))
        raise InvalidInput(
            f"{takes} a tensor of shape {list(spec.shape)} (-1: any); this has shape {list(shape)}.",
            subject=spec.name,
            hint=f"It has {wanted} dimension{'s' if len(spec.shape) > 1 else ''}, the first counts the rows."
            + (" For one row: x[None]." if len(shape) == len(spec.shape) - 1 else ""),
        )
    if any(size not in (-1, came) for size, came in zip(spec.shape, shape, strict=True)):
        if spec.shape and shape[0] != spec.shape[0] != -1:
            raise InvalidInput(
                f"{takes} exactly {spec.shape[0]} row{'s' if spec.shape[0] != 1 else ''} a request; {shape[0]} came.",
                subject=spec.name,
                hint=f"Send {spec.shape[0]} at a time, or export the model with a first dimension of any size.",
            )
        raise InvalidInput(
            f"{takes} a tensor of shape {list(spec.shape)} (-1: any); this has shape {list(shape)}.",
            subject=spec.name,
            hint="Rows must have the shape that the model was trained on.",
        )
    _check_values("The input" if what == "The model" else what, found, spec.dtype)
    return found


def _check_matrix(found: NDArray[Any], signature: Signature) -> None:
    import numpy as np

    dtype = signature.one_dtype
    if dtype in dtypes.FLOATS or found.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        whole = found == np.floor(found)
    if not whole.all():
        row, column = (int(at) for at in np.argwhere(~whole)[0])
        _refuse_fraction(signature.inputs[column].name, row, found[row, column], str(dtype))


def _check_columns(columns: dict[str, Any], signature: Signature | None) -> None:
    if signature is None:
        return
    for spec, (name, values) in zip(signature.inputs, columns.items(), strict=True):
        _check_values(name, values, spec.dtype)


def _check_values(name: str, values: NDArray[Any], dtype: str) -> None:
    import numpy as np

    kind = values.dtype.kind
    if kind not in "biuf":
        tensor = tensors.from_array(name, values)
        if tensor.dtype == dtypes.BYTES and dtype != dtypes.BYTES:
            at, item = next(
                (
                    (at, item)
                    for at, item in enumerate(values.ravel().tolist())
                    if isinstance(item, str | bytes)
                ),
                (0, values.ravel()[0]),
            )
            raise InvalidInput(
                f"{name}: row {at} is {_shown(item)}; the model takes a number ({dtype}).",
                subject=name,
                hint="Numbers that came as texts: .astype(float). A missing number: None.",
            )
        values = tensor.data
        kind = values.dtype.kind
    if kind in "biuf" and dtype == dtypes.BYTES:
        gaps = kind == "f" and bool(np.isnan(values).all())
        if not gaps:
            raise InvalidInput(
                f"{name}: row 0 is {_shown(values.ravel()[0].item())}; the model takes a text.",
                subject=name,
                hint="If these are the texts' numbers: .astype(str).",
            )
    if kind == "f" and dtype not in dtypes.FLOATS and dtype != dtypes.BYTES:
        with np.errstate(invalid="ignore"):
            whole = np.equal(values, np.floor(values)).ravel()
        if not whole.all():
            at = int(np.argmin(whole))
            _refuse_fraction(name, at, values.ravel()[at], dtype)


def _refuse_fraction(name: str, row: int, value: Any, dtype: str) -> None:
    raise InvalidInput(
        f"{name}: row {row} is {float(value)!r}; the model was trained on whole numbers ({dtype}).",
        subject=name,
        hint="A missing number has no integer: fill it before.",
    )


def _check_names(names: Sequence[str], wanted: Sequence[str], subject: str = "The input") -> None:
    if names == wanted:
        return
    have, want = set(names), set(wanted)
    missing = [name for name in wanted if name not in have]
    unknown = [name for name in names if name not in want]
    if missing:
        raise InvalidInput(
            f"{subject} misses {_names(missing)}.",
            subject=missing[0],
            hint=f"It also has {_names(unknown)}, which the model does not know."
            if unknown
            else f"The model takes {_names(wanted)}; a missing number is None.",
            details={"missing": missing, "unknown": unknown},
        )
    if unknown:
        raise InvalidInput(
            f"{subject} has {_names(unknown)}, which the model does not know.",
            subject=unknown[0],
            hint=f"The model takes {_names(wanted)}.",
            details={"missing": [], "unknown": unknown},
        )


def _check_width(width: int, signature: Signature) -> None:
    if width != len(signature.inputs):
        raise InvalidInput(
            f"The input has {width} columns; the model takes {len(signature.inputs)}: "
            f"{_names([spec.name for spec in signature.inputs])}.",
            hint="Give these columns, in this order.",
        )


def _some(rows: int) -> None:
    if rows == 0:
        raise InvalidInput("There are no rows to predict on.", hint="Give at least one row: [[...]].")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
