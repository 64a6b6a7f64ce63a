"""Named, typed, shaped data, from and to numpy arrays, JSON lists and raw bytes.

numpy is imported when the first tensor is made, never before. Whatever a header claims, nothing larger than the data that
really came is allocated: shapes are multiplied as Python integers and compared with what is there.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array as packed
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from kale_serve_lab.errors import InvalidInput, InvalidSignature
from kale_serve_lab.inference import dtypes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RANK: Final = 32
# With a dimension of 0 the data says nothing about the others; they may still be used to allocate.
MAX_EMPTY_SIZE: Final = 1 << 24
# BYTES has no missing value; ours are marked beside the data, so that a text column keeps its gaps.
MISSING: Final = "missing"

_PACKED: Final = {
    "INT8": "b",
    "UINT8": "B",
    "INT16": "h",
    "UINT16": "H",
    "INT32": "i",
    "UINT32": "I",
    "INT64": "q",
    "UINT64": "Q",
}


_FRAMEWORK_TENSORS: Final = frozenset(
    {
        ("torch", "Tensor"),
        ("tensorflow", "Tensor"),
        ("tensorflow", "Variable"),
        ("tensorflow", "RaggedTensor"),
        ("tensorflow", "SparseTensor"),
        ("keras", "Variable"),
    }
)


@dataclass(frozen=True, eq=False)
class Tensor:
    """`data` has the shape `shape` and numpy's dtype of `dtype`; for BYTES it is an object array of `bytes`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: NDArray[Any]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def array(self) -> NDArray[Any]:
        """The values as a model takes them: BYTES become texts (bytes where they are no UTF-8), gaps become NaN."""
        if self.dtype != dtypes.BYTES:
            return self.data
        import numpy as np

        flat = np.empty(self.data.size, dtype=object)
        flat[:] = [_text(item) for item in self.data.ravel()]
        for index in self.parameters.get(MISSING, ()):
            flat[index] = math.nan
        return flat.reshape(self.shape)


def of_framework(name: str, value: Any) -> NDArray[Any] | None:
    """The array of a torch or TensorFlow tensor, by its own `numpy()`; None for anything else. Told by the class alone.

    Raises `InvalidInput` for a type that no array has (bfloat16, a sparse or quantized tensor).
    """
    # By type's own descriptor: a class may have a `__module__` of its own that is no text.
    classes = {
        (str(type.__dict__["__module__"].__get__(cls)).partition(".")[0], cls.__name__)
        for cls in type(value).__mro__
    }
    if not classes & _FRAMEWORK_TENSORS:
        return None
    torch = ("torch", "Tensor") in classes
    # TensorFlow's arrays of bfloat16 have a type that is no number to numpy.
    if "bfloat16" in str(value.dtype):
        raise InvalidInput(
            f"{name}: bfloat16 cannot be sent: neither numpy nor the protocol has it.",
            subject=name,
            hint="Give float32 (x.float(), tf.cast(x, tf.float32)); a model of bfloat16 converts it.",
        )
    try:
        found: NDArray[Any] = value.detach().cpu().numpy() if torch else value.numpy()
    except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        raise InvalidInput(
            f"{name}: this {type(value).__name__} has no array: {error}",
            subject=name,
            hint="Give a dense tensor.",
        ) from error
    return found


def from_array(name: str, values: Any) -> Tensor:
    """A tensor of an array's own dtype; raises `InvalidInput` for what no tensor can hold.

    Arrays of objects become numbers or texts by what is in them; dates become ISO texts.
    """
    import numpy as np

    if isinstance(values, np.ndarray):
        found = values
    else:
        own = of_framework(name, values)
        found = np.asarray(values) if own is None else own
    if found.dtype.kind in "mM":
        found = _dates(found)
    if found.dtype.kind in "OUST":
        return _from_objects(name, found)
    try:
        dtype = _v2_name(found.dtype)
    except InvalidSignature as error:
        raise InvalidInput(
            f"{name}: values of type {found.dtype} cannot be sent.",
            subject=name,
            hint="Numbers, booleans and texts can: convert with .astype(...).",
        ) from error
    native = np.ascontiguousarray(found, dtype=dtypes.NUMPY[dtype][0]).reshape(found.shape)
    return Tensor(name, dtype, tuple(found.shape), native)


@lru_cache(maxsize=64)
def _v2_name(dtype: Any) -> str:
    return dtypes.v2_name(dtype)


