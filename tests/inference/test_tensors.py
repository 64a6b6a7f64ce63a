"""Every dtype there and back, bit for bit, over JSON and binary; and what no tensor can hold."""

from __future__ import annotations

import datetime as dt
import math
import random

import numpy as np
import pandas as pd
import pytest

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, tensors, v2


def there_and_back(tensor, *, binary):
    header, buffers, length = v2.encode_request([tensor], binary=binary)
    return v2.decode_request(header + b"".join(buffers), length).inputs[0]


def samples(dtype):
    numpy_name = dtypes.NUMPY[dtype][0]
    if dtype == "BOOL":
        return np.array([[True, False, True]])
    if dtype in dtypes.FLOATS:
        info = np.finfo(numpy_name)
        values = [0.0, -0.0, 0.1, info.max, info.min, info.tiny, info.smallest_subnormal, math.nan]
        return np.array(values, dtype=numpy_name).reshape(4, 2)
    info = np.iinfo(numpy_name)
    return np.array([info.min, 0, info.max], dtype=numpy_name)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype", dtypes.NUMPY)
def test_numbers_come_back_bit_for_bit(dtype, binary):
    values = samples(dtype)
    found = there_and_back(tensors.from_array("x", values), binary=binary)
    assert found.dtype == dtype
    assert found.array.dtype == values.dtype
    assert found.array.shape == values.shape
    assert found.array.tobytes() == values.tobytes()


def test_random_float64_through_json():
    bits = (
        np.random.default_rng(random.getrandbits(32))
        .integers(0, 2**64, 5000, dtype="uint64", endpoint=False)
        .view("float64")
    )
    values = bits[np.isfinite(bits)]
    assert there_and_back(tensors.from_array("x", values), binary=False).array.tobytes() == values.tobytes()


def test_infinity_travels_in_binary_only():
    tensor = tensors.from_array("x", np.array([math.inf, -math.inf]))
    assert there_and_back(tensor, binary=True).array.tolist() == [math.inf, -math.inf]
    with pytest.raises(InvalidInput, match="infinite"):
        there_and_back(tensor, binary=False)


@pytest.mark.parametrize("binary", [True, False])
def test_texts_and_their_gaps(binary):
    for values in (
        ["a", "", "é\u0000\U0001f600", "x" * 70000],
        ["a", None, math.nan, pd.NA, pd.NaT],
        [None, "b"],
    ):
        found = there_and_back(
            tensors.from_array("x", np.array(values, dtype=object)), binary=binary
        ).array.tolist()
        assert [item if isinstance(item, str) else None for item in found] == [
            item if isinstance(item, str) else None for item in values
        ]
    assert there_and_back(tensors.from_array("x", np.array(["ab", "c"])), binary=binary).array.tolist() == [
        "ab",
        "c",
    ]


def test_raw_bytes_travel_in_binary_only():
    tensor = tensors.from_array("x", np.array([b"\xff\x00", b""], dtype=object))
    assert there_and_back(tensor, binary=True).array.tolist() == [b"\xff\x00", ""]
    with pytest.raises(InvalidInput, match="binary only"):
        there_and_back(tensor, binary=False)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "INT64", [1, 2]),
        ([1, 2.5], "FP64", [1.0, 2.5]),
        ([True, False], "BOOL", [True, False]),
        ([1, None], "FP64", [1.0, None]),
        ([None, None], "FP64", [None, None]),
        ([np.float32(0.5), 1], "FP64", [0.5, 1.0]),
        ([dt.date(2020, 1, 2), None], "BYTES", ["2020-01-02", None]),
    ],
)
def test_arrays_of_objects_become_what_is_in_them(values, dtype, expected):
    found = tensors.from_array("x", np.array(values, dtype=object))
    assert found.dtype == dtype
    assert [None if item != item else item for item in found.array.tolist()] == expected


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1.0, None], dtype="Float64"),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype="category"),
        pd.Series(pd.to_datetime(["2020-01-02", None])),
        pd.Series(pd.to_datetime(["2020-01-02", None], utc=True)),
    ],
)
def test_pandas_own_types_keep_their_gaps(series):
    found = there_and_back(tensors.from_array("x", series.to_numpy()), binary=True).array.tolist()
    assert found[0] == found[0]
    assert found[1] != found[1]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1j]),
        np.array([1, "a"], dtype=object),
        np.array([[1], [1, 2]], dtype=object),
        np.array([2**70], dtype=object),
        np.array(["\ud800"], dtype=object),
        np.zeros(1, dtype=[("a", "f8")]),
        np.array([{}], dtype=object),
    ],
)
def test_what_no_tensor_can_hold(values):
    with pytest.raises(InvalidInput):
        tensors.from_array("x", values)


def test_any_memory_layout_is_sent_in_row_major_order():
    base = np.arange(24, dtype="int32").reshape(4, 6)
    for values in (
        base.T,
        np.asfortranarray(base),
        base[::2, ::3],
        base.astype(">i4"),
        base[:, :0],
        np.array(5),
    ):
        found = there_and_back(tensors.from_array("x", values), binary=True).array
        np.testing.assert_array_equal(found, values)
        assert found.shape == values.shape


def test_binary_arrays_are_aligned_views_of_the_body():
    tensor = tensors.from_array("x", np.arange(1000.0))
    header, buffers, length = v2.encode_request([tensor])
    body = bytearray(header + b"".join(buffers))
    found = v2.decode_request(body, length).inputs[0].array
    assert np.shares_memory(found, np.frombuffer(body, dtype="uint8"))
    assert found.flags.aligned
    assert buffers[0].obj is not None
    assert np.shares_memory(np.frombuffer(buffers[0], dtype="uint8"), tensor.array)
