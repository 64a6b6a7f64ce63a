"""The pod that KServe would start for an InferenceService, as processes here: what it fetches, and the server of its runtime."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import yaml
from fake_cluster.crds import SHARED

RUNTIMES = SHARED / "kserve-v0.20.0" / "runtimes"
ROOT = Path(__file__).parents[3]
MOUNT = "/mnt/models"
IMAGE = Path(__file__).with_name("kserve_image.py")
# KServe's webhook puts it into a label, which the runtime's variable names.
MODEL_CLASS = {
    "sklearn": "mlserver_sklearn.SKLearnModel",
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
    "mlflow": "mlserver_mlflow.MLflowRuntime",
}
# KServe's storage initializer is this call of its package.
FETCH = "import sys; from kserve_storage import Storage; Storage.download(sys.argv[1], sys.argv[2])"
# Below this name every bucket has its own, as a wildcard in DNS gives it.
WILDCARD = "s3.test"
RESOLVE = f"""
import socket
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *a, **b: real("127.0.0.1" if str(host).endswith("{WILDCARD}") else host, *a, **b)
"""


def runtime_container(name):
    """The container of the ServingRuntime of KServe 0.20."""
    found = yaml.safe_load((RUNTIMES / f"{name}.yaml").read_text())
    return found["spec"]["containers"][0]


def fetch(python, uri, folder, env):
    """What the storage initializer does before the server starts: its own code, with the variables of the Secret."""
    folder.mkdir()
    done = subprocess.run(
        [str(python), "-c", RESOLVE + FETCH, uri, str(folder)],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def ports(count):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def kserve_command(python, obj, folder):
    """Of KServe's own servers: the runtime's args; their ports are given, and no second port is opened."""
    model = obj["spec"]["predictor"]["model"]
    (port,) = ports(1)
    args = [
        _filled(one, obj["metadata"]["name"], folder).replace("8080", str(port))
        for one in runtime_container(model["runtime"])["args"]
    ]
    argv = [str(python), str(IMAGE), model["modelFormat"]["name"], *args, *model.get("args", ())]
    return port, [*argv, "--enable_grpc=false"], {}


def mlserver_command(python, obj, folder):
    """Of MLServer: the runtime's variables, and those that the webhook adds."""
    model = obj["spec"]["predictor"]["model"]
    port, grpc, metrics = ports(3)
    env = {one["name"]: one["value"] for one in runtime_container(model["runtime"])["env"]}
    env |= {"MLSERVER_MODEL_NAME": obj["metadata"]["name"], "MLSERVER_MODEL_URI": str(folder)}
    assert env["MLSERVER_MODEL_IMPLEMENTATION"] == "{{.Labels.modelClass}}"
    env |= {
        "MLSERVER_MODEL_IMPLEMENTATION": MODEL_CLASS[model["modelFormat"]["name"]],
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(grpc),
        "MLSERVER_METRICS_PORT": str(metrics),
        "MLSERVER_HOST": "127.0.0.1",
    }
    return port, [str(python.parent / "mlserver"), "start", str(folder)], env


def own_command(obj, folder):
    """Of our own image: what the object itself says."""
    (container,) = obj["spec"]["predictor"]["containers"]
    port, grpc = ports(2)
    env = {one["name"]: one["value"] for one in container["env"]} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable if one == "python" else one for one in container["command"]]
    args = [_filled(one, obj["metadata"]["name"], folder) for one in container["args"]]
    return port, [*command, *args, f"--http_port={port}", f"--grpc_port={grpc}"], env


def _filled(text, name, folder):
    return text.replace("{{.Name}}", name).replace(MOUNT, str(folder))


class Server:
    """One of these commands in a process group of its own; `ready` is the path that says 200 when the model is there."""

    def __init__(self, port, argv, env, work):
        work.mkdir(exist_ok=True)
        self.port = port
        self._log = work / "server.log"
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                argv,
                env=os.environ | env,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.ended = threading.Event()
        threading.Thread(target=lambda: (self.process.wait(), self.ended.set()), daemon=True).start()

    @property
    def log(self):
        return self._log.read_text(errors="replace")

    def until_ready(self, path):
        for _ in range(2400):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", path)[0] == 200:
                    return self
            # Nothing tells of a port that opens.
            if self.ended.wait(0.05):
                break
        raise AssertionError(self.log[-3000:])

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.ended.wait(60)
