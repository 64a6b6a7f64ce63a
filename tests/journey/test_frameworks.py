"""Submit, serve, predict, for each framework and each form of input: the answer equals the model's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import kale_serve_lab as ksl

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(200, 4)), columns=["age", "size", "weight", "height"])
SCORE = (FRAME["age"] + FRAME["size"] ** 2).to_numpy()
LABELS = np.where(SCORE > 0.5, "ill", "well")
CLASSES = (SCORE > 0.5).astype(int)
MIXED = FRAME[["age", "size"]].assign(
    colour=np.where(FRAME["weight"] > 0, "red", "blue"), visits=np.arange(200)
)
QUIET = {"verbosity": -1}


@dataclass
class Case:
    model: Any
    data: pd.DataFrame
    linear: bool = False

    @property
    def same(self):
        return same_sums if self.linear else same

    def own(self, rows):
        given = xgboost.DMatrix(rows) if isinstance(self.model, xgboost.Booster) else rows
        return self.model.predict(given)


def estimator():
    return Case(RandomForestClassifier(10, random_state=0).fit(FRAME, LABELS), FRAME)


def regressor():
    return Case(LinearRegression().fit(FRAME, SCORE), FRAME, linear=True)


def pipeline():
    columns = make_column_transformer(
        (OneHotEncoder(), ["colour"]), (StandardScaler(), ["age", "size", "visits"])
    )
    return Case(make_pipeline(columns, LinearRegression()).fit(MIXED, SCORE), MIXED, linear=True)


def xgboost_class():
    return Case(xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(FRAME, CLASSES), FRAME)


def xgboost_booster():
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(FRAME, label=SCORE), num_boost_round=5)
    return Case(booster, FRAME)


def lightgbm_class():
    return Case(lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, **QUIET).fit(FRAME, LABELS), FRAME)


def lightgbm_booster():
    data = lightgbm.Dataset(FRAME, label=SCORE)
    return Case(lightgbm.train({"num_threads": 1, **QUIET}, data, num_boost_round=5), FRAME)


MAKE = [
    estimator,
    regressor,
    pipeline,
    xgboost_class,
    xgboost_booster,
    lightgbm_class,
    lightgbm_booster,
]


@pytest.fixture(scope="module", params=MAKE, ids=lambda make: make.__name__)
def served(request, shared_home):
    case = request.param()
    name = request.param.__name__.replace("_", "-")
    artifact = ksl.Model(case.model, name=name, signature=case.data).submit_artifact()
    isvc = ksl.serve(artifact.id, name=name)
    with isvc.endpoint as endpoint:
        yield case, endpoint, isvc
    isvc.delete()


def same(found, expected):
    """To the last bit."""
    found = np.asarray(found)
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist()


def same_sums(found, expected):
    """A linear model's own sums differ in their last bit between two memory layouts of the same rows."""
    found = np.asarray(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def requests(rows):
    """The same rows as a v1 and a v2 request, by rows and by columns."""
    plain = [list(row) for row in rows.itertuples(index=False)]
    kinds = {"f": "FP64", "i": "INT64"}
    columns = [
        {
            "name": name,
            "datatype": kinds.get(column.dtype.kind, "BYTES"),
            "shape": [len(rows)],
            "data": column.tolist(),
        }
        for name, column in rows.items()
    ]
    yield "v1 rows", {"instances": plain}, "predictions"
    yield "v1 objects", {"instances": rows.to_dict("records")}, "predictions"
    yield "v2 columns", {"inputs": columns}, "outputs"
    if rows.dtypes.nunique() == 1:
        tensor = {
            "name": "x",
            "datatype": "FP64",
            "shape": list(rows.shape),
            "data": rows.to_numpy().ravel().tolist(),
        }
        yield "v2 tensor", {"inputs": [tensor]}, "outputs"


def answer_of(answer, key):
    if key == "predictions":
        return answer["predictions"]
    [output] = answer["outputs"]
    return np.asarray(output["data"]).reshape(output["shape"])


def test_each_form_of_input_is_answered_as_the_model_itself_does(served):
    case, endpoint, isvc = served
    rows = case.data.iloc[10:30]
    expected = case.own(rows)
    frame = endpoint.predict(rows)
    assert frame.index.equals(rows.index)
    # Texts are what pandas makes of them in a frame, and objects in an array.
    kind = np.dtype(object) if expected.dtype.kind == "U" else expected.dtype
    if kind != object:
        assert frame.iloc[:, 0].dtype == kind
    case.same(frame.to_numpy().reshape(expected.shape), expected)
    case.same(endpoint.predict(rows[rows.columns[::-1]]).to_numpy().reshape(expected.shape), expected)
    listed = [list(row) for row in rows.itertuples(index=False)]
    found = endpoint.predict(listed)
    assert isinstance(found, list)
    case.same(found, expected)
    array = rows.to_numpy()
    found = endpoint.predict(array)
    assert isinstance(found, np.ndarray)
    assert found.dtype == kind
    case.same(found, expected)
    for what, request, key in requests(rows):
        for given in (request, json.dumps(request)):
            answer = endpoint.predict(given)
            assert isinstance(answer, dict), what
            case.same(answer_of(answer, key), expected)
    one = endpoint.predict(listed[:1])
    case.same(one, expected[:1])


def test_probabilities_and_classes_are_the_models_own(served):
    case, endpoint, isvc = served
    if not hasattr(case.model, "predict_proba"):
        pytest.skip("no classifier")
    rows = case.data.iloc[10:30]
    expected = case.model.predict_proba(rows)
    found = endpoint.predict(rows, outputs=["predict_proba"])
    assert list(found.columns) == case.model.classes_.tolist()
    case.same(found.to_numpy(), expected)
    found = endpoint.predict(rows.to_numpy(), outputs=["predict", "predict_proba"])
    case.same(found["predict"], case.own(rows))
    case.same(found["predict_proba"], expected)


def test_the_signature_tells_what_the_model_takes(served):
    case, endpoint, isvc = served
    signature = endpoint.signature
    assert [spec.name for spec in signature.inputs] == case.data.columns.tolist()
    assert [spec.name for spec in signature.outputs][0] == "predict"
    assert len(signature.input_example) == 5
    sample = pd.DataFrame(signature.input_example, columns=case.data.columns)
    case.same(np.asarray(endpoint.predict(sample)).reshape(case.own(sample).shape), case.own(sample))


def test_a_model_of_several_outputs_names_each(shared_home):
    targets = np.stack([LABELS, np.where(FRAME["weight"] > 0, "a", "b")], axis=1)
    model = RandomForestClassifier(5, random_state=0).fit(FRAME, targets)
    isvc = ksl.serve(ksl.Model(model, name="several", signature=FRAME), name="several")
    with isvc.endpoint as endpoint:
        outputs = {spec.name: spec for spec in endpoint.signature.outputs}
        assert list(outputs)[:3] == ["predict", "predict_proba-0", "predict_proba-1"]
        assert outputs["predict"].shape == (-1, 2)
        assert outputs["predict_proba-0"].classes == ("ill", "well")
        assert outputs["predict_proba-1"].classes == ("a", "b")
        assert [output["name"] for output in endpoint.metadata()["outputs"]] == list(outputs)
        same(endpoint.predict(FRAME.to_numpy()), model.predict(FRAME))
        found = endpoint.predict(FRAME.to_numpy(), outputs=["predict_proba"])
        for at, expected in enumerate(model.predict_proba(FRAME)):
            same(found[f"predict_proba-{at}"], expected)
        framed = endpoint.predict(FRAME, outputs=["predict_proba"])
        assert list(framed.columns) == [
            "predict_proba-0_ill",
            "predict_proba-0_well",
            "predict_proba-1_a",
            "predict_proba-1_b",
        ]
    isvc.delete()
