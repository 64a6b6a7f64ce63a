"""TensorFlow Serving: how it is started; and itself, where its program is on PATH."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab import Endpoint, Model
from kale_serve_lab.errors import ModelLoadFailed, ProgramMissing
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server.foreign.adapters import tensorflow_serving
from kale_serve_lab.model_server.foreign.launch import Given, Launch
from kale_serve_lab.model_server.spec import LaunchSpec

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests")]
import peers
from serving import served

del sys.path[:2]

PROGRAM = tensorflow_serving.PROGRAM
MAKE = """
import json, sys, tensorflow as tf
class Doubles(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x):
        return {"predict": 2.0 * x + 1.0}
model = Doubles()
tf.saved_model.save(model, sys.argv[1] + "/1", signatures=model.__call__)
"""


@pytest.fixture
def prepare(tmp_path):
    """prepare(protocol=…, programs=…, framework=…, versions=…) -> Launch"""
    made = iter(range(10))

    def call(protocol="v1", programs=None, framework="tensorflow", versions=("1",)) -> Launch:
        place = tmp_path / str(next(made))
        folder, work = place / "artifact", place / "work"
        for version in versions:
            (folder / version).mkdir(parents=True)
            (folder / version / "saved_model.pb").touch()
        folder.mkdir(parents=True, exist_ok=True)
        work.mkdir()
        value = {
            "component": "predictor", "service": "net", "namespace": "default", "revision": 1, "nonce": "",
            "artifact_dir": str(folder), "framework": framework, "listen_fd": 0, "control_fd": 0,
            "protocol": protocol,
            "runtime": {
                "name": "kserve-tensorflow-serving", "adapter": "tensorflow_serving", "python": sys.executable,
                "programs": {PROGRAM: f"/opt/bin/{PROGRAM}"} if programs is None else programs,
                "work": str(work), "http_socket": str(work / "h"),
            },
        }  # fmt: skip
        spec = LaunchSpec.from_json(value)
        assert spec.runtime is not None
        return tensorflow_serving.prepare(
            Given(spec, spec.runtime, folder, work, Path(sys.executable), 8501, 8500, work / "h", work / "g")
        )

    return call


def options(launch: Launch) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in launch.argv[1:])


def test_v1_goes_to_its_http_and_grpc_to_a_unix_socket(prepare, caplog) -> None:
    launch = prepare("v1")
    assert launch.argv[0] == f"/opt/bin/{PROGRAM}"
    given = options(launch)
    assert (given["port"], given["rest_api_port"]) == ("0", "8501")
    assert launch.grpc == f"unix:{given['grpc_socket_path']}"
    assert launch.grpc_protocol == "grpc-v1"
    assert launch.http == ("127.0.0.1", 8501)
    assert launch.paths == {"v1": "/v1/models/net:predict"}
    assert launch.ready_path == "/v1/models/net/versions/1"
    assert (Path(given["model_base_path"]) / "1" / "saved_model.pb").is_file()
    assert "every address of this machine" in caplog.text


def test_over_grpc_no_port_is_opened(prepare, caplog) -> None:
    launch = prepare("grpc-v1")
    given = options(launch)
    assert (given["port"], given["rest_api_port"]) == ("0", "0")
    assert launch.paths == {}
    assert launch.http == Path(given["grpc_socket_path"])
    assert launch.ready_path is None
    assert not caplog.text


def test_what_it_cannot_serve_is_said_in_words(prepare) -> None:
    with pytest.raises(ProgramMissing, match=PROGRAM) as missing:
        prepare(programs={})
    assert "tensorflow/serving" in str(missing.value.hint)
    with pytest.raises(ModelLoadFailed, match="not sklearn"):
        prepare(framework="sklearn")
    with pytest.raises(ModelLoadFailed, match="there are 0"):
        prepare(versions=())
    with pytest.raises(ModelLoadFailed, match="there are 2"):
        prepare(versions=("1", "2"))


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not on PATH; no package has it")
@pytest.mark.parametrize("protocol", ["v1", "grpc-v1"])
def test_predictions_are_the_models_own(shared_home, tmp_path, protocol) -> None:
    subprocess.run([str(peers.python("tensorflow")), "-c", MAKE, str(tmp_path)], check=True)
    rows = np.array([[1.0, 2.0], [3.0, 4.0]], dtype="float32")
    signature = Signature(
        layout="tensor",
        inputs=[TensorSpec("x", "FP32", (-1, 2))],
        outputs=[TensorSpec("predict", "FP32", (-1, 2))],
        input_example=json.loads(json.dumps(rows.tolist())),
    )
    model = Model(artifact_uri=str(tmp_path), name="doubles", signature=signature)
    config = {"runtime": "kserve-tensorflow-serving", "protocol_version": protocol}
    with served(model, "doubles", **config) as service:
        assert service["runtime"] == "kserve-tensorflow-serving"
        found = Endpoint("doubles", protocol_version=protocol).predict(rows)
        assert np.allclose(found, 2 * rows + 1)
