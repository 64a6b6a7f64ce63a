"""A real daemon's counterpart on the daemon's socket, real model servers, and servers that misbehave on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from kale_serve_lab import paths
from kale_serve_lab.client.version import PROTOCOL, own_version

ROOT = Path(__file__).parents[2]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Registry:
    """Answers `GET /api/version` and `GET /api/services/{name}` from `services`, on the daemon's own socket."""

    def __init__(self):
        self.services = {}
        self.asked = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/api/services/")
                if self.path == "/api/version":
                    self.answer(200, {"version": own_version(), "protocol": PROTOCOL, "pid": os.getpid()})
                elif name in registry.services:
                    registry.asked += 1
                    self.answer(200, registry.services[name])
                else:
                    error = {
                        "code": "EndpointNotFound",
                        "message": f"There is no endpoint {name!r}.",
                        "subject": name,
                    }
                    self.answer(404, {"error": error})

            def do_POST(self):
                self.answer(202, {})

            def answer(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        self.server = _Server(str(paths.daemon_socket()), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def serve(self, name, **service):
        self.services[name] = {
            "name": name,
            "namespace": "default",
            "protocol": "v2",
            "signature": None,
            "transformer": None,
            "state": "Ready",
            "sentence": "Ready.",
            "ready_revision": 1,
            "error": None,
            "socket": str(paths.front_socket("default", name)),
            "protocols": ["v1", "v2", "grpc-v2"],
            "binary": True,
            "grpc_socket": str(paths.grpc_socket("default", name)),
        } | service
        return self.services[name]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def registry(home):
    found = Registry()
    yield found
    found.close()


class ModelServer:
    """`python -m kale_serve_lab.model_server` on a listening socket that was bound here."""

    def __init__(self, folder, path, grpc=None, **spec):
        self.path = Path(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(128)
        self.control_path = folder / f"{os.urandom(4).hex()}.c"
        self.control = socket.socket(socket.AF_UNIX)
        self.control.bind(str(self.control_path))
        self.control.listen(8)
        self.listeners = [self.listener, self.control]
        if grpc is not None:
            self.listeners.append(socket.socket(socket.AF_UNIX))
            self.listeners[-1].bind(str(grpc))
            self.listeners[-1].listen(128)
            spec |= {
                "grpc_fd": self.listeners[-1].fileno(),
                "grpc_behind": str(folder / f"{os.urandom(4).hex()}.b"),
            }
        spec = {
            "component": "predictor",
            "namespace": "default",
            "revision": 1,
            "nonce": "ab12",
            "framework": "sklearn",
            "class_name": None,
            "signature": None,
            "method": None,
            "listen_fd": self.listener.fileno(),
            "control_fd": self.control.fileno(),
            "predictor_socket": None,
            "protocol": "v2",
            "max_body_bytes": 1 << 30,
        } | spec
        spec["model_name"] = spec["service"]
        self.log_path = folder / f"{self.path.stem}.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kale_serve_lab.model_server"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                pass_fds=[listener.fileno() for listener in self.listeners],
                process_group=0,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        with self.process.stdin as stdin:
            stdin.write(json.dumps(spec).encode())
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(60)
        self.line.connect(str(self.control_path))
        self.file = self.line.makefile("rb")
        for message in map(json.loads, self.file):
            if message.get("state") == "failed":
                raise AssertionError((message, self.log_path.read_text()))
            if message.get("state") == "loaded":
                return
        raise AssertionError(self.log_path.read_text())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        for thing in (self.file, self.line, *self.listeners):
            thing.close()
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def start_server(home):
    with contextlib.ExitStack() as stack:

        def start(path, **spec):
            server = ModelServer(home, path, **spec)
            stack.callback(server.close)
            return server

        yield start


class Scripted:
    """Accepts connections one after the other and hands each to the next script; a script gets the socket."""

    def __init__(self, family, address):
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen(16)
        self.address = self.listener.getsockname()
        self.requests = []
        self.threads = []

    def run(self, *scripts):
        def work():
            for script in scripts:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(20)
                    script(connection)

        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)
        return self

    def read(self, connection):
        """One whole request: its head and its body."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            part = connection.recv(65536)
            if not part:
                return None
            raw += part
        head, _, body = raw.partition(b"\r\n\r\n")
        size = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < size:
            body += connection.recv(65536)
        self.requests.append((head.decode(), body))
        return head.decode(), body

    def answer(self, raw):
        """A script: reads one request and sends these bytes."""

        def script(connection):
            self.read(connection)
            with contextlib.suppress(OSError):
                connection.sendall(raw)

        return script

    def close(self):
        for thread in self.threads:
            thread.join(30)
        self.listener.close()


@pytest.fixture
def scripted(home):
    with contextlib.ExitStack() as stack:

        def make(address=None):
            server = (
                Scripted(socket.AF_UNIX, str(address))
                if address
                else Scripted(socket.AF_INET, ("127.0.0.1", 0))
            )
            stack.callback(server.close)
            return server

        yield make


def http(body, status="200 OK", **headers):
    """An answer's bytes."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@pytest.fixture
def answer():
    return http
