"""Says which value does not fit a data type, after the fast path has only found that one does not."""

from __future__ import annotations

import math
from typing import Any

from kale_serve_lab.inference import dtypes

_LARGEST = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": math.inf}


def first_misfit(dtype: str, flat: list[Any]) -> str:
    """A sentence without its full stop on the first value of JSON data that is no `dtype`."""
    for index, item in enumerate(flat):
        if not _fits(dtype, item):
            shown = repr(item)
            return (
                f"value {index} is {shown if len(shown) <= 40 else shown[:37] + '...'}, which is no {dtype}"
            )
    return f"a value is no {dtype}"


def _fits(dtype: str, item: Any) -> bool:
    if dtype == dtypes.BYTES:
        return item is None or (isinstance(item, str) and _encodes(item))
    if dtype == "BOOL":
        return isinstance(item, int) and item in (0, 1)
    if dtype in dtypes.INTEGERS:
        bits = dtypes.NUMPY[dtype][1] * 8
        low, high = (0, 2**bits) if dtype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return isinstance(item, int) and low <= item < high
    try:
        return item is None or (isinstance(item, int | float) and abs(float(item)) <= _LARGEST[dtype])
    except OverflowError:
        return False


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeError:
        return False
    return True
