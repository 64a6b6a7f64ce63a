"""What people give for a model of several inputs, and what comes back, without a server."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kale_serve_lab.endpoint import answers, inputs
from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import tensors, v2
from kale_serve_lab.inference.signature import Signature, TensorSpec

SIGNATURE = Signature(
    layout="tensors",
    inputs=[TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1, 1))],
    outputs=[TensorSpec("score", "FP32", (-1,)), TensorSpec("label", "BYTES", (-1,))],
)
A, B = np.array([[1.5, 2], [3, 4]]), np.array([[7], [8]])


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"b": B, "a": A}, "array"),
        ({"a": A, "b": B.ravel()}, "array"),
        ((A, B), "array"),
        ({"a": A.tolist(), "b": B.tolist()}, "list"),
        ([{"a": [1.5, 2], "b": [7]}, {"a": [3, 4], "b": [8]}], "list"),
        ([[[1.5, 2], [7]], [[3, 4], [8]]], "list"),
    ],
)
def test_one_tensor_an_input(given, kind):
    understood = inputs.understand(given, SIGNATURE)
    assert understood.kind == kind
    found = inputs.to_tensors(understood, SIGNATURE)
    assert [(tensor.name, tensor.shape) for tensor in found] == [("a", (2, 2)), ("b", (2, 1))]
    assert found[0].array.tolist() == A.tolist()
    assert inputs.to_rows(understood)[1] == {"a": [3.0, 4.0], "b": [8]}


def test_columns_of_a_frame_are_inputs_of_one_column():
    columns = Signature(
        layout="tensors", inputs=[TensorSpec("x", "FP32", (-1, 1)), TensorSpec("y", "BYTES", (-1, 1))]
    )
    frame = pd.DataFrame({"y": ["p", "q"], "x": [1.0, 2.0]})
    found = inputs.to_tensors(inputs.understand(frame, columns), columns)
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in found] == [
        ("x", "FP64", (2, 1)),
        ("y", "BYTES", (2, 1)),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": A}, "misses 'b'"),
        ({"a": A, "b": B, "c": B}, "has 'c'"),
        ({"a": A, "b": B[:1]}, "'b' has 1 rows, 'a' has 2"),
        ({"a": A[0], "b": B}, "a: the model takes a tensor of shape"),
        ({"a": A, "b": B + 0.5}, "b: row 0 is 7.5"),
        ({"a": [["p", "q"], ["r", "s"]], "b": B}, "a: row 0 is 'p'"),
        ((A, B, B), "3 arrays came; the model takes 2"),
        (A, "names none"),
        ({"a": A[:0], "b": B[:0]}, "no rows"),
        ({"instances": [{"a": [1, 2]}]}, "misses 'b'"),
    ],
)
def test_refused_before_it_is_sent(given, said):
    with pytest.raises(InvalidInput, match=said):
        inputs.understand(given, SIGNATURE)


def test_a_fixed_number_of_rows():
    fixed = Signature(layout="tensor", inputs=[TensorSpec("x", "FP32", (4, 2))])
    with pytest.raises(InvalidInput, match="exactly 4 rows a request; 2 came"):
        inputs.understand(A, fixed)


def test_answers_by_name():
    score, label = np.array([0.5, 0.25], dtype="float32"), np.array(["x", "y"], dtype=object)
    response = v2.InferResponse(
        "m", None, "1", [tensors.from_array("score", score), tensors.from_array("label", label)]
    )
    rows = {"predictions": [{"score": 0.5, "label": "x"}, {"score": 0.25, "label": "y"}]}
    for given, made in (((A, B), np.ndarray), ({"a": A.tolist(), "b": B.tolist()}, list)):
        understood = inputs.understand(given, SIGNATURE)
        for found in (
            answers.of_v2(response, understood, SIGNATURE, None),
            answers.of_v1(rows, understood, SIGNATURE, None),
        ):
            assert list(found) == ["score", "label"]
            assert all(type(value) is made for value in found.values())
            assert [list(value) for value in found.values()] == [[0.5, 0.25], ["x", "y"]]
    understood = inputs.understand((A, B), SIGNATURE)
    assert answers.of_v1(rows, understood, SIGNATURE, None)["score"].dtype == np.float32
    assert answers.of_v2(response, understood, SIGNATURE, ["label"]).tolist() == ["x", "y"]
