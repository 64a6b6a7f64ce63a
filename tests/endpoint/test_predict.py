"""Every form of input, over v1 and v2, against a real model server: answers equal the model's own to the last bit."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from kale_serve_lab import Endpoint, errors, paths
from kale_serve_lab.inference.signature import Signature, TensorSpec


def saved(home, model):
    folder = home / "artifact"
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    return str(folder)


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    signature = Signature(
        layout="columns",
        inputs=[TensorSpec(f"x{at}", "FP64") for at in range(4)],
        outputs=[
            TensorSpec("predict", "INT64"),
            TensorSpec("predict_proba", "FP64", (-1, 3), classes=(0, 1, 2)),
        ],
    )
    return model, signature, X


@pytest.fixture(params=["v1", "v2", "grpc-v2"])
def endpoint(request, home, registry, start_server, iris):
    model, signature, _ = iris
    service = registry.serve("iris", protocol=request.param, signature=signature.to_json())
    start_server(
        service["socket"],
        grpc=service["grpc_socket"],
        service="iris",
        artifact_dir=saved(home, model),
        signature=signature.to_json(),
        protocol=request.param,
    )
    with Endpoint("iris") as found:
        yield found


def test_answers_come_in_kind_and_equal_the_models_own(endpoint, iris):
    model, _, X = iris
    expected, proba = model.predict(X), model.predict_proba(X)

    found = endpoint.predict(X)
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    found = endpoint.predict(X, outputs=["predict_proba"])
    assert found.tobytes() == np.ascontiguousarray(proba).tobytes()
    both = endpoint.predict(X, outputs=["predict", "predict_proba"])
    assert set(both) == {"predict", "predict_proba"}
    assert both["predict_proba"].tobytes() == np.ascontiguousarray(proba).tobytes()

    assert endpoint.predict(X[:3].tolist()) == expected[:3].tolist()
    assert endpoint.predict(X[:3].tolist(), outputs=["predict_proba"]) == proba[:3].tolist()
    assert endpoint.predict(tuple(map(tuple, X[:3].tolist()))) == expected[:3].tolist()

    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"], index=pd.Index(range(100, 250), name="row"))
    answered = endpoint.predict(frame)
    pd.testing.assert_frame_equal(answered, pd.DataFrame({"predict": expected}, index=frame.index))
    answered = endpoint.predict(frame, outputs=["predict_proba"])
    pd.testing.assert_frame_equal(answered, pd.DataFrame(proba, index=frame.index), check_exact=True)
    assert endpoint.predict(frame.iloc[7]).tolist() == [expected[7]]

    v1 = {"instances": X[:2].tolist()}
    assert endpoint.predict(v1) == {"predictions": expected[:2].tolist()}
    assert endpoint.predict(json.dumps(v1)) == {"predictions": expected[:2].tolist()}
    assert endpoint.predict(json.dumps(X[:2].tolist())) == {"predictions": expected[:2].tolist()}
    assert (
        endpoint.predict({"instances": X[:2]}, outputs=["predict", "predict_proba"])["outputs"][
            "predict_proba"
        ]
        == proba[:2].tolist()
    )
    v2 = {"inputs": [{"name": "input-0", "shape": [2, 4], "datatype": "FP64", "data": X[:2].tolist()}]}
    answered = endpoint.predict(v2)
    assert answered["outputs"][0]["data"] == expected[:2].tolist()

    assert endpoint.ready()
    assert endpoint.metadata()["name"] == "iris"
    assert endpoint.signature == iris[1]


def test_bad_input_is_a_typed_error_and_the_endpoint_goes_on(endpoint, iris):
    X = iris[2]
    for given, words in {
        "1-D": (X[0], "table of 4 columns"),
        "width": (X[:, :3], "3 columns; the model takes 4: 'x0', 'x1'"),
        "text": ([[1, 2, "three", 4]], "x2: row 0 is 'three'"),
        "ragged": ([[1, 2, 3, 4], [1, 2, 3]], "Row 1 has 3 values"),
        "empty": ([], "no rows"),
        "none": (np.empty((0, 4)), "no rows"),
        "scalar": (3, "nothing to predict in 3"),
        "flat": ([1, 2, 3, 4], "Row 0 is 1, not a list"),
        "empty dict": ({}, "neither instances"),
        "complex": (X.astype(complex), "complex128"),
        "bad JSON": ('{"instances": [[1,', "not JSON"),
        "NaN in JSON": ('{"instances": [[NaN, 1, 1, 1]]}', "NaN is not JSON"),
        "width in JSON": ('{"instances": [[1, 1, 1]]}', "Row 0 has 3 values"),
    }.values():
        with pytest.raises(errors.InvalidInput, match=words):
            endpoint.predict(given)
    with pytest.raises(errors.InvalidInput, match="no output 'nonsense'"):
        endpoint.predict(X, outputs=["nonsense"])
    unknown = X[:2].copy()
    unknown[0, 0] = np.nan
    with pytest.raises(errors.PredictFailed, match="NaN"):
        endpoint.predict(unknown)
    assert endpoint.predict(X[:1]).tolist() == [0]


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_mixed_named_columns_are_found_by_name_and_keep_their_gaps(home, registry, start_server, protocol):
    frame = pd.DataFrame(
        {
            "age": [22, 38, 26, 35, 54, 2],
            "fare": [7.25, 71.28, np.nan, 53.1, 51.86, 21.07],
            "sex": ["m", "f", "f", "f", "m", None],
        },
    )
    y = [0, 1, 1, 1, 0, 0]
    from sklearn.impute import SimpleImputer

    model = make_pipeline(
        ColumnTransformer(
            [
                ("number", SimpleImputer(), ["age", "fare"]),
                ("text", OneHotEncoder(handle_unknown="ignore"), ["sex"]),
            ]
        ),
        LogisticRegression(),
    ).fit(frame, y)
    signature = Signature(
        layout="columns",
        named=True,
        inputs=[TensorSpec("age", "INT64"), TensorSpec("fare", "FP64"), TensorSpec("sex", "BYTES")],
        outputs=[
            TensorSpec("predict", "INT64"),
            TensorSpec("predict_proba", "FP64", (-1, 2), classes=(0, 1)),
        ],
    ).to_json()
    service = registry.serve("titanic", protocol=protocol, signature=signature)
    start_server(
        service["socket"],
        service="titanic",
        artifact_dir=saved(home, model),
        signature=signature,
        protocol=protocol,
    )
    known = frame.iloc[:5]
    expected = model.predict_proba(known)
    with Endpoint("titanic") as endpoint:
        turned = known[["sex", "fare", "age"]]
        found = endpoint.predict(turned, outputs=["predict_proba"])
        assert list(found.columns) == [0, 1]
        np.testing.assert_array_equal(found.to_numpy(), expected)
        assert endpoint.predict(frame).predict.tolist()[:5] == model.predict(known).tolist()
        assert endpoint.predict([[22, 7.25, "m"]]) == [0]
        assert endpoint.predict([{"sex": "m", "age": 22, "fare": 7.25}]) == [0]
        assert endpoint.predict({"sex": "m", "age": 22, "fare": 7.25}) == {"predictions": [0]}
        assert endpoint.predict({"sex": ["m", "f"], "age": [22, 38], "fare": [7.25, 71.28]}) == {
            "predictions": [0, 1]
        }
        assert endpoint.predict(known.to_numpy()).tolist() == model.predict(known).tolist()
        assert (
            endpoint.predict(known.astype({"sex": "category"})).predict.tolist()
            == model.predict(known).tolist()
        )
        assert endpoint.predict(known.iloc[0]).tolist() == [0]
        for given, words in [
            (frame[["age"]], "misses 'fare', 'sex'"),
            (frame.rename(columns={"sex": "gender"}), "misses 'sex'.*\n.*'gender'"),
            (frame.assign(survived=y), "has 'survived', which the model does not know"),
            (frame.assign(age=frame.age + 0.5), "age: row 0 is 22.5; the model was trained on whole numbers"),
            (frame.assign(sex=1), "sex: row 0 is 1; the model takes a text"),
            (frame.assign(fare="much"), "fare: row 0 is 'much'"),
            ([{"sex": "m"}], "Row 0 misses 'age', 'fare'"),
            (pd.concat([frame, frame[["sex"]]], axis=1), "'sex' is there twice"),
        ]:
            with pytest.raises(errors.InvalidInput, match=words):
                endpoint.predict(given)


def test_texts_go_to_a_model_of_texts(home, registry, start_server):
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["good film", "bad film", "so good", "so bad"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, ["pos", "neg", "pos", "neg"])
    signature = Signature(
        layout="tensor",
        inputs=[TensorSpec("text", "BYTES")],
        outputs=[TensorSpec("predict", "BYTES", classes=("neg", "pos"))],
    ).to_json()
    service = registry.serve("mood", signature=signature)
    start_server(service["socket"], service="mood", artifact_dir=saved(home, model), signature=signature)
    with Endpoint("mood") as endpoint:
        assert endpoint.predict(["good", "bad"]) == ["pos", "neg"]
        assert endpoint.predict(np.array(["good", "bad"])).tolist() == ["pos", "neg"]
        series = pd.Series(["good", "bad"], index=[5, 6])
        pd.testing.assert_series_equal(
            endpoint.predict(series), pd.Series(["pos", "neg"], index=[5, 6], name="predict")
        )
        assert endpoint.predict({"instances": ["good"]}) == {"predictions": ["pos"]}
        with pytest.raises(errors.InvalidInput, match=r"shape \[-1\]"):
            endpoint.predict([["good"]])
        with pytest.raises(errors.InvalidInput, match="the model takes a text"):
            endpoint.predict([1, 2])


def test_without_a_signature_what_is_given_is_sent(home, registry, start_server, iris):
    model, _, X = iris
    service = registry.serve("plain")
    start_server(service["socket"], service="plain", artifact_dir=saved(home, model))
    with Endpoint("plain") as endpoint:
        assert endpoint.predict(X).tolist() == model.predict(X).tolist()
        assert endpoint.predict(X[:2].tolist()) == [0, 0]
        with pytest.raises(errors.InvalidInput, match="differ in length"):
            endpoint.predict([[1, 2], [1]])


def test_an_unknown_name_is_an_error_at_once(registry):
    with pytest.raises(errors.EndpointNotFound, match="'nobody'"):
        Endpoint("nobody")
    with pytest.raises(errors.EndpointNotFound):
        Endpoint("../version")
    with pytest.raises(errors.InvalidName):
        Endpoint("")


def test_a_service_that_is_not_there_yet_says_its_state(registry):
    registry.serve("slow", state="Loading", sentence="The model is loading.", ready_revision=None)
    endpoint = Endpoint("slow")
    with pytest.raises(errors.EndpointNotReady, match="The model is loading") as caught:
        endpoint.predict([[1.0]])
    assert caught.value.details["state"] == "Loading"
    assert endpoint.ready() is False
    assert paths.runtime_dir().exists()