def from_json(
    name: str, dtype: str, shape: tuple[int, ...], data: Any, parameters: dict[str, Any] | None = None
) -> Tensor:
    """A tensor of the JSON field `data`: flat, or nested as the shape says. `shape` has been through `checked_shape`."""
    import numpy as np

    flat = _flat(name, shape, data)
    parameters = dict(parameters or {})
    if dtype == dtypes.BYTES:
        gaps = [index for index, item in enumerate(flat) if item is None]
        if gaps:
            parameters[MISSING] = gaps
        else:
            parameters.pop(MISSING, None)
        try:
            values = [b"" if item is None else item.encode("utf-8") for item in flat]
        except (AttributeError, UnicodeError):
            raise _wrong(name, dtype, flat) from None
        return Tensor(name, dtype, shape, _object_array(values, shape), parameters)
    numpy_name = dtypes.NUMPY[dtype][0]
    try:
        if dtype == "BOOL":
            raw = np.frombuffer(bytes(flat), dtype="uint8")
            if raw.size and raw.max() > 1:
                raise _wrong(name, dtype, flat)
            found = raw.astype("bool")
        elif dtype in _PACKED:
            found = np.array(packed(_PACKED[dtype], flat), dtype=numpy_name)
        else:
            found = _floats(flat, numpy_name)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(name, dtype, flat) from None
    return Tensor(name, dtype, shape, _reshaped(name, found, shape), parameters)


def from_bytes(
    name: str, dtype: str, shape: tuple[int, ...], raw: memoryview, parameters: dict[str, Any] | None = None
) -> Tensor:
    """A tensor over little-endian raw bytes, without a copy where they are aligned. `shape` has been checked."""
    import numpy as np

    count = math.prod(shape)
    parameters = dict(parameters or {})
    if dtype == dtypes.BYTES:
        gaps = parameters.get(MISSING)
        if gaps is not None and not (
            isinstance(gaps, list) and all(type(i) is int and 0 <= i < count for i in gaps)
        ):
            raise InvalidInput(
                f"{name}: parameter {MISSING} is a list of positions in the data.", subject=name
            )
        return Tensor(name, dtype, shape, _object_array(_split(name, raw, count), shape), parameters)
    numpy_name, width = dtypes.NUMPY[dtype]
    if raw.nbytes != count * width:
        raise InvalidInput(
            f"{name}: {raw.nbytes} bytes came for shape {list(shape)} of {dtype}, which takes {count * width}.",
            subject=name,
        )
    found: NDArray[Any] = np.frombuffer(raw, dtype=np.dtype(numpy_name).newbyteorder("<"))
    if dtype == "BOOL" and count and np.frombuffer(raw, dtype="uint8").max() > 1:
        raise InvalidInput(f"{name}: a byte of a BOOL is 0 or 1.", subject=name)
    if not found.dtype.isnative or not found.flags.aligned:
        found = found.astype(numpy_name)
    return Tensor(name, dtype, shape, _reshaped(name, found, shape), parameters)


