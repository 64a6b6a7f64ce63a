"""The built-in server as a container runs it: a process of its own on TCP, started with KServe's arguments."""

from __future__ import annotations

import ast
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from serving_containers import ROOT, Container, X, fitted, free_port

from kale_serve_lab import Endpoint

MODEL = fitted()


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    joblib.dump(MODEL, folder / "model.joblib")
    about = {"framework": "sklearn", "class_name": "LogisticRegression", "n_features": 4}
    (folder / "kale.json").write_text(json.dumps(about))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


@pytest.fixture
def start(home, tmp_path):
    with contextlib.ExitStack() as stack:

        def run(model_dir, *more, wait=True, **keywords):
            container = Container(tmp_path, model_dir, *more, **keywords)
            stack.callback(container.close)
            return container.wait_until_open() if wait else container

        yield run


def transformer_dir(tmp_path):
    folder = tmp_path / "transformer"
    folder.mkdir()
    about = {
        "kind": "functional",
        "form": "source",
        "preprocess": "preprocess",
        "postprocess": "postprocess",
        "assets": {},
    }
    (folder / "kale.json").write_text(json.dumps(about))
    (folder / "functions.py").write_text(
        """
def preprocess(inputs):
    if "instances" in inputs:
        return {"instances": [[value / 10 for value in row] for row in inputs["instances"]]}
    for given in inputs["inputs"]:
        given["data"] = [value / 10 for value in flat(given["data"])]
    return inputs

def flat(data):
    return [one for part in data for one in flat(part)] if isinstance(data, list) and data and isinstance(data[0], list) else data

def postprocess(outputs):
    return outputs
"""
    )
    return folder


def test_every_protocol_over_tcp(start, model_dir):
    container = start(model_dir)
    expected = MODEL.predict(X[:5]).tolist()
    status, found, headers = container.ask(
        "POST", "/v1/models/iris:predict", json.dumps({"instances": X[:5].tolist()})
    )
    assert (status, found["predictions"]) == (200, expected)
    assert headers["X-Kale-Serve-Revision"] == "1"
    tensor = {"name": "x", "datatype": "FP64", "shape": [5, 4], "data": X[:5].ravel().tolist()}
    status, found, _ = container.ask(
        "POST", "/v2/models/iris/infer", json.dumps({"id": "1", "inputs": [tensor]})
    )
    assert (status, found["outputs"][0]["data"]) == (200, expected)
    with Endpoint("iris", url=container.url) as endpoint:
        # Binary: the server's metadata offers it.
        assert endpoint._service()[0].binary is True
        assert endpoint.predict(X[:5]).tolist() == expected
        big = np.tile(X, (200, 1))
        assert endpoint.predict(big).tolist() == MODEL.predict(big).tolist()
    assert container.ask("GET", "/v2/health/ready")[:2] == (200, {"ready": True})
    assert container.ask("GET", "/")[0] == 200


def test_grpc_over_tcp(start, model_dir):
    pytest.importorskip("grpc")
    container = start(model_dir)
    with Endpoint("iris", url=f"grpc://127.0.0.1:{container.grpc_port}") as endpoint:
        assert endpoint.predict(X[:5]).tolist() == MODEL.predict(X[:5]).tolist()
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(60) == 0


def test_what_was_recorded_of_the_model_comes_by_the_environment(start, model_dir):
    signature = {
        "layout": "tensor",
        "inputs": [{"name": "flowers", "dtype": "FP64", "shape": [-1, 4]}],
        "outputs": [],
    }
    about = {"signature": signature, "revision": 7, "namespace": "team"}
    container = start(model_dir, env={"KALE_SERVE_ABOUT": json.dumps(about)})
    status, found, headers = container.ask("GET", "/v2/models/iris")
    assert status == 200
    assert [one["name"] for one in found["inputs"]] == ["flowers"]
    assert headers["X-Kale-Serve-Revision"] == "7"


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc-v2"])
def test_a_transformer_before_its_predictor(start, model_dir, tmp_path, protocol):
    predictor = start(model_dir)
    port = predictor.grpc_port if protocol == "grpc-v2" else predictor.port
    container = start(
        transformer_dir(tmp_path),
        *("--predictor_host", f"127.0.0.1:{port}", "--predictor_protocol", protocol),
        *("--predictor_use_ssl", "false", "--workers", "1", "--enable_latency_logging", "True"),
    )
    expected = MODEL.predict(X[:3]).tolist()
    if protocol == "v1":
        status, found, _ = container.ask(
            "POST", "/v1/models/iris:predict", json.dumps({"instances": (X[:3] * 10).tolist()})
        )
        assert (status, found) == (200, {"predictions": expected})
    else:
        tensor = {"name": "x", "datatype": "FP64", "shape": [3, 4], "data": (X[:3] * 10).ravel().tolist()}
        status, found, _ = container.ask("POST", "/v2/models/iris/infer", json.dumps({"inputs": [tensor]}))
        assert (status, found["outputs"][0]["data"]) == (200, expected)
    assert "--workers 1" in container.log


