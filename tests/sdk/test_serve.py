"""serve(), its handle, and the guide's own lines."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import kale_serve_lab
from kale_serve_lab import (
    EndpointNotFound,
    InvalidConfig,
    InvalidRequest,
    Model,
    ModelLoadFailed,
    Transformer,
    serve,
)
from kale_serve_lab.client import Client

ROWS = np.random.default_rng(0).random((20, 3))
GUIDE = """
from kale.common import artifacts
from kale.common.artifacts import Model
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

texts = ["good film", "bad film", "good play", "bad play"]
vectorizer = CountVectorizer().fit(texts)
model = LogisticRegression().fit(vectorizer.transform(texts).toarray(), [1, 0, 1, 0])
transformer_artifact = artifacts.Transformer(name="Vectorizer", transformer_dir={folder!r})
transformer_artifact.submit_artifact()
model_artifact = Model(model=model, description="My model", version="1.0.0", author="Kale", tags={{"stage": "development"}})
model_artifact.submit_artifact()
model_artifact_id, transformer_artifact_id = model_artifact.id, transformer_artifact.id
from kale.serve import serve
isvc = serve(model_artifact_id, transformer_artifact_id)
model_server_name = isvc.name
from kale.serve import Endpoint
endpoint = Endpoint(model_server_name)
features = '{{"instances": ["good good", "bad"]}}'
predictions = endpoint.predict(features)
print(predictions["predictions"])
"""
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


def test_the_guides_lines_run_as_a_script(home, tmp_path):
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "vectorizer.py").write_text(VECTORIZER)
    script = tmp_path / "guide.py"
    script.write_text("import kale_serve_lab" + GUIDE.format(folder=str(tmp_path / "module")))
    environment = {**os.environ, "PYTHONPATH": str(Path(kale_serve_lab.__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 0]"
    assert "ready done" in done.stderr


def test_a_service_is_served_updated_looked_at_and_deleted(home, capsys):
    model = LogisticRegression().fit(ROWS, [0, 1] * 10)
    artifact = Model(model, name="rows", signature=ROWS)
    isvc = serve(artifact, name="rows")
    assert isvc.status.ready
    assert str(isvc.status).startswith("Ready: ")
    assert list(isvc.endpoint.predict(ROWS)) == list(model.predict(ROWS))
    told = capsys.readouterr().err
    assert "package done in" in told
    assert "check done in" in told
    shown = isvc._repr_html_()
    assert "Ready" in shown
    assert "kale-built-in · " in shown
    assert isvc.runtime == "kale-built-in"
    assert {"v1", "v2"} <= set(isvc.protocols)
    assert isvc.findings == ()
    again = serve("rows:1.0.0", name="rows")
    assert again.revision == 2
    assert isinstance(again.logs(), str)
    again.delete()
    again.delete()
    with pytest.raises(EndpointNotFound):
        again.refresh()


def test_a_failed_load_stops_the_wait_with_its_cause_and_the_log(home, tmp_path, monkeypatch):
    package = tmp_path / "site"
    package.mkdir()
    (package / "breaking_model.py").write_text(
        "import sys\nfrom sklearn.linear_model import LogisticRegression\nclass Broken(LogisticRegression):\n"
        "    def __setstate__(self, state):\n        if any('model_server.check' in word for word in sys.orig_argv):\n"
        "            return super().__setstate__(state)\n"
        "        print('about to break', flush=True)\n        raise RuntimeError('no such colour')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.syspath_prepend(str(package))
    import breaking_model

    model = Model(breaking_model.Broken().fit(ROWS, [0, 1] * 10), name="broken").submit_artifact()
    began = time.monotonic()
    with pytest.raises(ModelLoadFailed, match="no such colour|breaking_model") as raised:
        serve(model.id)
    assert time.monotonic() - began < 30
    assert raised.value.subject == "broken"
    assert raised.value.details["log_tail"]
    if sys.version_info >= (3, 11):
        assert "The end of the log" in raised.value.__notes__[0]


def test_what_preflight_remarks_is_shown_one_line_each(home, capsys):
    model = Model(LogisticRegression().fit(ROWS, [0, 1] * 10), name="remarked")
    isvc = serve(model, serve_config=kale_serve_lab.ServeConfig(min_replicas=2, env={"A": "<b>"}))
    remarks = [line for line in capsys.readouterr().err.splitlines() if line.startswith("! ")]
    assert [finding["code"] for finding in isvc.findings] == ["NoSample", "IgnoredHere"]
    assert remarks == [f"! {finding['message']} {finding['fix'] or ''}".strip() for finding in isvc.findings]
    for finding in isvc.findings:
        assert finding["message"] in isvc._repr_html_()
    assert kale_serve_lab.InferenceService.get("remarked").findings == ()


SERVER_OF_MY_OWN = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer({"name": "mine", "ready": True})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        self.answer({"predictions": [len(row) for row in rows]})

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
RUNTIME_OF_MY_OWN = """
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {{name: my-server}}
spec:
  supportedModelFormats: [{{name: sklearn, version: "1", autoSelect: false}}]
  protocolVersions: [v1]
  containers: [{{name: kserve-container, command: [{python!r}, {script!r}]}}]
