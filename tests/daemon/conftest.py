"""A real daemon in a process of its own, and a client that is nothing but sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
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
    def code(self):
        return self.json["error"]["code"]


class Daemon:
    def __init__(self, home, *arguments, environment=None):
        self.home, self.data = home, home / "data"
        self.arguments, self.environment = arguments, environment or {}
        self.process = None
        self.told = None
        self.command = [sys.executable, "-m", "kale_serve_lab.daemon"]
        self.log_path = home / "daemon.log"

    def start(self):
        read_end, write_end = os.pipe()
        self.log = self.log_path.open("ab")
        self.process = subprocess.Popen(
            [*self.command, "--ready-fd", str(write_end), *self.arguments],
            pass_fds=[write_end],
            stdout=self.log,
            stderr=self.log,
            cwd=REPOSITORY,
            env={**os.environ, **self.environment},
        )
        self.log.close()
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            line = pipe.readline()
        assert line, self.text()
        self.told = json.loads(line)
        return self

    @property
    def socket(self):
        [found] = (self.home / "run").glob("kale-serve-*/daemon.sock")
        return found

    def connection(self):
        return Connection(self.socket)

    def connect(self):
        return contextlib.closing(self.connection())

    def call(self, method, path, body=None):
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with self.connect() as connection:
            connection.request(method, path, content)
            with connection.getresponse() as response:
                return Answer(response)

    def staged(self, **files):
        key = str(uuid.uuid4())
        folder = self.data / "staging" / key
        folder.mkdir(parents=True)
        for name, content in (files or {"model.joblib": b"weights"}).items():
            (folder / name).write_bytes(content)
        return key

    def submit(self, name="iris", *, content=b"weights", **more):
        body = {
            "type": "kale.Model",
            "name": name,
            "staging": self.staged(model=content),
            "framework": "sklearn",
        }
        return self.call("POST", "/api/artifacts", body | more)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=20):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(seconds)
        return self.process.returncode

    def text(self):
        return self.log_path.read_text()


@pytest.fixture
def make_daemon(home):
    made = []

    def make(*arguments, **environment):
        made.append(Daemon(home, *arguments, environment=environment))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            # A test that failed half way leaves endpoints, which would outlive their daemon.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                one.call("POST", "/api/stop", {"services": True})
                one.process.wait(20)
        one.stop()


@pytest.fixture
def daemon(make_daemon):
    one = make_daemon().start()
    assert one.told == {"ok": True}
    return one
