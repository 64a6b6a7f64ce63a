"""TorchServe itself: a PyTorch model by our handler, v1 and v2, in its own environment with Java."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab import Endpoint, Model
from kale_serve_lab.errors import ProgramMissing
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server.foreign.adapters import torchserve
from kale_serve_lab.model_server.foreign.launch import Given
from kale_serve_lab.model_server.spec import LaunchSpec

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests")]
import peers
from serving import ask, pids_of, served, tensor, until_ready_again

del sys.path[:2]

RUNTIME = "kserve-torchserve"
ROWS = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [-1.0, 0.5, 0.25, 4.0]], dtype="float32")
SIGNATURE = Signature(
    layout="tensor",
    inputs=[TensorSpec("input-0", "FP32", (-1, 4))],
    outputs=[TensorSpec("predict", "FP32", (-1, 2))],
    input_example=ROWS.tolist(),
)
MAKE = """
import json, sys, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
rows = torch.tensor(json.loads(sys.argv[2]))
torch.jit.trace(model, rows).save(sys.argv[1])
print(json.dumps(model(rows).tolist()))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A TorchScript file, and the model's own answer on ROWS."""
    path = tmp_path_factory.mktemp("torch") / "model.pt"
    command = [str(peers.python("torch")), "-W", "ignore", "-c", MAKE, str(path), json.dumps(ROWS.tolist())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return path, np.array(json.loads(done.stdout), dtype="float32")


@pytest.fixture(scope="module")
def service(shared_home, saved):
    model = Model(artifact_uri=str(saved[0]), name="net", signature=SIGNATURE)
    with served(model, "net", runtime=RUNTIME) as found:
        yield found


def test_it_is_the_real_server_and_says_what_it_speaks(service) -> None:
    assert service["runtime"] == RUNTIME
    assert service["protocols"] == ["v1", "v2"]
    assert service["binary"] is True
    _, child = pids_of(service)
    assert b"org.pytorch.serve.ModelServer" in Path(f"/proc/{child}/cmdline").read_bytes()


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_predictions_are_the_models_own(service, saved, protocol) -> None:
    assert np.allclose(Endpoint("net", protocol_version=protocol).predict(ROWS), saved[1], atol=1e-6)


def test_json_and_refusals_are_those_of_the_built_in_server(service, saved) -> None:
    headers = {"Content-Type": "application/json"}
    status, found = ask("net", {"instances": ROWS.tolist()}, "/v1/models/net:predict", headers)
    assert status == 200
    assert np.allclose(found["predictions"], saved[1], atol=1e-6)
    body = {"id": "7", "inputs": [tensor("input-0", "FP32", [3, 4], ROWS.ravel().tolist())]}
    status, found = ask("net", body, headers=headers)
    assert status == 200
    assert found["id"] == "7"
    assert found["outputs"][0]["shape"] == [3, 2]
    status, found = ask("net", {"inputs": [tensor("input-0", "FP32", [1, 3], [1, 2, 3])]}, headers=headers)
    assert status == 400
    assert found["error"]["code"] == "InvalidInput"
    assert ask("net", b"{", headers=headers)[0] == 400


def test_nobody_else_gets_at_it_by_its_ports(service, saved) -> None:
    _, child = pids_of(service)
    config = Path(f"/proc/{child}/cwd").resolve() / "config.properties"
    settings = dict(line.split("=", 1) for line in config.read_text().splitlines())
    assert settings["disable_token_authorization"] == "false"
    for name in ("inference_address", "management_address", "metrics_address"):
        assert settings[name].startswith("unix:")
    assert {settings["grpc_inference_address"], settings["grpc_management_address"]} == {"127.0.0.1"}


def test_two_serve_at_once_and_one_that_was_killed_serves_again(service, saved) -> None:
    model = Model(artifact_uri=str(saved[0]), name="other", signature=SIGNATURE)
    with served(model, "other", runtime=RUNTIME) as found:
        shim, child = pids_of(found)
        os.kill(child, signal.SIGKILL)
        until_ready_again("other", shim)
        for name in ("net", "other"):
            assert np.allclose(Endpoint(name).predict(ROWS), saved[1], atol=1e-6)


def test_without_java_it_says_so(tmp_path) -> None:
    value = {
        "component": "predictor", "service": "net", "namespace": "default", "revision": 1, "nonce": "",
        "artifact_dir": str(tmp_path), "framework": "pytorch", "listen_fd": 0, "control_fd": 0,
        "runtime": {
            "name": RUNTIME, "adapter": "torchserve", "python": sys.executable,
            "work": str(tmp_path), "http_socket": str(tmp_path / "h"),
        },
    }  # fmt: skip
    spec = LaunchSpec.from_json(value)
    assert spec.runtime is not None
    given = Given(
        spec, spec.runtime, tmp_path, tmp_path, Path(sys.executable), 1, 2, tmp_path / "h", tmp_path / "g"
    )
    with pytest.raises(ProgramMissing, match="no java on PATH"):
        torchserve.prepare(given)
