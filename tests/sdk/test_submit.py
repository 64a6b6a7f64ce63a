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

    joblib.dump(fitted(), tmp_path / "model.joblib")
    signature = Signature(["batch_size", 2], ["batch_size"], "float64", "int64")
    model = Model(
        name="files", artifact_uri=(tmp_path / "model.joblib").as_uri(), signature=signature
    ).submit_artifact()
    assert model.artifact["framework"] == "sklearn"
    assert model.artifact["executable"]
    with pytest.raises(InvalidRequest, match="nothing at"):
        Model(name="files", artifact_uri=str(tmp_path / "gone")).submit_artifact()
