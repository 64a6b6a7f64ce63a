"""A real model-server process, as the local backend starts it, and what talks to its sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class UnixConnection(http.client.HTTPConnection):
    # Minutes where many load their models at once.
    def __init__(self, path, timeout=120):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        # The protocol has a text at "error"; ours says its parts beside it.
        assert isinstance(self.json["error"], str)
        return self.json


class Control:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")

    def next(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def until(self, state):
        """The first state message of this name, or of `failed`."""
        seen = []
        while (message := self.next()) is not None:
            seen.append(message)
            if message.get("state") in (state, "failed"):
                return message
        raise AssertionError(f"the control socket closed before {state}: {seen}")

    def send(self, kind):
        self.sock.sendall(json.dumps({"type": kind}).encode() + b"\n")

    def close(self):
        self.file.close()
        self.sock.close()


class Server:
    """One process with its two sockets, or three with `grpc=True`."""

    def __init__(self, folder: Path, number: int, *, grpc=False, **spec):
        self.folder = folder
        self.socket_path = folder / f"{number}.sock"
        self.control_path = folder / f"{number}.c"
        self.log_path = folder / f"{number}.log"
        self.listener = self._bind(self.socket_path)
        self.control_listener = self._bind(self.control_path)
        self.grpc_path = folder / f"{number}.g"
        self.grpc_listener = self._bind(self.grpc_path) if grpc else None
        self.spec = {
            "component": "predictor",
            "service": "iris",
            "namespace": "default",
            "revision": 3,
            "nonce": "ab12",
            "artifact_dir": str(folder / "artifact"),
            "framework": "sklearn",
            "class_name": None,
            "signature": None,
            "method": None,
            "listen_fd": self.listener.fileno(),
            "control_fd": self.control_listener.fileno(),
            "predictor_socket": None,
            "protocol": "v2",
            "model_name": "iris",
            "max_body_bytes": 1 << 30,
            "grpc_fd": self.grpc_listener.fileno() if grpc else None,
            "grpc_behind": str(folder / f"{number}.b") if grpc else None,
        } | spec
        self.listeners = [self.listener, self.control_listener] + [self.grpc_listener] * grpc
        self.process = None
        self.connection = UnixConnection(self.socket_path)
        self._control = None

    @staticmethod
    def _bind(path):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen(128)
        return sock

    def start(self, python=sys.executable, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [python, "-m", "kale_serve_lab.model_server"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                pass_fds=[listener.fileno() for listener in self.listeners],
                process_group=0,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            )
        with self.process.stdin as stdin:
            stdin.write(json.dumps(self.spec).encode())
        return self

    def ready(self):
        message = self.control.until("loaded")
        assert message["state"] == "loaded", (message, self.log)
        return self

    @property
    def control(self):
        if self._control is None:
            self._control = Control(self.control_path)
        return self._control

    @property
    def log(self):
        return self.log_path.read_text()

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        return Answer(self.connection.getresponse())

    def v1(self, instances, outputs=None):
        body = {"instances": instances} | ({"parameters": {"outputs": outputs}} if outputs else {})
        return self.request("POST", "/v1/models/iris:predict", json.dumps(body))

    def raw(self, data):
        """Send bytes on a connection of their own; all that comes back until the server closes it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.socket_path))
            sock.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := sock.recv(65536):
                    received += chunk
            return received

    def raw_until_closed(self, data):
        """Like `raw`, where the server may hang up in the middle of it."""
        try:
            return self.raw(data)
        except (BrokenPipeError, ConnectionResetError):
            return b""

    def wait(self):
        return self.process.wait(30)

    def close(self):
        self.connection.close()
        if self._control is not None:
            self._control.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for listener in self.listeners:
            listener.close()
