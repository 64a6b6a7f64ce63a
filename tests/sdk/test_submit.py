"""Submitting: one object is one artifact, what cannot be kept is refused, and nothing is left in staging."""

import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from kale_serve_lab import (
    Dataset,
    InvalidRequest,
    Model,
    SaveFailed,
    Signature,
    Transformer,
    UnsupportedModel,
    VersionExists,
)
from kale_serve_lab.client import Client

FRAME = pd.DataFrame(np.random.default_rng(0).random((30, 2)), columns=["a", "b"])
TARGET = np.arange(30) % 2
words = {"good": 1.0}


def fitted(c=1.0):
    return LogisticRegression(C=c).fit(FRAME, TARGET)


def staged(home):
    return list((home / "data" / "staging").iterdir())


def test_the_same_model_is_one_artifact_and_another_the_next_version(home):
    model = fitted()
    first = Model(model, name="iris").submit_artifact()
    again = Model(model, name="iris").submit_artifact()
    assert (first.id, first.version) == (again.id, again.version) == (first.id, "1.0.0")
    assert first.submit_artifact().id == first.id
    other = Model(fitted(9.0), name="iris").submit_artifact()
    assert other.version == "1.0.1"
    with pytest.raises(VersionExists):
        Model(fitted(7.0), name="iris", version="1.0.0").submit_artifact()
    assert staged(home) == []


def test_data_given_as_signature_is_the_sample_and_its_dataset_is_the_input(home):
    dataset = Dataset(FRAME, TARGET, name="cancer").submit_artifact()
    assert dataset.submit_artifact().id == dataset.id
    model = Model(fitted(), name="m", signature=dataset).submit_artifact()
    found = Client().request("GET", f"/api/artifacts/{model.id}")
    assert [spec["name"] for spec in found["signature"]["inputs"]] == ["a", "b"]
    assert len(found["signature"]["input_example"]) == 5
    assert found["environment"]["packages"]["scikit-learn"]
    lineage = Client().request("GET", f"/api/artifacts/{model.id}/lineage")
    assert f"artifact:{dataset.id}" in {node["key"] for node in lineage["nodes"]}


class Locked(LogisticRegression):
    """Holds what cannot be pickled."""


def test_a_dataset_of_another_data_directory_is_not_taken_for_the_input(home, monkeypatch):
    dataset = Dataset(FRAME, TARGET, name="cancer").submit_artifact()
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(home / "other"))
    model = Model(fitted(), name="m", signature=FRAME).submit_artifact()
    lineage = Client().request("GET", f"/api/artifacts/{model.id}/lineage")
    assert {node["type"] for node in lineage["nodes"] if node["kind"] == "artifact"} == {"kale.Model"}
    assert dataset.id == 1


def test_what_cannot_be_served_is_refused_and_leaves_nothing(home):
    locked = Locked().fit(FRAME, TARGET)
    locked.lock = threading.Lock()
    for model, error, says in (
        (object(), UnsupportedModel, "none of the models"),
        (LogisticRegression(), UnsupportedModel, "not fitted yet"),
        (locked, SaveFailed, "could not be saved: TypeError: cannot pickle"),
        (None, InvalidRequest, "needs a model or an artifact_uri"),
    ):
        with pytest.raises(error, match=says):
            Model(model, name="m").submit_artifact()
    assert Client().request("GET", "/api/artifacts")["items"] == []
    assert staged(home) == []


def uses_global(inputs):
    return {"instances": [[words[w]] for w in inputs["instances"]]}


def test_a_functional_transformer_names_what_it_lacks(home):
    with pytest.raises(UnsupportedModel, match="uses words, which") as raised:
        Transformer(name="t", preprocess=uses_global).submit_artifact()
    assert "transformer_assets={'words': words}" in str(raised.value)
    by_dict = Transformer(
        name="t", preprocess=uses_global, transformer_assets={"words": words}
    ).submit_artifact()
    by_list = Transformer(name="t", preprocess=uses_global, transformer_assets=[words]).submit_artifact()
    assert by_dict.id == by_list.id
    with pytest.raises(SaveFailed, match="The asset 'words'"):
        Transformer(preprocess=uses_global, transformer_assets={"words": threading.Lock()}).submit_artifact()
    with pytest.raises(InvalidRequest, match="not both"):
        Transformer(preprocess=uses_global, transformer_dir=".").submit_artifact()
    with pytest.raises(UnsupportedModel, match="not a function"):
        Transformer(preprocess=words.get).submit_artifact()
    assert staged(home) == []


