"""Clients that we did not write, against the built-in server as users have it: by the gateway with its token, and over gRPC."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import peers
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from kale_serve_lab import Model, serve
from kale_serve_lab.client import Client

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def given(shared_home):
    """What the clients are told: two endpoints, rows, and the models' own answers."""
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 80),
            "income": rng.normal(3e4, 1e4, 80),
            "city": rng.choice(["Athens", "Zürich", "東京"], 80).astype(object),
            "member": rng.random(80) < 0.5,
        }
    )
    encoder = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
    pipeline = make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(
        people, np.where(people["age"] > 50, "old", "young")
    )
    serve(Model(model, name="iris-model", signature=X).submit_artifact().id, name="iris")
    serve(Model(pipeline, name="people-model", signature=people).submit_artifact().id, name="people")
    services = {name: Client().request("GET", f"/api/services/{name}") for name in ("iris", "people")}
    rows = X[::50]
    return {
        "rows": rows.tolist(),
        "predict": model.predict(rows).tolist(),
        "predict_proba": model.predict_proba(rows).tolist(),
        "url": services["iris"]["url"],
        "grpc": services["iris"]["grpc_socket"],
        "token": (shared_home / "data" / "token").read_text().strip(),
        "people": {
            "columns": {name: people[name][:5].tolist() for name in people},
            "predict": pipeline.predict(people[:5]).tolist(),
            "url": services["people"]["url"],
            "grpc": services["people"]["grpc_socket"],
        },
    }


@pytest.mark.parametrize("peer", ["tritonclient", "kserve", "mlserver"])
def test_a_client_in_an_environment_of_its_own(given, peer):
    python = peers.python(peer)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, HERE / "clients" / f"with_{peer}.py"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment,
        cwd=HERE / "clients",
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr[-4000:]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
def test_curl(given):
    def curl(*arguments):
        done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    token = ("-H", f"Authorization: Bearer {given['token']}")
    v1 = json.dumps({"instances": given["rows"]})
    assert curl(*token, given["url"] + "/v1/models/iris:predict", "-d", v1) == {
        "predictions": given["predict"]
    }
    # A body above 1 MB is announced by `Expect: 100-continue`.
    many = json.dumps({"instances": given["rows"] * 20_000})
    answer = subprocess.run(
        ["curl", "-sS", *token, given["url"] + "/v1/models/iris:predict", "--data-binary", "@-"],
        input=many, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert json.loads(answer.stdout) == {"predictions": given["predict"] * 20_000}
    flat = [value for row in given["rows"] for value in row]
    tensor = {"name": "x", "shape": [len(given["rows"]), 4], "datatype": "FP64", "data": flat}
    answer = curl(*token, given["url"] + "/v2/models/iris/infer", "-d", json.dumps({"inputs": [tensor]}))
    assert answer["outputs"][0]["data"] == given["predict"]
    front = Client().request("GET", "/api/services/iris")["socket"]
    assert curl("--unix-socket", front, "http://localhost/v2/health/ready") == {"ready": True}


def test_the_protocols_own_document(given, tmp_path):
    """schemathesis on the Open Inference Protocol's OpenAPI document: each answer is one that the document has."""
    python = peers.python("schemathesis")
    (tmp_path / "protocol.yaml").write_text(_document())
    done = subprocess.run(
        [
            *(python.parent / "schemathesis", "run", "protocol.yaml", "--url", given["url"]),
            *("--header", f"Authorization: Bearer {given['token']}"),
            *("--seed", "1", "--max-examples", "25", "--continue-on-failure"),
            *("--suppress-health-check", "all", "--no-color"),
            # The document cannot say which tensors a model takes: what it allows is refused for good reasons.
            *("--exclude-checks", "positive_data_acceptance"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "Tested: 6" in done.stdout, done.stdout


def _document():
    """The document, where it can be tested at all.

    Its paths write `${MODEL_NAME}`, which OpenAPI reads as a dollar sign before the parameter. It leaves the names of models and
    versions to the server, and what is said of one that is not there: by its own text, an error object.
    """
    text = (HERE / "open_inference_rest.yaml").read_text()
    text = text.replace("/${", "/{")
    for name, value in (("MODEL_NAME", "iris"), ("MODEL_VERSION", "'1'")):
        text = text.replace(
            f"          type: string\n        name: {name}",
            f"          type: string\n          enum: [{value}]\n        name: {name}",
        )
    absent = """
        '404':
          description: Not Found
          content:
            application/json:
              schema:
                $ref: '#/components/schemas/inference_error_response'"""
    paths, components = text.split("\ncomponents:")
    before, found = re.subn(
        r"(?m)^(  '/v2/models.*(?:\n(?!  /|  ').*)*?\n      responses:)", rf"\1{absent}", paths
    )
    assert found == 3
    assert before.count("enum:") == 6
    # Each error is an object with a text at `error`.
    strict = components.replace(
        "      title: inference_error_response\n      type: object\n",
        "      title: inference_error_response\n      type: object\n      required: [error]\n",
    )
    return f"{before}\ncomponents:{strict}"
