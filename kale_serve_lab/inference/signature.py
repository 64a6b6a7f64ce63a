"""What a model takes and gives: the shape of the form, of the server's metadata and of the check before sending."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from kale_serve_lab.errors import InvalidSignature
from kale_serve_lab.inference import dtypes

Layout = Literal["columns", "tensor", "tensors"]


@dataclass(frozen=True)
class TensorSpec:
    """One column of a table, or one tensor.

    `dtype` is a v2 name (FP64, INT64, BOOL, BYTES ...), `shape` has -1 where any size will do. `min`, `max` and
    `categories` are what the sample showed: they fill a form, nothing is refused for them. `classes` are a classifier's
    labels in the order of `predict_proba`'s columns.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = (-1,)
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] | None = None
    classes: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidSignature(f"A tensor's name is a text, not {self.name!r}.")
        if self.dtype not in dtypes.ALL:
            raise InvalidSignature(
                f"{self.name}: there is no tensor data type {self.dtype!r}.", subject=self.name
            )
        if any(isinstance(size, bool) or not isinstance(size, int) or size < -1 for size in self.shape):
            raise InvalidSignature(f"{self.name}: {list(self.shape)!r} is not a shape.", subject=self.name)

    def to_json(self) -> dict[str, Any]:
        """All keys; tuples become lists, a bound that JSON has no number for becomes null."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "min": _finite(self.min),
            "max": _finite(self.max),
            "categories": None if self.categories is None else list(self.categories),
            "classes": None if self.classes is None else list(self.classes),
        }

    @classmethod
    def from_json(cls, value: Any) -> TensorSpec:
        """Reads `to_json`'s form; keys that are not there take their defaults. Raises `InvalidSignature`."""
        if not isinstance(value, Mapping):
            raise InvalidSignature(f"A signature's tensor is an object, not {type(value).__name__}.")
        known = {key: value[key] for key in _SPEC_FIELDS if value.get(key) is not None}
        for key in ("shape", "categories", "classes"):
            if key in known:
                if not isinstance(known[key], Sequence) or isinstance(known[key], str):
                    raise InvalidSignature(
                        f"{value.get('name')}: {key} is a list.", subject=str(value.get("name"))
                    )
                known[key] = tuple(known[key])
        for key in ("min", "max"):
            if key in known and (isinstance(known[key], bool) or not isinstance(known[key], int | float)):
                raise InvalidSignature(
                    f"{value.get('name')}: {key} is a number.", subject=str(value.get("name"))
                )
        try:
            return cls(**known)
        except TypeError as error:
            raise InvalidSignature("A signature's tensor has at least a name and a dtype.") from error


_SPEC_FIELDS = tuple(field.name for field in fields(TensorSpec))


