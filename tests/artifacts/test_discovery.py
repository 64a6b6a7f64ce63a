"""The notebook's models and their training data are found without touching anything else of the user's."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kale_serve_lab.artifacts import discovery, savers

FRAME = pd.DataFrame(np.random.default_rng(0).random((40, 3)), columns=["a", "b", "c"])
TARGET = np.arange(40) % 2


class Hostile:
    """Breaks for whoever asks it anything."""

    @property
    def predict(self):
        raise AssertionError("a property of the user's object was asked")

    shape = n_features_in_ = classes_ = predict

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked")

    def __repr__(self):
        raise AssertionError("repr was called")

    @property
    def __class__(self):
        raise AssertionError("__class__ was asked")


def test_the_first_known_class_of_the_mro_decides():
    class Mine(xgboost.XGBClassifier):
        pass

    pipeline = make_pipeline(StandardScaler(), xgboost.XGBClassifier())
    expected = {
        "xgboost": [xgboost.XGBClassifier(), Mine(), xgboost.Booster()],
        "lightgbm": [lightgbm.LGBMClassifier()],
        "sklearn": [pipeline, LogisticRegression(), type("Own", (BaseEstimator,), {})()],
        None: [3, "text", object(), LogisticRegression, xgboost.DMatrix(np.eye(2))],
    }
    for framework, objects in expected.items():
        for obj in objects:
            assert savers.framework_of(obj) == framework, obj


def test_models_are_found_once_and_no_other_object_is_asked():
    model = LogisticRegression()
    namespace = {
        "hostile": Hostile(),
        "scaler": StandardScaler(),
        "model": model,
        "same": model,
        "cls": LogisticRegression,
    }
    assert [(name, framework) for name, _, framework in discovery.models(namespace)] == [("model", "sklearn")]
    fitted = LogisticRegression().fit(FRAME, TARGET)
    assert discovery.candidates(fitted, {**namespace, "X": FRAME})[0].variable == "X"


def test_what_stands_in_the_fit_call_comes_first_then_the_usual_names():
    model = LogisticRegression().fit(FRAME, TARGET)
    namespace = {
        "other": FRAME.copy(),
        "X_test": FRAME.copy(),
        "X_train": FRAME.copy(),
        "batch": FRAME.copy(),
        "model": model,
        "wide": FRAME.assign(target=TARGET),
        "y": TARGET,
        "narrow": FRAME[["a"]],
    }
    found = [candidate.variable for candidate in discovery.candidates(model, namespace)]
    assert found[0] == "X_train"
    assert found.index("X_test") > found.index("other")
    assert set(found) == {"other", "X_test", "X_train", "batch", "wide"}
    found = discovery.candidates(model, namespace, ["%time\nmodel = LogisticRegression().fit(batch, y)\n"])
    assert found[0].variable == "batch"


def test_a_table_with_the_target_gives_the_models_own_columns():
    model = LogisticRegression().fit(FRAME, TARGET)
    signature = discovery.find_signature(model, {"df": FRAME.assign(target=TARGET)})
    assert [spec.name for spec in signature.inputs] == ["a", "b", "c"]
    assert signature.source == "5 rows of df"


def test_a_text_model_finds_its_texts_by_the_fit_call():
    texts = ["good", "bad", "good", "bad"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    namespace = {"texts": texts, "model": model}
    assert discovery.candidates(model, namespace) == []
    signature = discovery.find_signature(model, namespace, ["model.fit(texts, labels)"])
    assert signature.layout == "tensor"
    assert signature.source == "4 rows of texts"


@pytest.mark.parametrize(
    "make",
    [
        lambda: xgboost.XGBClassifier(n_estimators=2).fit(FRAME, TARGET),
        lambda: xgboost.train({}, xgboost.DMatrix(FRAME, TARGET), 2),
        lambda: lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(FRAME, TARGET),
        lambda: lightgbm.train({"verbose": -1}, lightgbm.Dataset(FRAME, TARGET), 2),
    ],
)
def test_boosters_and_their_classes_know_their_columns(make):
    signature = discovery.find_signature(make(), {"X_train": FRAME})
    assert [spec.name for spec in signature.inputs] == ["a", "b", "c"]
    assert signature.source == "5 rows of X_train"
    assert signature.outputs[0].name == "predict"