def test_a_lambda_is_kept_by_value(home):
    artifact = Transformer(preprocess=lambda inputs: inputs, signature=["raw text"]).submit_artifact()
    assert artifact.artifact["environment"]["packages"]["cloudpickle"]
    assert artifact.signature.inputs[0].dtype == "BYTES"


def test_a_subclassing_transformer_is_found_by_reading(home, tmp_path):
    folder = tmp_path / "vectorizer"
    folder.mkdir()
    (folder / "helpers.py").write_text("raise SystemExit('this must not run here')\n")
    (folder / "transformer.py").write_text("import kserve\nclass Vectorizer(kserve.Model):\n    pass\n")
    artifact = Transformer(name="Vectorizer", transformer_dir=folder).submit_artifact()
    assert artifact.artifact["class_name"] == "Vectorizer"
    (folder / "second.py").write_text("from kserve import Model\nclass Other(Model):\n    pass\n")
    with pytest.raises(UnsupportedModel, match=r"second\.Other, transformer\.Vectorizer"):
        Transformer(name="v", transformer_dir=folder).submit_artifact()
    Transformer(name="v", transformer_dir=folder, module_name="second").submit_artifact()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(SaveFailed, match="neither a file nor a folder"):
        Transformer(name="v", transformer_dir=folder, class_name="Other").submit_artifact()
    with pytest.raises(InvalidRequest, match="is not a folder"):
        Transformer(name="v", transformer_dir=tmp_path / "nowhere").submit_artifact()
    assert staged(home) == []


def test_files_of_a_model_are_taken_by_their_uri(home, tmp_path):
    import joblib

    path = tmp_path / "clf.pkl"
    joblib.dump(fitted(), path)
    signature = Signature(["batch_size", 2], ["batch_size"], "float64", "int64")
    model = Model(name="files", artifact_uri=path.as_uri(), signature=signature).submit_artifact()
    assert model.artifact["framework"] == "sklearn"
    assert model.artifact["executable"]
    assert model.artifact["class_name"] == "LogisticRegression"
    assert model.artifact["properties"]["original_name"] == "clf.pkl"
    assert model.artifact["properties"]["checked"] == "loaded"
    assert list(model.seconds) == ["package", "check", "store"]
    # A path does as well, and it is the same artifact.
    assert Model(path, name="files", signature=signature).submit_artifact().id == model.id
    (stored,) = (home / "data" / "store" / "trees").rglob("model.joblib")
    assert stored.read_bytes() == path.read_bytes()
    lying = tmp_path / "clf.onnx"
    path.rename(lying)
    with pytest.raises(UnsupportedModel, match="clf.onnx is a pickle, not an ONNX model"):
        Model(lying, name="lying").submit_artifact()
    with pytest.raises(InvalidRequest, match="nothing at"):
        Model(name="files", artifact_uri=str(tmp_path / "gone")).submit_artifact()
    with pytest.raises(UnsupportedModel, match="is an HTML page"):
        page = tmp_path / "model.pkl"
        page.write_text("<!doctype html><html></html>")
        Model(page).submit_artifact()
    assert staged(home) == []


