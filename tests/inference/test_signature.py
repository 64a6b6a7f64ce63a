from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kale_serve_lab.errors import InvalidSignature
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec


def test_json_is_its_inverse():
    signature = Signature(
        layout="columns",
        named=True,
        inputs=[
            TensorSpec("age", "INT64", min=1, max=90.5),
            TensorSpec("sex", "BYTES", categories=("f", "m")),
        ],
        outputs=[
            TensorSpec("predict", "BYTES", classes=("no", "yes")),
            TensorSpec("predict_proba", "FP64", (-1, 2)),
        ],
        input_example=[[22, "f"], [38, None]],
        source="2 rows of X_train",
    )
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
    assert TensorSpec("x", "FP64", min=-math.inf, max=math.nan).to_json()["min"] is None


def test_kales_own_form():
    signature = Signature(["batch_size", 64], ["batch_size", 10], "float32", np.float64)
    assert signature.inputs == (TensorSpec("input-0", "FP32", (-1, 64)),)
    assert signature.outputs == (TensorSpec("predict", "FP64", (-1, 10)),)
    assert (
        Signature.from_json({"input_size": ["n", 64], "input_dtype": "float32", "output_size": ["n", 10]})
        == signature
    )


def test_the_wire_of_a_table():
    numbers = [TensorSpec(name, "FP64") for name in "ab"]
    assert Signature(layout="columns", inputs=numbers).wire_inputs() == (
        TensorSpec("input-0", "FP64", (-1, 2)),
    )
    mixed = [*numbers, TensorSpec("c", "INT64")]
    assert Signature(layout="columns", inputs=mixed).wire_inputs() == tuple(mixed)
    texts = [TensorSpec("a", "BYTES")]
    assert Signature(layout="columns", inputs=texts).one_dtype is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"inputs": 1},
        {"layout": "rows", "inputs": []},
        {"layout": "tensor", "inputs": []},
        {"layout": "columns", "inputs": [1]},
        {"layout": "columns", "inputs": [{"name": "a"}]},
        {"layout": "columns", "inputs": [{"name": "a", "dtype": "FP65"}]},
        {"layout": "columns", "inputs": [{"name": "a", "dtype": "FP64"}] * 2},
        {"input_size": "x"},
        {"layout": "columns", "inputs": [{"name": "a", "dtype": "FP64", "shape": [-2]}]},
        {"layout": "columns", "inputs": [{"name": "a", "dtype": "FP64", "shape": "ab"}]},
        {"layout": "columns", "inputs": [{"name": "a", "dtype": "FP64", "min": "0"}]},
        {"layout": "columns", "inputs": [], "input_example": {}},
    ],
)
def test_what_is_no_signature(value):
    with pytest.raises(InvalidSignature):
        Signature.from_json(value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("float32", "FP32"),
        (np.float32, "FP32"),
        (np.dtype(">f4"), "FP32"),
        (float, "FP64"),
        (int, "INT64"),
        (bool, "BOOL"),
        (str, "BYTES"),
        ("FP16", "FP16"),
        ("Int64", "INT64"),
        ("string", "BYTES"),
        ("object", "BYTES"),
        ("torch.float32", "FP32"),
        (np.dtype("<U7"), "BYTES"),
        ("uint8", "UINT8"),
        ("UINT8", "UINT8"),
        ("boolean", "BOOL"),
    ],
)
def test_names_of_dtypes(given, name):
    assert dtypes.v2_name(given) == name


def test_a_dtype_without_a_name():
    with pytest.raises(InvalidSignature):
        dtypes.v2_name("complex64")


def test_several_tensors():
    inputs = [TensorSpec("image", "FP32", (-1, 3, 8, 8)), TensorSpec("words", "INT64", (-1, -1))]
    signature = Signature(layout="tensors", inputs=inputs, input_example=[[[[[0.0]]], [1, 2]]])
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
    assert signature.wire_inputs() == tuple(inputs)
    assert signature.one_dtype is None
    outputs = [TensorSpec("score", "FP32", (-1, 2))]
    assert signature.with_outputs(outputs).outputs == tuple(outputs)
    assert signature.with_outputs(outputs).input_example == signature.input_example


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "at least one input"),
        ([TensorSpec("x", "FP32", ())], "the first dimension of each input is the batch"),
    ],
)
def test_several_tensors_have_a_batch(inputs, said):
    with pytest.raises(InvalidSignature, match=said):
        Signature(layout="tensors", inputs=inputs)
