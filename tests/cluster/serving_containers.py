"""Processes of `python -m kale_serve_lab.model_server.container`, as a cluster would start them."""

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

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[2]
X, Y = load_iris(return_X_y=True)


def fitted():
    return LogisticRegression(max_iter=1000).fit(X, Y)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Container:
    """`python -m kale_serve_lab.model_server.container`, from a folder that cannot be written to, as in the image."""

    def __init__(self, folder, model_dir, *more, name="iris", env=None):
        self.port, self.grpc_port = free_port(), free_port()
        self.log_path = folder / f"{self.port}.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kale_serve_lab.model_server.container"),
                    *("--model_name", name, "--model_dir", str(model_dir)),
                    *("--http_port", str(self.port), "--grpc_port", str(self.grpc_port)),
                    *more,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            )

    @property
    def log(self):
        return self.log_path.read_text()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_until_open(self):
        """The port opens when the model is loaded; until then connections are refused."""
        ended = threading.Event()
        threading.Thread(target=lambda: (self.process.wait(), ended.set()), daemon=True).start()
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
                return self
            if ended.wait(0.05):
                break
        raise AssertionError(self.log)

    def ask(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), response.headers

    def close(self):
        self.process.kill()
        self.process.wait(60)