def test_a_file_tells_its_columns_where_nobody_does(home, tmp_path):
    import joblib
    import lightgbm
    import xgboost
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    joblib.dump(fitted(), tmp_path / "named.joblib")
    xgboost.XGBClassifier(n_estimators=2).fit(FRAME.to_numpy(), TARGET).save_model(tmp_path / "x.json")
    lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(FRAME, TARGET).booster_.save_model(
        tmp_path / "l.txt"
    )
    texts = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(pd.DataFrame({"c": ["u", "v"]}), [0, 1])
    joblib.dump(texts, tmp_path / "texts.joblib")
    for name, framework, columns in (
        ("named.joblib", "sklearn", ["a", "b"]),
        ("x.json", "xgboost", ["x0", "x1"]),
        ("l.txt", "lightgbm", ["a", "b"]),
        # Its columns may be texts, and nobody says so: it takes what comes.
        ("texts.joblib", "sklearn", None),
    ):
        made = Model(tmp_path / name).submit_artifact()
        assert made.artifact["framework"] == framework
        found = None if made.signature is None else [spec.name for spec in made.signature.inputs]
        assert found == columns, name


def test_files_that_do_not_load_or_predict_are_refused(home, tmp_path):
    path = tmp_path / "model.joblib"
    path.write_bytes(
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x10sklearn.ensemble\x94\x8c\x04Gone\x94\x93."
    )
    with pytest.raises(SaveFailed, match="cannot be loaded back"):
        Model(path, name="gone").submit_artifact()
    import joblib

    joblib.dump(fitted(), path)
    with pytest.raises(SaveFailed, match="cannot predict its sample"):
        Model(path, name="narrow", signature=np.zeros((3, 1))).submit_artifact()
    assert Client().request("GET", "/api/artifacts")["items"] == []
    assert staged(home) == []


def total(rows):
    return np.asarray(rows).sum(axis=1)


def test_functions_and_any_object_with_predict_are_models(home):
    function = Model(total, signature=FRAME).submit_artifact()
    assert function.artifact["framework"] == "python"
    assert (function.name, function.artifact["class_name"]) == ("total", "total")
    assert function.artifact["executable"]
    assert [spec.name for spec in function.signature.outputs] == ["predict"]
    assert function.artifact["properties"]["checked"] == "loaded, and 5 rows predicted as before"
    assert Model(total, signature=FRAME).submit_artifact().id == function.id

    class Scorer:
        def predict(self, rows):
            return total(rows)

    made = Model(Scorer(), signature=FRAME).submit_artifact()
    assert made.artifact["environment"]["packages"]["numpy"]
    assert made.artifact["environment"]["packages"]["cloudpickle"]


def test_a_class_that_a_cell_has_deleted_since_goes_along(home):
    scope = {"__name__": "__main__", "LogisticRegression": LogisticRegression}
    exec(
        "class Late(LogisticRegression):\n    def predict(self, X):\n        return super().predict(X)\n",
        scope,
    )
    model = scope.pop("Late")().fit(FRAME, TARGET)
    made = Model(model, name="late", signature=FRAME).submit_artifact()
    assert made.artifact["class_name"] == "Late"
    assert made.artifact["environment"]["packages"]["cloudpickle"]


def test_what_only_the_notebook_has_is_found_missing(home, monkeypatch):
    """A library that was changed in place answers otherwise where it was not."""
    model = fitted()
    monkeypatch.setattr(LogisticRegression, "predict", lambda self, X: np.full(len(X), 7))
    with pytest.raises(SaveFailed, match=r"predict, row 0: 7 became [01]"):
        Model(model, name="changed", signature=FRAME).submit_artifact()
    assert Client().request("GET", "/api/artifacts")["items"] == []


def test_a_format_is_one_that_the_framework_has(home):
    with pytest.raises(UnsupportedModel, match="cannot be saved as 'onnx'") as raised:
        Model(fitted(), format="onnx").submit_artifact()
    assert "joblib, skops" in raised.value.hint
    with pytest.raises(UnsupportedModel, match="needs the package skops"):
        Model(fitted(), format="skops").submit_artifact()
    with pytest.raises(UnsupportedModel, match="needs the package sklearn2pmml"):
        Model(fitted(), model_type="pmml").submit_artifact()
    with pytest.raises(UnsupportedModel, match="is no MLflow model directory|is no mlflow model"):
        Model(fitted(), model_type="mlflow").submit_artifact()
    with pytest.raises(InvalidRequest, match="given once"):
        Model("a.pkl", artifact_uri="b.pkl").submit_artifact()
    assert staged(home) == []