def test_a_transformer_says_that_its_predictor_is_away(start, tmp_path):
    container = start(transformer_dir(tmp_path), "--predictor_host", f"127.0.0.1:{free_port()}")
    status, found, _ = container.ask("POST", "/v1/models/iris:predict", '{"instances": [[1]]}')
    assert (status, found["code"]) == (503, "EndpointNotReady")


def test_the_port_is_closed_until_the_model_is_loaded(start, model_dir, tmp_path):
    """A port that takes connections counts as ready in Kubernetes."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folder = tmp_path / "slow"
    folder.mkdir()
    about = {
        "kind": "functional",
        "form": "source",
        "preprocess": "preprocess",
        "postprocess": None,
        "assets": {},
    }
    (folder / "kale.json").write_text(json.dumps(about))
    (folder / "functions.py").write_text(f"open({str(gate)!r}).read()\ndef preprocess(x): return x\n")
    container = start(folder, "--predictor_host", "nobody", wait=False)
    with open(gate, "w"):
        # It is loading: it has the gate open.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", container.port), 5)
    container.wait_until_open()


def test_at_sigterm_whoever_comes_is_answered_and_then_it_ends(start, model_dir):
    container = start(model_dir)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", container.port, timeout=60)) as held:
        held.connect()
        container.process.send_signal(signal.SIGTERM)
        for _ in range(600):
            status = container.ask("GET", "/v2/health/ready")[0]
            if status == 503:
                break
        assert status == 503
        held.request("POST", "/v1/models/iris:predict", json.dumps({"instances": X[:1].tolist()}))
        answer = held.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["predictions"] == MODEL.predict(X[:1]).tolist()
        assert answer.getheader("Connection") == "close"
    assert container.process.wait(60) == 0


def test_a_model_that_does_not_load_is_the_last_word(start, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "kale.json").write_text('{"framework": "sklearn"}')
    (folder / "model.joblib").write_bytes(b"nonsense")
    container = start(folder, wait=False)
    assert container.process.wait(60) == 3
    assert "could not be loaded" in container.log.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ((), {}, "holds no model"),
        ((), {"KALE_SERVE_ABOUT": "{"}, "is not JSON"),
        ((), {"KALE_SERVE_ABOUT": '{"framework": "sklearn", "revision": "x"}'}, "what cannot be"),
        (("--http_port", "99999"), {}, "cannot be listened at"),
    ],
    ids=["nothing-there", "no-json", "no-number", "no-port"],
)
def test_what_cannot_be_meant_ends_it_at_once(start, tmp_path, arguments, env, said):
    container = start(tmp_path / "nowhere", *arguments, wait=False, env=env)
    assert container.process.wait(60) == 2
    assert said in container.log.splitlines()[-1]


DOCKERFILE = ROOT / "docker" / "Dockerfile"


def instructions():
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def test_the_dockerfile_runs_this_entry_as_nobody_in_particular():
    found = instructions()
    by_name = {name: [rest for one, rest in found if one == name] for name, _ in found}
    assert all(
        re.search(r":\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?( AS \w+)?$", base) for base in by_name["FROM"]
    )
    entry = json.loads(by_name["ENTRYPOINT"][-1])
    assert entry[1:] == ["-m", "kale_serve_lab.model_server.container"]
    user = by_name["USER"][-1]
    assert re.fullmatch(r"[1-9]\d*(:\d+)?", user), "Kubernetes' runAsNonRoot needs a number"
    # Nothing after USER needs root, and what is copied is in the build's context.
    after = [name for name, _ in found[[name for name, _ in found].index("USER") :]]
    assert set(after) <= {"USER", "ENTRYPOINT", "EXPOSE", "WORKDIR", "ENV"}
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().split()
    for copy in by_name["COPY"]:
        for source in copy.split()[:-1]:
            if source.startswith("--"):
                continue
            assert f"!{source}" in ignored or f"!{Path(source).parts[0]}" in ignored
    assert ignored[0] == "*", "only what is named goes to the build"
    assert not any("SECRET" in rest.upper() or "TOKEN" in rest.upper() for _, rest in found)


def test_the_entry_takes_what_kserve_passes():
    done = subprocess.run(
        [sys.executable, "-m", "kale_serve_lab.model_server.container", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    for name in ("model_name", "predictor_host", "predictor_protocol", "http_port", "grpc_port"):
        assert f"--{name}" in done.stdout


def test_the_image_has_all_that_the_server_imports():
    """Its requirements, and what the model brings: nothing of JupyterLab, of the daemon or of the cluster's client."""
    required = {
        re.split(r"[=<>~!]", line)[0]
        for line in (ROOT / "docker" / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    code = """
import sys
before = set(sys.modules)
import kale_serve_lab.model_server.container, kale_serve_lab.model_server.run, kale_serve_lab.model_server.transformer
import kale_serve_lab.model_server.predict, kale_serve_lab.model_server.grpc_server, grpc.aio
print(sorted({
    name.partition(".")[0] for name, module in sys.modules.items()
    if name not in before and "site-packages" in (getattr(module, "__file__", None) or "")
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    imported = set(ast.literal_eval(done.stdout)) - {"kale_serve_lab"}
    # grpcio's package is called grpc, and needs typing_extensions, which pip installs with it.
    assert imported - {"grpc", "typing_extensions"} <= required
    assert {"grpcio", "tornado", "numpy"} <= required
