"""A signature says what the data says: names, dtypes, ranges, categories, and rows that JSON can carry."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from kale_serve_lab.artifacts import Dataset, capture
from kale_serve_lab.artifacts.discovery import signature_by
from kale_serve_lab.errors import InvalidSignature
from kale_serve_lab.inference.signature import Signature


def specs(signature):
    return [(spec.name, spec.dtype, spec.min, spec.max, spec.categories) for spec in signature.inputs]


def test_a_frame_gives_named_columns_with_ranges_and_categories():
    frame = pd.DataFrame(
        {
            "age": np.array([31, 64, 18], "int32"),
            "fare": [7.5, np.nan, 80.0],
            "sex": ["f", "m", None],
            "cabin": pd.Categorical(["A", "B", "A"], categories=["A", "B", "C"]),
            "alone": [True, False, True],
            "when": pd.to_datetime(["2026-01-01", "2026-02-01", None]),
            "siblings": pd.array([1, None, 3], "Int64"),
        }
    )
    signature = capture.signature_from(frame)
    assert signature.layout == "columns"
    assert signature.named
    assert specs(signature) == [
        ("age", "INT32", 18, 64, None),
        ("fare", "FP64", 7.5, 80.0, None),
        ("sex", "BYTES", None, None, ("f", "m")),
        ("cabin", "BYTES", None, None, ("A", "B", "C")),
        ("alone", "BOOL", None, None, None),
        ("when", "BYTES", None, None, ("2026-01-01T00:00:00", "2026-02-01T00:00:00")),
        ("siblings", "INT64", 1, 3, None),
    ]
    assert signature.input_example[1] == [64, None, "m", "B", False, "2026-02-01T00:00:00", None]
    json.dumps(signature.to_json(), allow_nan=False)


def test_an_array_gives_unnamed_columns_and_at_most_five_rows():
    signature = capture.signature_from(np.arange(24, dtype="float32").reshape(8, 3))
    assert [spec.name for spec in signature.inputs] == ["x0", "x1", "x2"]
    assert signature.one_dtype == "FP32"
    assert not signature.named
    assert len(signature.input_example) == 5
    assert signature.source == "5 rows"


@pytest.mark.parametrize(
    ("data", "shape", "dtype"),
    [
        (np.zeros((4, 8, 8), "uint8"), (-1, 8, 8), "UINT8"),
        (["good", "bad"], (-1,), "BYTES"),
        (pd.Series(["good", "bad"]), (-1,), "BYTES"),
        (np.zeros((2, 3000)), (-1, 3000), "FP64"),
    ],
)
def test_what_is_no_table_is_one_tensor(data, shape, dtype):
    signature = capture.signature_from(data)
    assert signature.layout == "tensor"
    assert (signature.inputs[0].shape, signature.inputs[0].dtype) == (shape, dtype)


def test_sparse_rows_and_a_dataset_are_read_as_tables():
    assert specs(capture.signature_from(csr_matrix(np.eye(2))))[0] == ("x0", "FP64", 0, 1, None)
    assert capture.signature_from(Dataset(pd.DataFrame({"a": [1]}), [0])).inputs[0].name == "a"


def test_infinite_and_missing_values_never_reach_the_json():
    signature = capture.signature_from(np.array([[np.inf, np.nan], [1.0, np.nan]]))
    assert signature.input_example == [[None, None], [1.0, None]]
    json.dumps(signature.to_json(), allow_nan=False)


@pytest.mark.parametrize("given", [object(), 3, [[1, 2], [3]]])
def test_what_has_no_rows_is_refused(given):
    with pytest.raises(InvalidSignature):
        capture.signature_from(given)


def test_an_mlflow_signature_is_read_without_mlflow():
    class Schema:
        def __init__(self, entries):
            self.entries = entries

        def to_dict(self):
            return self.entries

    class ModelSignature:
        inputs = Schema([{"type": "double", "name": "a"}, {"type": "integer", "name": "b"}])
        outputs = Schema([{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": (-1,)}}])

    signature = capture.signature_from(ModelSignature())
    assert [(spec.name, spec.dtype) for spec in signature.inputs] == [("a", "FP64"), ("b", "INT32")]
    assert [(spec.name, spec.dtype) for spec in signature.outputs] == [("predict", "INT64")]


def test_kales_own_signature_passes_through():
    given = Signature(["batch_size", 64], ["batch_size", 10], "float32", "float32")
    assert capture.signature_from(given) is given
    assert capture.signature_from(given.to_json()) == given


def test_outputs_come_from_predicting_the_sample():
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    model = LogisticRegression().fit(frame, ["no", "no", "yes", "yes"])
    signature = signature_by(model, frame[["b", "a"]], "X")
    assert [spec.name for spec in signature.inputs] == ["a", "b"]
    assert signature.source == "4 rows of X"
    predict, proba = signature.outputs
    assert (predict.name, predict.dtype, predict.classes) == ("predict", "BYTES", ("no", "yes"))
    assert (proba.name, proba.shape) == ("predict_proba", (-1, 2))


def test_data_that_the_model_cannot_predict_is_refused():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(InvalidSignature, match="cannot predict the rows"):
        signature_by(model, np.zeros((3, 4)), None)


def test_a_model_alone_tells_its_columns_but_no_sample():
    frame = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    signature = capture.from_model(LogisticRegression().fit(frame, [0, 1]))
    assert [spec.name for spec in signature.inputs] == ["a", "b"]
    assert signature.named
    assert signature.input_example is None
    assert capture.from_model(object()) is None
