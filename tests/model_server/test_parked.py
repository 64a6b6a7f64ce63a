"""Servers forked from a parked interpreter."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from contract_models import lgbm_binary, sklearn_array_classifier, xgb_classifier
from server_process import ROOT, Control


class Parked:
    def __init__(self, *modules):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(60)
        arguments = [part for module in modules for part in ("--import", module)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kale_serve_lab.model_server.parked", *arguments],
            stdin=theirs,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            process_group=0,
        )
        theirs.close()
        assert self.receive() == {"type": "parked", "pid": self.process.pid}

    def receive(self):
        return json.loads(self.sock.recv(1 << 16))

    def fork(self, server, go=True):
        spec = {key: value for key, value in server.spec.items() if key not in ("listen_fd", "control_fd")}
        with open(server.log_path, "ab") as log:
            fds = [server.listener.fileno(), server.control_listener.fileno(), log.fileno()]
            socket.send_fds(self.sock, [json.dumps({"type": "fork", "spec": spec}).encode()], fds)
        message = self.receive()
        assert message["type"] == "forked"
        if go:
            self.sock.send(b'{"type": "go"}')
        return message["pid"]

    def close(self):
        self.sock.close()
        assert self.process.wait(20) == 0


@pytest.fixture
def parked(home):
    made = []

    def make(*modules):
        made.append(Parked(*modules))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "make", [sklearn_array_classifier, xgb_classifier, lgbm_binary], ids=lambda make: make.__name__
)
def test_a_forked_server_answers_as_a_fresh_one(parked, servers, home, make):
    case = make()
    parent = parked(case.framework)
    server = servers(**case.write(home / "a"))
    began = time.perf_counter()
    pid = parent.fork(server)
    server.ready()
    rows = case.rows.to_numpy().tolist() if hasattr(case.rows, "to_numpy") else case.rows.tolist()
    assert server.v1(rows, ["predict_proba"]).json["predictions"] == case.outputs["predict_proba"].tolist()
    print(f"{case.framework}: fork to first answer {time.perf_counter() - began:.3f} s")
    assert os.getpgid(pid) == pid
    assert "loaded in" in server.log
    server.control.send("stop")
    assert parent.receive() == {"type": "exited", "pid": pid, "status": 0}


def test_exits_are_reported_as_they_were(parked, servers, home):
    parent = parked()
    failing = servers(framework="onnx", listen_fd=0)
    pid = parent.fork(failing)
    assert failing.control.until("failed")["error"]["code"] == "ModelLoadFailed"
    assert parent.receive() == {"type": "exited", "pid": pid, "status": 3}
    killed = servers(**sklearn_array_classifier().write(home / "a"))
    pid = parent.fork(killed)
    killed.ready()
    os.kill(pid, signal.SIGKILL)
    assert parent.receive() == {"type": "exited", "pid": pid, "status": -signal.SIGKILL}


def test_children_outlive_the_parked_interpreter(parked, servers, home):
    parent = parked("sklearn")
    server = servers(**sklearn_array_classifier().write(home / "a"))
    pid = parent.fork(server)
    server.ready()
    parent.close()
    assert server.v1([[5.1, 3.5, 1.4, 0.2]]).json == {"predictions": ["setosa"]}
    gone = os.pidfd_open(pid)
    control = Control(server.control_path)
    control.send("stop")
    assert control.until("draining")
    import select

    assert select.select([gone], [], [], 20)[0]
    os.close(gone)
    control.close()


def test_nonsense_is_answered_and_changes_nothing(parked, servers, home):
    parent = parked()
    for message in (b"nonsense", b"{}", b'{"type": "fork", "spec": {}}'):
        parent.sock.send(message)
        assert parent.receive()["type"] == "error"


def test_a_server_that_nobody_takes_over_ends_with_its_parent(parked, servers, home):
    parent = parked()
    server = servers(**sklearn_array_classifier().write(home / "a"))
    pidfd = os.pidfd_open(parent.fork(server, go=False))
    parent.process.kill()
    parent.process.wait(20)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(20_000)
    os.close(pidfd)
    parent.process.returncode = 0
    assert "loaded in" not in server.log
