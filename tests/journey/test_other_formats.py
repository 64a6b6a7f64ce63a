"""Formats that a kernel of its own makes: submitted there, served by its interpreter, equal to the model's own answers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kale_serve_lab as ksl
from kale_serve_lab.client import Client
from kale_serve_lab.jupyter import kernel_path

_spec = importlib.util.spec_from_file_location("peers", Path(__file__).parents[1] / "peers.py")
peers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peers)

START = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
sys.path.append(sys.argv[1])
import numpy as np, pandas as pd
import kale_serve_lab as ksl
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
iris = load_iris(as_frame=True)
X, y = iris.data, np.array(["setosa", "versicolor", "virginica"])[iris.target]
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
said = {"predict": model.predict(X[::30]).tolist(), "predict_proba": model.predict_proba(X[::30]).tolist()}

def refused(code, call):
    try:
        call()
    except ksl.KaleServeError as error:
        assert type(error).__name__ == code, error
        said.setdefault("errors", []).append([error.message, error.hint])
    else:
        raise AssertionError("was not refused")
"""
END = "\nprint(json.dumps(said))\n"


@pytest.fixture
def kernel(shared_home, tmp_path):
    """Runs code where a peer's packages are, with our package on the path only; what it put into `said`."""

    def run(peer, code, **environment):
        kernel_path.note_interpreter()
        done = subprocess.run(
            [peers.python(peer), "-c", START + code + END, kernel_path.ensure()],
            capture_output=True,
            text=True,
            timeout=150,
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    yield run
    for service in Client().request("GET", "/api/services")["items"]:
        Client().request("DELETE", f"/api/services/{service['name']}")


def rows():
    from sklearn.datasets import load_iris

    return load_iris(as_frame=True).data[::30]


def answers_as(said, endpoint, given):
    assert np.asarray(endpoint.predict(given)).ravel().tolist() == said["predict"]
    found = np.asarray(endpoint.predict(given, outputs=["predict_proba"]))
    np.testing.assert_allclose(found, said["predict_proba"], rtol=1e-9)


PMML = """
made = ksl.Model(model, name="iris", model_type="pmml", signature=X).submit_artifact()
again = ksl.Model(model, name="iris", model_type="pmml", signature=X).submit_artifact()
assert made.id == again.id
assert made.artifact["properties"]["checked"] == "loaded, and 5 rows predicted as before", made.artifact
assert not made.artifact["executable"]
said["id"] = made.id
assert {"jpmml-evaluator", "scikit-learn", "sklearn2pmml"} <= set(made.artifact["environment"]["packages"])
path = os.environ["PATH"]
os.environ["PATH"] = "/nowhere"
refused("UnsupportedModel", ksl.Model(model, name="no-java", model_type="pmml", signature=X).submit_artifact)
os.environ["PATH"] = path
class Odd(LogisticRegression):
    def predict(self, X):
        return super().predict(X)[::-1]
refused("SaveFailed", ksl.Model(Odd(max_iter=500).fit(X, y), name="odd", model_type="pmml", signature=X).submit_artifact)
"""


def test_a_pipeline_as_pmml_is_evaluated_by_java(kernel):
    said = kernel("pmml", PMML)
    isvc = ksl.serve(said["id"], name="by-java")
    with isvc.endpoint as endpoint:
        answers_as(said, endpoint, rows())
        # By position too, and with a missing number.
        assert np.asarray(endpoint.predict(rows().to_numpy())).ravel().tolist() == said["predict"]
    (java, hint), (converter, _) = said["errors"]
    assert "needs Java (a `java` on PATH), which is not here" in java
    assert "joblib" in hint
    assert "Odd" in converter


MLFLOW = """
import logging, mlflow
from mlflow.models import infer_signature
logging.disable()
mlflow.sklearn.save_model(model, "saved", signature=infer_signature(X, model.predict(X)), input_example=X.head(3), serialization_format="cloudpickle")

class Both(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"double": model_input.iloc[:, 0] * 2, "last": model_input.iloc[:, 3]})

mlflow.pyfunc.save_model("both", python_model=Both(), signature=infer_signature(X, Both().predict(None, X)), input_example=X.head(3))
for name in ("saved", "both"):
    made = ksl.Model(name, name=name).submit_artifact()
    said[name] = {"id": made.id, "signature": made.signature.to_json(), "checked": made.artifact["properties"]["checked"]}
    assert made.artifact["framework"] == "mlflow" and made.artifact["executable"]
    assert made.artifact["environment"]["packages"]["mlflow"] == mlflow.__version__
assert made.artifact["environment"]["packages"]["cloudpickle"]
os.remove("saved/model.pkl")
refused("SaveFailed", ksl.Model("saved", name="half").submit_artifact)
open("saved/MLmodel", "w").write("flavors:\\n  spark: {}\\n")
refused("UnsupportedModel", ksl.Model("saved", name="spark").submit_artifact)
"""


def test_an_mlflow_folder_is_served_as_it_is(kernel):
    said = kernel("mlflow", MLFLOW)
    assert said["saved"]["checked"] == "loaded, and 3 rows predicted"
    assert [spec["name"] for spec in said["saved"]["signature"]["inputs"]] == list(rows().columns)
    assert said["saved"]["signature"]["input_example"][0] == [5.1, 3.5, 1.4, 0.2]
    with ksl.serve(said["saved"]["id"], name="by-mlflow").endpoint as endpoint:
        assert np.asarray(endpoint.predict(rows())).ravel().tolist() == said["predict"]
    with ksl.serve(said["both"]["id"], name="by-mlflow").endpoint as endpoint:
        found = endpoint.predict(rows(), outputs=["double", "last"])
        assert isinstance(found, pd.DataFrame)
        assert found["double"].tolist() == (rows().iloc[:, 0] * 2).tolist()
    (half, _), (spark, _) = said["errors"]
    assert "cannot be loaded back" in half
    assert "its flavors are spark" in spark


SKOPS = """
from pathlib import Path
made = ksl.Model(model, name="safe", format="skops", signature=X).submit_artifact()
assert not made.artifact["executable"]
assert made.artifact["properties"]["format"] == "skops"
said["id"] = made.id
double = lambda rows: rows * 2
odd = make_pipeline(FunctionTransformer(double), LogisticRegression()).fit(X, y)
refused("UnsupportedModel", ksl.Model(odd, name="odd", format="skops", signature=X).submit_artifact)

# A file that holds such types is refused before anything of it is loaded.
import skops.io, pickle
class Mine(LogisticRegression):
    pass
Mine.__module__ = "mine"
skops.io.dump(Mine().fit(X, y), "clf.skops")
refused("SaveFailed", ksl.Model("clf.skops", name="untrusted").submit_artifact)
Path("lying.skops").write_bytes(pickle.dumps(model))
refused("UnsupportedModel", ksl.Model("lying.skops", name="lying").submit_artifact)
"""


def test_skops_is_served_without_running_code(kernel):
    said = kernel("skops", SKOPS)
    with ksl.serve(said["id"], name="by-skops").endpoint as endpoint:
        answers_as(said, endpoint, rows())
    (own, _), (untrusted, hint), (lying, _) = said["errors"]
    assert "holds types that skops does not trust" in own
    assert "mine.Mine" in untrusted
    assert "Nothing of it was loaded" in hint
    assert "is a pickle, not a skops file" in lying