def from_texts(name: str, values: Iterable[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    """The data of a BYTES tensor whose texts come one by one. `shape` has been checked."""
    count = math.prod(shape)
    found = list(islice(values, min(count, sys.maxsize - 1) + 1))
    if len(found) != count:
        more = " or more" if len(found) > count else ""
        raise InvalidInput(
            f"{name}: {len(found)}{more} texts came for a shape that takes {_short(count)}.", subject=name
        )
    return _object_array(found, shape)


def to_bytes(tensor: Tensor) -> memoryview:
    """The raw little-endian bytes; a view of the data itself except for BYTES."""
    import numpy as np

    if tensor.dtype == dtypes.BYTES:
        parts: list[bytes] = []
        for item in tensor.data.ravel():
            parts += (struct.pack("<I", len(item)), item)
        return memoryview(b"".join(parts))
    native = np.dtype(dtypes.NUMPY[tensor.dtype][0])
    wire = np.ascontiguousarray(tensor.data, dtype=native.newbyteorder("<"))
    return wire.reshape(-1).view("uint8").data if wire.size else memoryview(b"")


def to_json(tensor: Tensor) -> list[Any]:
    """The data as a flat list in row-major order: exact for every dtype, texts for BYTES, None for a gap."""
    flat: list[Any] = tensor.data.ravel().tolist()
    if tensor.dtype != dtypes.BYTES:
        return flat
    try:
        flat = [item.decode("utf-8") for item in flat]
    except UnicodeError:
        raise InvalidInput(
            f"{tensor.name}: bytes that are no text travel in binary only.", subject=tensor.name
        ) from None
    for index in tensor.parameters.get(MISSING, ()):
        flat[index] = None
    return flat


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """The shape of a header as a tuple; raises `InvalidInput` for what is none."""
    if not isinstance(shape, list) or len(shape) > MAX_RANK:
        raise InvalidInput(f"{name}: a shape is a list of at most {MAX_RANK} sizes.", subject=name)
    if any(type(size) is not int or size < 0 or size >= 2**63 for size in shape):
        raise InvalidInput(f"{name}: {_short(shape)} is not a shape.", subject=name)
    if 0 in shape and math.prod(size for size in shape if size) > MAX_EMPTY_SIZE:
        raise InvalidInput(
            f"{name}: {_short(shape)} holds nothing; its other sizes cannot be meant.", subject=name
        )
    return tuple(shape)


def _flat(name: str, shape: tuple[int, ...], data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidInput(f"{name}: data is a list.", subject=name)
    level: list[Any] = data
    if level and isinstance(level[0], list):
        for depth, size in enumerate(shape):
            if len(level) != math.prod(shape[: depth + 1]):
                raise InvalidInput(
                    f"{name}: the nesting of data is not that of shape {_short(list(shape))}.", subject=name
                )
            if depth + 1 < len(shape):
                if any(type(row) is not list or len(row) != shape[depth + 1] for row in level):
                    raise InvalidInput(
                        f"{name}: the nesting of data is not that of shape {_short(list(shape))}.",
                        subject=name,
                    )
                level = list(chain.from_iterable(level))
            elif size and any(type(item) is list for item in level):
                raise InvalidInput(
                    f"{name}: data is nested deeper than shape {_short(list(shape))}.", subject=name
                )
    if len(level) != math.prod(shape):
        raise InvalidInput(
            f"{name}: {len(level)} values came for shape {_short(list(shape))}, which takes {_short(math.prod(shape))}.",
            subject=name,
        )
    return level


def _floats(flat: list[Any], numpy_name: str) -> NDArray[Any]:
    import numpy as np

    try:
        wide = np.frombuffer(packed("d", flat), dtype="float64") if flat else np.empty(0)
    except TypeError:
        # A null is a missing number; everything else that is no number fails again.
        wide = np.array(packed("d", [math.nan if item is None else item for item in flat]))
    if numpy_name == "float64":
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(numpy_name)
    if np.isinf(narrow).any() and not np.isinf(wide).any():
        raise OverflowError
    return narrow


def _from_objects(name: str, found: NDArray[Any]) -> Tensor:
    import numpy as np

    flat = found.ravel().tolist()
    kinds = {type(item) for item in flat}
    gaps = [index for index, item in enumerate(flat) if _is_gap(item)] if kinds - {str, bytes} else []
    if gaps:
        kinds = {type(item) for item in flat if not _is_gap(item)}
    if kinds and kinds <= {bool, np.bool_} and not gaps:
        return from_array(name, found.astype("bool"))
    if kinds and all(issubclass(kind, int | np.integer) for kind in kinds) and not gaps:
        try:
            return from_array(name, found.astype("int64"))
        except OverflowError:
            raise InvalidInput(f"{name}: an integer is outside of 64 bits.", subject=name) from None
    if all(issubclass(kind, int | float | np.integer | np.floating) for kind in kinds) and (kinds or gaps):
        filled = np.array([math.nan if _is_gap(item) else float(item) for item in flat])
        return from_array(name, filled.reshape(found.shape))
    missing = set(gaps)
    values = []
    for index, item in enumerate(flat):
        if index in missing:
            values.append(b"")
        elif isinstance(item, str):
            try:
                values.append(item.encode("utf-8"))
            except UnicodeError:
                raise InvalidInput(f"{name}: value {index} holds a lone surrogate.", subject=name) from None
        elif isinstance(item, bytes):
            values.append(item)
        elif hasattr(item, "isoformat"):
            values.append(item.isoformat().encode("utf-8"))
        else:
            raise InvalidInput(
                f"{name}: value {index} is a {type(item).__name__} among {', '.join(sorted(k.__name__ for k in kinds))}.",
                subject=name,
                hint="One column holds either numbers or texts, and each row has the same number of values.",
            )
    parameters = {MISSING: gaps} if gaps else {}
    return Tensor(
        name, dtypes.BYTES, tuple(found.shape), _object_array(values, tuple(found.shape)), parameters
    )


def _is_gap(item: Any) -> bool:
    # None, NaN, pandas' NaT and NA. Comparing NA gives NA, whose truth value raises: it is told by its type's name.
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(item, float) and item != item  # noqa: PLR0124 (NaN)


def _dates(found: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if found.dtype.kind == "m":
        return np.asarray(found.astype("timedelta64[ns]").astype("int64"))
    texts = np.datetime_as_string(found).astype(object)
    texts[np.isnat(found)] = None
    return np.asarray(texts)


def _object_array(values: Sequence[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    import numpy as np

    out: NDArray[Any] = np.empty(len(values), dtype=object)
    out[:] = values
    return out.reshape(shape)


def _split(name: str, raw: memoryview, count: int) -> list[bytes]:
    if count * 4 > raw.nbytes:
        raise InvalidInput(f"{name}: {raw.nbytes} bytes cannot hold {_short(count)} texts.", subject=name)
    values, at, end = [], 0, raw.nbytes
    for _ in range(count):
        if at + 4 > end:
            raise InvalidInput(f"{name}: the texts end before there are {count}.", subject=name)
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > end:
            raise InvalidInput(f"{name}: a text of {length} bytes goes beyond the data.", subject=name)
        values.append(bytes(raw[at : at + length]))
        at += length
    if at != end:
        raise InvalidInput(f"{name}: {end - at} bytes are left after {count} texts.", subject=name)
    return values


def _reshaped(name: str, flat: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name}: {_short(list(shape))} is not a shape.", subject=name) from None


def _text(item: bytes) -> str | bytes:
    try:
        return item.decode("utf-8")
    except UnicodeError:
        return item


def _wrong(name: str, dtype: str, flat: list[Any]) -> InvalidInput:
    from kale_serve_lab.inference.describe import first_misfit

    return InvalidInput(f"{name}: {first_misfit(dtype, flat)}.", subject=name)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
