"""From what came over the wire to what the model was trained on: a DataFrame with its columns and dtypes, or an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, tensors
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.inference.tensors import Tensor
from kale_serve_lab.model_server import fit
from kale_serve_lab.model_server.fit import names_shown as _names


class InputReader:
    """Reads tensors (v2) and rows (v1) into the model's input.

    With a signature of layout "columns": a DataFrame with the training columns and dtypes where they are named, else an
    array of shape (rows, columns). With layout "tensor", the array itself; with "tensors", a dict of arrays by the inputs'
    names. Without a signature, what came decides.
    `categorical`: text columns become pandas categories, which is the only form in which XGBoost and LightGBM take texts.
    Raises `InvalidInput` for what does not fit.
    """

    def __init__(self, signature: Signature | None, *, categorical: bool = False) -> None:
        self._signature = signature
        self._categorical = categorical
        self._columns: Any = None
        self._pandas: Any = None
        self._kinds = {} if signature is None else _kinds(signature)
        if signature is not None and signature.layout == "columns" and signature.named:
            import pandas as pd

            self._pandas = pd
            self._columns = pd.Index([spec.name for spec in signature.inputs])

    def tensors(self, given: Sequence[Tensor]) -> Any:
        """The model's input from a v2 request's tensors."""
        signature = self._signature
        if signature is None:
            return self._unsigned_tensors(given)
        if signature.layout == "tensor":
            if len(given) != 1:
                raise InvalidInput(
                    f"The model takes one tensor, {len(given)} came.",
                    hint=f"Send {signature.inputs[0].name!r}.",
                )
            return _some(_fitted(given[0], signature.inputs[0]))
        specs = signature.inputs
        if signature.layout == "tensors":
            fit.check_names([tensor.name for tensor in given], [spec.name for spec in specs])
            by_its_name = {tensor.name: tensor for tensor in given}
            found = {spec.name: _fitted(by_its_name[spec.name], spec) for spec in specs}
            fit.check_batch(found)
            return found
        if len(given) == 1 and (len(specs) > 1 or len(given[0].shape) == 2):
            return self._from_matrix(given[0])
        by_name = {tensor.name: tensor for tensor in given}
        missing = [spec.name for spec in specs if spec.name not in by_name]
        if missing:
            raise InvalidInput(
                f"The request misses {_names(missing)}.",
                subject=missing[0],
                hint=f"The model takes {len(specs)} columns: one tensor a column, named as they are.",
            )
        columns = [_column(by_name[spec.name], spec) for spec in specs]
        rows = len(columns[0])
        for spec, column in zip(specs, columns, strict=True):
            if len(column) != rows:
                raise InvalidInput(
                    f"{spec.name} has {len(column)} rows, {specs[0].name} has {rows}.", subject=spec.name
                )
        return self._table(columns)

    def rows(self, given: Sequence[Any]) -> Any:
        """The model's input from a v1 request's instances: lists in the order of the columns, or `{"column": value}`."""
        signature = self._signature
        if not given:
            raise InvalidInput("The request has no rows.")
        if signature is None:
            return self._unsigned_rows(given)
        if signature.layout == "tensor":
            return self._tensor_rows(given, signature.inputs[0])
        specs = signature.inputs
        if signature.layout == "tensors":
            return _named_tensors(given, specs)
        if isinstance(given[0], dict):
            listed = _listed(given, specs)
        else:
            _check_rows(given, specs)
            listed = given  # type: ignore[assignment]
        if signature.one_dtype is not None:
            shape = (len(listed), len(specs))
            try:
                return self._matrix(tensors.from_json("instances", signature.one_dtype, shape, listed).data)
            except InvalidInput:
                pass  # once more by columns: the user wants to know which one
        columns = [self._values(spec, [row[index] for row in listed]) for index, spec in enumerate(specs)]
        return self._table(columns)

    def _from_matrix(self, given: Tensor) -> Any:
        assert self._signature is not None
        specs = self._signature.inputs
        if len(given.shape) == 1 and given.shape[0] == len(specs):
            raise InvalidInput(
                f"{given.name}: one row is a tensor of shape [1, {len(specs)}], not [{given.shape[0]}].",
                subject=given.name,
            )
        if len(given.shape) != 2 or given.shape[1] != len(specs):
            named = f" ({_names([spec.name for spec in specs])})" if self._signature.named else ""
            raise InvalidInput(
                f"{given.name}: shape {list(given.shape)} came, the model takes [rows, {len(specs)}]{named}.",
                subject=given.name,
            )
        if not given.shape[0]:
            raise InvalidInput("The request has no rows.")
        dtype = self._signature.one_dtype
        if dtype is not None:
            return self._matrix(_cast(given.name, given, dtype))
        array = given.array
        return self._table(
            [
                _cast(
                    spec.name, Tensor(spec.name, given.dtype, (given.shape[0],), array[:, index]), spec.dtype
                )
                for index, spec in enumerate(specs)
            ]
        )

    def _matrix(self, matrix: NDArray[Any]) -> Any:
        if self._columns is None:
            return matrix
        return self._pandas.DataFrame(matrix, columns=self._columns, copy=False)

    def _table(self, columns: list[NDArray[Any]]) -> Any:
        assert self._signature is not None
        specs = self._signature.inputs
        if not len(columns[0]):
            raise InvalidInput("The request has no rows.")
        for index, spec in enumerate(specs):
            if spec.name in self._kinds:
                typed = np.empty(len(columns[index]), dtype=object)
                typed[:] = [
                    _of_kind(self._kinds[spec.name], text, spec.name) for text in columns[index].tolist()
                ]
                columns[index] = typed
        if self._columns is None:
            kinds = {column.dtype for column in columns}
            if object in kinds and len(kinds) > 1:
                columns = [column.astype(object) for column in columns]
            return np.column_stack(columns)
        series = [
            self._category(spec, column) if self._categorical and spec.dtype == dtypes.BYTES else column
            for spec, column in zip(specs, columns, strict=True)
        ]
        frame = self._pandas.DataFrame(dict(enumerate(series)), copy=False)
        frame.columns = self._columns
        return frame

    def _category(self, spec: TensorSpec, column: NDArray[Any]) -> Any:
        kind = self._kinds.get(spec.name, str)
        known = [_of_kind(kind, text, spec.name) for text in spec.categories or ()]
        seen = set(known)
        # A category that the sample did not show is for the model to judge.
        known += sorted({value for value in column.tolist() if isinstance(value, kind) and value not in seen})
        return self._pandas.Categorical(column, categories=known)

    def _values(self, spec: TensorSpec, values: list[Any]) -> NDArray[Any]:
        if spec.name in self._kinds:
            values = [str(value) if isinstance(value, int | float) else value for value in values]
        return tensors.from_json(spec.name, spec.dtype, (len(values),), values).array

    def _tensor_rows(self, given: Sequence[Any], spec: TensorSpec) -> Any:
        if isinstance(given[0], dict):
            # What takes one input by its name elsewhere takes it here.
            given = [row[0] for row in _listed(given, [spec])]
        return _fitted(_of_rows(spec, given), spec)

    def _unsigned_tensors(self, given: Sequence[Tensor]) -> Any:
        if len(given) == 1:
            return given[0].array
        import pandas as pd

        for tensor in given:
            if len(tensor.shape) not in (1, 2) or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
                raise InvalidInput(
                    f"{tensor.name}: several tensors are columns, of shape [rows] or [rows, 1].",
                    subject=tensor.name,
                )
            if tensor.shape[0] != given[0].shape[0]:
                raise InvalidInput(
                    f"{tensor.name} has {tensor.shape[0]} rows, {given[0].name} has {given[0].shape[0]}.",
                    subject=tensor.name,
                )
        return pd.DataFrame({tensor.name: tensor.array.reshape(-1) for tensor in given})

    def _unsigned_rows(self, given: Sequence[Any]) -> Any:
        if isinstance(given[0], dict):
            if not all(isinstance(row, dict) and row.keys() == given[0].keys() for row in given):
                raise InvalidInput("All rows have the same columns.")
            import pandas as pd

            return pd.DataFrame(list(given))
        try:
            return tensors.from_array("instances", np.asarray(given)).array
        except ValueError as error:
            raise InvalidInput("The rows have different lengths.") from error


def _listed(given: Sequence[Any], specs: Sequence[TensorSpec]) -> list[list[Any]]:
    names = [spec.name for spec in specs]
    listed = []
    for index, row in enumerate(given):
        if not isinstance(row, dict):
            raise InvalidInput(f"Row {index} is no object, row 0 is one.")
        try:
            listed.append([row[name] for name in names])
        except KeyError:
            missing = [name for name in names if name not in row]
            raise InvalidInput(
                f"Row {index} misses {_names(missing)}.",
                subject=missing[0],
                hint=f"The model takes {len(names)} columns.",
            ) from None
    return listed


def _check_rows(given: Sequence[Any], specs: Sequence[TensorSpec]) -> None:
    for index, row in enumerate(given):
        if not isinstance(row, list):
            raise InvalidInput(
                f"Row {index} is {row!r:.40}, not a list of {len(specs)} values.",
                hint='Instances are rows: [[…], …], or [{"column": value}, …].',
            )
        if len(row) != len(specs):
            raise InvalidInput(
                f"Row {index} has {len(row)} values, the model takes {len(specs)} columns.",
                hint=f"They are {_names([spec.name for spec in specs])}.",
            )


def _kinds(signature: Signature) -> dict[str, type]:
    """Columns that travel as texts and are none: categories that are numbers, as the example shows them."""
    found: dict[str, type] = {}
    if signature.layout != "columns":
        return found
    for index, spec in enumerate(signature.inputs):
        if spec.dtype == dtypes.BYTES:
            shown = (
                row[index]
                for row in signature.input_example or ()
                if isinstance(row, list) and index < len(row)
            )
            kind = type(next((value for value in shown if value is not None), ""))
            if kind in (bool, int, float):
                found[spec.name] = kind
    return found


def _of_kind(kind: type, text: Any, name: str) -> Any:
    if not isinstance(text, str) or kind is str:
        return text
    try:
        return {"True": True, "False": False}[text] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise InvalidInput(f"{name}: {text[:40]!r} is no {kind.__name__}.", subject=name) from None


def _column(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    if len(tensor.shape) == 2 and tensor.shape[1] == 1:
        tensor = Tensor(
            tensor.name, tensor.dtype, tensor.shape[:1], tensor.data.reshape(-1), tensor.parameters
        )
    if len(tensor.shape) != 1:
        raise InvalidInput(
            f"{tensor.name}: a column has shape [rows] or [rows, 1], not {list(tensor.shape)}.",
            subject=tensor.name,
        )
    return _cast(tensor.name, tensor, spec.dtype)


def _fitted(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    fit.check_shape(tensor.name, tensor.shape, spec.shape)
    return _cast(tensor.name, tensor, spec.dtype)


def _some(found: NDArray[Any]) -> NDArray[Any]:
    if found.ndim and not len(found):
        raise InvalidInput("The request has no rows.")
    return found


def _cast(name: str, tensor: Tensor, dtype: str) -> NDArray[Any]:
    """The values in the training dtype; refused where that would lose more than a float's last digits."""
    if tensor.dtype == dtype:
        return tensor.array
    if dtypes.BYTES in (tensor.dtype, dtype):
        raise InvalidInput(f"{name}: {tensor.dtype} came, the model takes {dtype}.", subject=name)
    return fit.cast(name, tensor.data, dtype)


def _named_tensors(given: Sequence[Any], specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Rows that name their inputs, or list them in their order, as arrays."""
    if isinstance(given[0], dict):
        listed = _listed(given, specs)
    else:
        _check_rows(given, specs)
        listed = list(given)
    return {
        spec.name: _fitted(_of_rows(spec, [row[at] for row in listed]), spec) for at, spec in enumerate(specs)
    }


def _of_rows(spec: TensorSpec, values: Sequence[Any]) -> Tensor:
    shape = _nested_shape(values)
    if spec.dtype == dtypes.BYTES and len(spec.shape) == 1:
        shape = (len(values),)
    elif len(shape) == 1 and len(spec.shape) == 2 and spec.shape[1] == 1:
        shape, values = (len(values), 1), [[value] for value in values]
    return tensors.from_json(spec.name, spec.dtype, shape, list(values))


def _nested_shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list | tuple) and len(shape) < tensors.MAX_RANK:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)