@dataclass(frozen=True, init=False)
class Signature:
    """What a model takes and gives.

    With `layout="columns"` each input is one column of a table, shape (-1,); `named` says that the names are the user's
    own (a DataFrame's), not x0, x1, ...  With `layout="tensor"` there is one tensor, of any rank; with `"tensors"` there are
    several, found by their names, of any rank but 0: the first dimension of each is the batch. `input_example` holds at
    most 5 rows of JSON values, each row a list in the order of `inputs` (for a tensor: its first rows). `source` says
    where they came from: "5 rows of X_train".

    Kale's own form is taken too: `Signature(input_size=["batch_size", 64], output_size=["batch_size", 10],
    input_dtype="float32", output_dtype="float32")`, where a text stands for any size.
    """

    layout: Layout
    named: bool
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_example: list[Any] | None
    source: str | None

    def __init__(
        self,
        input_size: Sequence[int | str] | None = None,
        output_size: Sequence[int | str] | None = None,
        input_dtype: Any = None,
        output_dtype: Any = None,
        *,
        layout: Layout | None = None,
        named: bool = False,
        inputs: Sequence[TensorSpec] | None = None,
        outputs: Sequence[TensorSpec] = (),
        input_example: list[Any] | None = None,
        source: str | None = None,
    ) -> None:
        if inputs is None:
            if input_size is None:
                raise InvalidSignature(
                    "A signature needs its inputs.", hint="Give input_size and input_dtype."
                )
            layout = "tensor"
            inputs = (_kale_spec("input-0", input_size, input_dtype),)
            if output_size is not None:
                outputs = (_kale_spec("predict", output_size, output_dtype),)
        if layout not in ("columns", "tensor", "tensors"):
            raise InvalidSignature(f"A signature's layout is columns, tensor or tensors, not {layout!r}.")
        if layout == "tensor" and len(inputs) != 1:
            raise InvalidSignature(f"A signature of layout tensor has one input, not {len(inputs)}.")
        if layout == "tensors":
            _check_tensors(inputs)
        names = [spec.name for spec in inputs]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidSignature(f"The input {twice!r} is there twice.", subject=twice)
        for key, value in {
            "layout": layout,
            "named": bool(named),
            "inputs": tuple(inputs),
            "outputs": tuple(outputs),
            "input_example": input_example,
            "source": source,
        }.items():
            object.__setattr__(self, key, value)

    @property
    def one_dtype(self) -> str | None:
        """The dtype of an unmixed numeric table, which can travel as one tensor; None for all else."""
        found = {spec.dtype for spec in self.inputs}
        if self.layout != "columns" or len(found) != 1 or dtypes.BYTES in found:
            return None
        return found.pop()

    def wire_inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that a server's metadata lists: `input-0` for an unmixed numeric table, else one a column."""
        dtype = self.one_dtype
        if dtype is None:
            return self.inputs
        return (TensorSpec("input-0", dtype, (-1, len(self.inputs))),)

    def with_outputs(self, outputs: Sequence[TensorSpec]) -> Signature:
        """The same inputs with these outputs."""
        return Signature(
            layout=self.layout,
            named=self.named,
            inputs=self.inputs,
            outputs=outputs,
            input_example=self.input_example,
            source=self.source,
        )

    def to_json(self) -> dict[str, Any]:
        """All keys, as artifacts and services carry them."""
        return {
            "layout": self.layout,
            "named": self.named,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "input_example": self.input_example,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, value: Any) -> Signature:
        """Reads `to_json`'s form, or Kale's keys (`input_size` ...). Raises `InvalidSignature`."""
        if not isinstance(value, Mapping):
            raise InvalidSignature(f"A signature is an object, not {type(value).__name__}.")
        if "inputs" not in value and "input_size" in value:
            return cls(
                value["input_size"],
                value.get("output_size"),
                value.get("input_dtype"),
                value.get("output_dtype"),
            )
        inputs, outputs, example = value.get("inputs"), value.get("outputs") or [], value.get("input_example")
        if not isinstance(inputs, list) or not isinstance(outputs, list):
            raise InvalidSignature("A signature's inputs and outputs are lists.")
        if example is not None and not isinstance(example, list):
            raise InvalidSignature("A signature's input_example is a list of rows.")
        source = value.get("source")
        return cls(
            layout=value.get("layout"),
            named=bool(value.get("named", False)),
            inputs=[TensorSpec.from_json(spec) for spec in inputs],
            outputs=[TensorSpec.from_json(spec) for spec in outputs],
            input_example=example,
            source=source if isinstance(source, str) else None,
        )


def _check_tensors(inputs: Sequence[TensorSpec]) -> None:
    if not inputs:
        raise InvalidSignature("A signature of layout tensors has at least one input.")
    for spec in inputs:
        if not spec.shape:
            raise InvalidSignature(
                f"{spec.name}: the first dimension of each input is the batch; this one has none.",
                subject=spec.name,
                hint="Give it the shape (-1, ...).",
            )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _kale_spec(name: str, size: Sequence[int | str], dtype: Any) -> TensorSpec:
    if isinstance(size, str) or not isinstance(size, Sequence):
        raise InvalidSignature(f"A size is a list such as ['batch_size', 64], not {size!r}.", subject=name)
    shape = tuple(-1 if isinstance(part, str) or part is None else int(part) for part in size)
    return TensorSpec(name, dtypes.v2_name("float64" if dtype is None else dtype), shape)