"""


def test_a_runtime_of_ones_own_is_asked_for_by_its_name(home, tmp_path, capsys):
    script = tmp_path / "server.py"
    script.write_text(SERVER_OF_MY_OWN)
    runtimes = home / "data" / "runtimes"
    runtimes.mkdir(parents=True)
    (runtimes / "mine.yaml").write_text(RUNTIME_OF_MY_OWN.format(python=sys.executable, script=str(script)))
    model = Model(LogisticRegression().fit(ROWS, [0, 1] * 10), name="mine", signature=ROWS)
    isvc = serve(model, serve_config=kale_serve_lab.ServeConfig(runtime="my-server"))
    assert (isvc.runtime, isvc.protocols) == ("my-server", ("v1",))
    assert list(isvc.endpoint.predict(ROWS[:2])) == [3, 3]
    assert "my-server · v1" in isvc._repr_html_()


def test_what_cannot_be_meant_is_refused_before_anything_starts(home):
    with pytest.raises(InvalidRequest, match="nothing to serve"):
        serve()
    with pytest.raises(InvalidConfig, match="propagate_configurations"):
        serve(1, propagate_configurations=True, target="local")
    with pytest.raises(InvalidConfig, match="no field"):
        serve(1, serve_config={"limit": {}})
    with pytest.raises(InvalidRequest, match="neither an id"):
        serve(Transformer(preprocess=lambda x: x))
    assert not (home / "data" / "daemon.json").exists()
    with pytest.raises(kale_serve_lab.ArtifactNotFound):
        serve(12345)
    assert Client().request("GET", "/api/services")["items"] == []


vocabulary = ["good", "bad"]
labels = {0: "negative", 1: "positive"}


def count(inputs):
    return {"instances": [[text.split().count(word) for word in vocabulary] for text in inputs["instances"]]}


def name(outputs):
    return {"predictions": [labels[int(value)] for value in outputs["predictions"]]}


@pytest.mark.parametrize("form", ["source", "pickle"])
def test_a_functional_transformer_stands_before_and_after_the_model(home, form):
    model = LogisticRegression().fit([[2, 0], [0, 2], [1, 0], [0, 1]], [1, 0, 1, 0])
    preprocess = (
        count
        if form == "source"
        else lambda inputs: {
            "instances": [[text.split().count(word) for word in vocabulary] for text in inputs["instances"]]
        }
    )
    transformer = Transformer(
        preprocess=preprocess,
        postprocess=name,
        transformer_assets={"vocabulary": vocabulary, "labels": labels},
        signature=["some text"],
    )
    isvc = serve(Model(model), transformer, name="texts")
    assert isvc.endpoint.predict({"instances": ["good good", "bad day"]})["predictions"] == [
        "positive",
        "negative",
    ]


def test_waiting_ends_when_its_time_is_over(home):
    client = Client()
    sequence = client.request("GET", "/api/services")["seq"]
    began = time.monotonic()
    assert list(client.events(sequence, until=began + 0.3)) == []
    assert 0.2 < time.monotonic() - began < 5
