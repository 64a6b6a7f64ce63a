"""Servers that we did not write, each in its own environment, started as its own documentation says."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

SERVERS = Path(__file__).with_name("servers")
_spec = importlib.util.spec_from_file_location("peers", Path(__file__).parents[1] / "peers.py")
peers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peers)


def free_ports(count):
    """Ports of the loopback that are free now; these servers cannot be handed a socket."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class Foreign:
    """A server's process group, which can be killed and started again at the same address."""

    def __init__(self, folder, argv, port, ready):
        self.folder, self.argv, self.port, self.ready = folder, [str(word) for word in argv], port, ready
        self.url = f"http://127.0.0.1:{port}"
        self.process = None

    def start(self):
        log = self.folder / "log"
        path = f"{Path(self.argv[0]).parent}{os.pathsep}{os.environ['PATH']}"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder, process_group=0,
                env={**os.environ, "PATH": path, "TEMP": str(self.folder), "TMPDIR": str(self.folder)},
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self.answers():
            assert self.process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)  # a server that does not listen yet can only be asked again
        return self

    def answers(self):
        method, path, body = self.ready
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def close(self):
        """Ends the whole group, and waits until no process of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        deadline = time.monotonic() + 30
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self.process.pid, 0)
                time.sleep(0.01)


def running(server):
    with contextlib.closing(server):
        yield server.start()


@pytest.fixture(scope="module")
def kserve(tmp_path_factory):
    (port,) = free_ports(1)
    argv = [peers.python("kserve"), SERVERS / "kserve_models.py", port]
    yield from running(
        Foreign(tmp_path_factory.mktemp("kserve"), argv, port, ("GET", "/v2/health/ready", None))
    )


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlserver")
    ports = free_ports(3)
    named = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **named}))
    for name in ("Scorer", "Broken"):
        place = folder / name
        place.mkdir()
        shutil.copy(SERVERS / "mlserver_models.py", place)
        settings = {"name": name.lower(), "implementation": f"mlserver_models.{name}"}
        (place / "model-settings.json").write_text(json.dumps(settings))
    argv = [peers.python("mlserver").with_name("mlserver"), "start", folder]
    yield from running(Foreign(folder, argv, ports[0], ("GET", "/v2/health/ready", None)))


@pytest.fixture(scope="module")
def torchserve(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchserve")
    store = folder / "store"
    store.mkdir()
    for name in ("scorer", "broken"):
        model = {"modelName": name, "handler": "torchserve_handler.py", "modelVersion": "1.0"}
        with zipfile.ZipFile(store / f"{name}.mar", "w") as archive:
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))
            archive.write(SERVERS / "torchserve_handler.py", "torchserve_handler.py")
    ports = free_ports(5)
    config = [f"{kind}_address=http://127.0.0.1:{port}"
              for kind, port in zip(("inference", "management", "metrics"), ports[:3], strict=True)]  # fmt: skip
    config += [f"grpc_{kind}_port={port}"
               for kind, port in zip(("inference", "management"), ports[3:], strict=True)]  # fmt: skip
    config += ["service_envelope=kserve", "disable_token_authorization=true", "default_workers_per_model=1"]
    (folder / "config.properties").write_text("\n".join(config))
    argv = [
        peers.python("torchserve").with_name("torchserve"), "--start", "--foreground", "--no-config-snapshots",
        "--model-store", store, "--models", "scorer=scorer.mar", "broken=broken.mar", "--ts-config", folder / "config.properties",
    ]  # fmt: skip
    predict = ("POST", "/v1/models/scorer:predict", json.dumps({"instances": [[0, 0, 0, 0]]}))
    yield from running(Foreign(folder, argv, ports[0], predict))
