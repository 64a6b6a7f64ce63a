"""The Open Inference Protocol's data types beside numpy's names for them. Needs no numpy."""

from __future__ import annotations

from typing import Any, Final

from kale_serve_lab.errors import InvalidSignature

# v2 name -> (numpy's name, bytes an element). BYTES has no fixed size: each element carries its length.
NUMPY: Final[dict[str, tuple[str, int]]] = {
    "BOOL": ("bool", 1),
    "UINT8": ("uint8", 1),
    "UINT16": ("uint16", 2),
    "UINT32": ("uint32", 4),
    "UINT64": ("uint64", 8),
    "INT8": ("int8", 1),
    "INT16": ("int16", 2),
    "INT32": ("int32", 4),
    "INT64": ("int64", 8),
    "FP16": ("float16", 2),
    "FP32": ("float32", 4),
    "FP64": ("float64", 8),
}
BYTES: Final = "BYTES"
ALL: Final = (*NUMPY, BYTES)
FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
INTEGERS: Final = frozenset(name for name in NUMPY if "INT" in name)

_FROM_NUMPY: Final = {numpy_name: name for name, (numpy_name, _) in NUMPY.items()}
_ALIASES: Final = {
    "float": "FP64",
    "double": "FP64",
    "half": "FP16",
    "int": "INT64",
    "integer": "INT64",
    "long": "INT64",
    "boolean": "BOOL",
    "bool_": "BOOL",
    "str": BYTES,
    "str_": BYTES,
    "string": BYTES,
    "object": BYTES,
    "object_": BYTES,
    "bytes": BYTES,
    "bytes_": BYTES,
    "category": BYTES,
    "datetime": BYTES,
}


def v2_name(dtype: Any) -> str:
    """The v2 name of what people write for a dtype: `"float32"`, `numpy.float32`, `numpy.dtype("<f4")`, `float`, `"FP32"`.

    Raises `InvalidSignature` for a type that no tensor can have (complex, float128 ...).
    """
    name = (
        dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    )
    name = name if isinstance(name, str) else str(dtype)
    if name.upper() in ALL and name.lower() not in _ALIASES:
        return name.upper()
    # pandas names its nullable types Int64, Float32, boolean, string.
    lower = name.lower().removeprefix("torch.").removeprefix("tf.")
    if lower in _FROM_NUMPY:
        return _FROM_NUMPY[lower]
    if lower in _ALIASES:
        return _ALIASES[lower]
    if lower.startswith(("datetime64", "timedelta64", "period[", "str", "bytes", "string")):
        return BYTES
    raise InvalidSignature(
        f"There is no tensor data type for {dtype!r}.",
        subject=str(dtype),
        hint=f"Known are {', '.join(ALL)} and numpy's names for them.",
    )
