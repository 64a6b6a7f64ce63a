"""Strangers on sockets and at addresses, homes that are no good, and names that want to be more than names."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import kale_serve_lab as ksl
from kale_serve_lab import errors, paths
from kale_serve_lab.client import Client

ROWS = np.random.default_rng(0).random((20, 3))
TARGET = [0, 1] * 10


@contextlib.contextmanager
def answering(listener, raw):
    """Answers each connection so, until the end."""

    def run():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(raw)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        # Closing alone does not wake a thread that accepts.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def http(status, body, kind="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        http("200 OK", b"<html>hello", "text/html"),
        http("200 OK", [1, 2]),
        http("200 OK", {"version": "99.0.0", "protocol": 99, "python": "/elsewhere"}),
        http("500 Oops", b"no json"),
        http("200 OK", b"[" * 100_000),
    ],
    ids=["no http", "a page", "a list", "another protocol", "an error", "deep"],
)
def test_what_is_no_daemon_on_the_daemons_socket_is_told_as_such(home, raw):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(paths.daemon_socket()))
    listener.listen()
    with answering(listener, raw), pytest.raises(errors.DaemonUnavailable) as raised:
        Client().request("GET", "/api/services")
    assert raised.value.subject
    assert len(str(raised.value)) < 2000


HOSTILE = "\x1b[2J\x1b]0;owned\x07<img src=x onerror=alert(1)>\u202e" + "A" * 100_000


@pytest.mark.parametrize("status", ["400 No", "500 Oops", "503 Busy", "418 Tea"])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "ModelLoadFailed", "message": HOSTILE, "subject": HOSTILE, "hint": HOSTILE}},
        {"error": {"code": HOSTILE, "message": HOSTILE, "details": {"log_tail": [HOSTILE]}}},
        {"error": HOSTILE},
        {"detail": [{"msg": HOSTILE}]},
        HOSTILE.encode(),
    ],
    ids=["ours", "ours by half", "KServe's", "FastAPI's", "text"],
)
def test_what_a_server_elsewhere_says_is_inert(status, body):
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (
        answering(listener, http(status, body)),
        ksl.Endpoint("iris", url=url) as endpoint,
        pytest.raises(errors.KaleServeError) as raised,
    ):
        endpoint.predict(ROWS)
    said = str(raised.value)
    assert len(said) < 3000
    assert all(char.isprintable() or char == "\n" for char in said + (raised.value.subject or ""))
    assert raised.value.code == type(raised.value).__name__


def test_a_redirect_is_not_followed_nor_is_a_token_sent_there():
    elsewhere = socket.create_server(("127.0.0.1", 0))
    elsewhere.settimeout(0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    target = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v2/models/iris"
    raw = f"HTTP/1.1 307 There\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
    with (
        answering(listener, raw),
        ksl.Endpoint("iris", url=f"http://127.0.0.1:{listener.getsockname()[1]}", token="secret") as endpoint,
        pytest.raises(errors.Unauthorized, match="redirects are not followed") as raised,
    ):
        endpoint.predict(ROWS)
    assert "secret" not in str(raised.value)
    with elsewhere, pytest.raises(TimeoutError):
        elsewhere.accept()


# Loaded by every interpreter of ours by itself: the file system has no locks.
NO_LOCKS = """
import errno, fcntl, os
def flock(fd, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = fcntl.lockf = flock
"""


def test_a_home_without_locks_is_refused_with_the_reason(home):
    site = home / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_LOCKS)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    call = "from kale_serve_lab.client import Client; Client().request('GET', '/api/version')"
    by_sdk = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, env=environment)
    assert "LockUnsupported" in by_sdk.stderr
    assert str(home / "data") in by_sdk.stderr
    assert "KALE_SERVE_DATA_DIR" in by_sdk.stderr
    read_end, write_end = os.pipe()
    by_itself = subprocess.run(
        [sys.executable, "-m", "kale_serve_lab.daemon", "--ready-fd", str(write_end)],
        pass_fds=[write_end],
        capture_output=True,
        env=environment,
        timeout=60,
    )
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        told = json.loads(pipe.readline())
    assert by_itself.returncode != 0
    assert told["error"]["code"] == "LockUnsupported"
    assert not (home / "data" / "metadata.sqlite").exists()


def test_a_home_on_a_long_path_serves(home, monkeypatch):
    deep = home / "/".join(["directory" * 5] * 5)
    deep.mkdir(parents=True)
    assert len(str(deep)) > 200
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(deep / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    # Where the short directory then is; below the home, so that it goes with it.
    monkeypatch.setenv("TMPDIR", str(home / "run"))
    monkeypatch.setattr("tempfile.tempdir", None)
    model = LogisticRegression().fit(ROWS, TARGET)
    isvc = ksl.serve(ksl.Model(model, name="deep", signature=ROWS), name="deep")
    assert len(str(paths.front_socket("default", "deep"))) <= 100
    with isvc.endpoint as endpoint:
        assert endpoint.predict(ROWS).tolist() == model.predict(ROWS).tolist()
    isvc.delete()


IMAGE = "<img src=x onerror=alert(1)>"


def test_columns_labels_and_texts_of_a_page_stay_texts(home):
    frame = pd.DataFrame(ROWS, columns=[IMAGE, "' onmouseover='alert(1)", "c"])
    model = LogisticRegression().fit(frame, ["<script>a</script>", "b"] * 10)
    artifact = ksl.Model(
        model,
        name="page",
        description="<script>d</script>",
        author=IMAGE,
        tags={"stage": IMAGE},
        signature=frame,
    )
    isvc = ksl.serve(artifact, name="page")
    with isvc.endpoint as endpoint:
        assert endpoint.predict(frame).iloc[:, 0].tolist() == model.predict(frame).tolist()
        with pytest.raises(errors.InvalidInput) as raised:
            endpoint.predict(frame[["c"]])
        assert IMAGE in str(raised.value)
    assert "script>" not in isvc._repr_html_()
    isvc._service["sentence"] = isvc._service["next_step"] = IMAGE
    isvc._service["stages"][0]["message"] = "' onmouseover='alert(1)"
    isvc._service["error"] = {"details": {"log_tail": ["</pre><script>alert(1)</script>"]}}
    shown = isvc._repr_html_()
    assert set(re.findall(r"<(/?\w+)", shown)) <= {
        *("div", "/div", "b", "/b", "span", "/span", "small", "/small", "pre", "/pre")
    }
    assert "onmouseover='" not in shown
    for name in (IMAGE, "a" * 10_000, "../../x", "a\0b", "x\x1b[2J"):
        with pytest.raises(errors.InvalidRequest):
            ksl.Model(model, name=name, signature=frame).submit_artifact()
    found = Client().request("GET", "/api/artifacts?q=%27%20OR%201%3D1%20--")
    assert found["items"] == []
    assert len(Client().request("GET", "/api/artifacts")["items"]) == 1
    isvc.delete()
