"""The guide's own lines in a notebook, with the names that an editable install brings, and nothing imported before."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

VECTORIZER = """
import kserve

class Vectorizer(kserve.Model):
    def __init__(self, name, predictor_host, protocol="v1"):
        super().__init__(name)
        self.predictor_host = predictor_host
        self.words = ["bad", "film", "good", "play"]

    def preprocess(self, inputs, headers=None):
        return {"instances": [[text.count(word) for word in self.words] for text in inputs["instances"]]}
"""
TRAIN = """
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
texts = ["good film", "bad film", "good play", "bad play"]
vectorizer = CountVectorizer().fit(texts)
model = LogisticRegression().fit(vectorizer.transform(texts).toarray(), [1, 0, 1, 0])
"""
# As they stand in the guide, the folder and the features apart, which it leaves to the reader.
CELLS = [
    """
from kale.common import artifacts
transformer_artifact = artifacts.Transformer(name="Vectorizer", transformer_dir="module")
transformer_artifact.submit_artifact()
transformer_artifact_id = transformer_artifact.id
""",
    """
from kale.common.artifacts import Model
model_artifact = Model(model=model, description="My model", version="1.0.0", author="Kale", tags={"stage": "development"})
model_artifact.submit_artifact()
model_artifact_id = model_artifact.id
""",
    """
from kale.serve import serve
isvc = serve(model_artifact_id, transformer_artifact_id)
model_server_name = isvc.name
""",
    """
from kale.serve import Endpoint
endpoint = Endpoint(model_server_name)
features = '{"instances": ["good good", "bad"]}'
predictions = endpoint.predict(features)
print(predictions)
""",
    "isvc.delete()",
]


OLDER = [
    """
from kale.artifacts import Model
from kale.ml import Signature
signature = Signature(
    input_size=["batch_size", 4], output_size=["batch_size"], input_dtype="float64", output_dtype="int64"
)
artifact = Model(model=model, name="old", signature=signature).submit_artifact()
""",
    """
from kale.common.serveutils import serve
isvc = serve(artifact.id)
print(isvc.endpoint.predict([[0, 0, 2, 0]]))
isvc.delete()
""",
]


def run(home, monkeypatch, cells):
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "jupyter"))
    # Nothing of ours may reach the kernel but by its own installation.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(home)}}
    ).execute()
    return [[output for output in cell.outputs] for cell in notebook.cells]


def text(outputs):
    return "".join(output.get("text", "") for output in outputs)


def test_the_guides_lines_run_in_a_notebook(home, monkeypatch):
    (home / "module").mkdir()
    (home / "module" / "vectorizer.py").write_text(VECTORIZER)
    outputs = run(home, monkeypatch, [TRAIN, *CELLS])
    *_, served, predicted, _ = outputs
    # One display that changed, and no line on stderr beside it.
    assert [output["output_type"] for output in served] == ["display_data"]
    assert "answers predictions" in served[0]["data"]["text/html"]
    assert text(predicted).strip() == "{'predictions': [1, 0]}"


def test_the_older_names_run_in_a_notebook(home, monkeypatch):
    outputs = run(home, monkeypatch, [TRAIN, *OLDER])
    assert "DeprecationWarning" in text(outputs[-1])
    assert "[1]" in text(outputs[-1])
