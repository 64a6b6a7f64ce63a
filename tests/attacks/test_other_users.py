"""Another user of this machine, with a uid of their own, at everything of ours that they can name."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import kale_serve_lab as ksl
from kale_serve_lab import errors, paths
from kale_serve_lab.client import Client

STRANGER = 61234
ROWS = np.random.default_rng(0).random((20, 3))
needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="NOT SHOWN HERE: only root can be two users; run it as root, as CI does"
)

# Tries each thing and says what it got; "in" is what must never be said.
TRIES = """
import json, os, signal, socket, sys
asked, got = json.load(sys.stdin), []

def attempt(what, path, call):
    try:
        call(path)
    except PermissionError:
        got.append([what, path, "refused"])
    except OSError as error:
        got.append([what, path, type(error).__name__])
    else:
        got.append([what, path, "in"])

def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)

for path in asked["sockets"]:
    attempt("connect", path, connect)
    attempt("unlink", path, os.unlink)
for path in asked["files"]:
    attempt("read", path, lambda path: open(path, "rb").close())
    attempt("write", path, lambda path: open(path, "ab").close())
for path in asked["folders"]:
    attempt("list", path, os.listdir)
    attempt("make", path, lambda path: os.mkdir(path + "/stranger"))
    attempt("move", path, lambda path: os.rename(path, path + ".away"))
for pid in asked["pids"]:
    attempt("signal", str(pid), lambda pid: os.kill(int(pid), signal.SIGTERM))
    attempt("environ", f"/proc/{pid}/environ", lambda path: open(path, "rb").read())
print(json.dumps(got))
"""


def as_stranger(code, given=""):
    # The process becomes theirs after it has started: our interpreter may lie where a stranger cannot run it.
    become = (
        "import encodings.idna, http.client, json, os, signal, socket, sys\n"
        f"os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", become + code],
        input=given,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def isvc(shared_home):
    home = shared_home
    # As where there is no private XDG_RUNTIME_DIR: the way to our own directories is open to all.
    home.chmod(0o755)
    (home / "run").chmod(0o755)
    before = os.umask(0)
    try:
        model = LogisticRegression().fit(ROWS, [0, 1] * 10)
        yield ksl.serve(ksl.Model(model, name="private", signature=ROWS), name="private")
    finally:
        os.umask(before)


def our_processes():
    nonce = f"KALE_SERVE_TEST_NONCE={os.environ['KALE_SERVE_TEST_NONCE']}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environ = (entry / "environ").read_bytes()
                if nonce in environ.split(b"\0"):
                    yield int(entry.name), (entry / "cmdline").read_bytes(), environ
            except OSError:
                continue


@needs_root
def test_a_stranger_reaches_nothing_of_ours(isvc):
    runtime, data = paths.runtime_dir(), paths.data_dir()
    sockets = [path for path in runtime.rglob("*") if path.is_socket()]
    assert len(sockets) >= 4
    files = [path for path in data.rglob("*") if path.is_file()]
    folders = [path for root in (data, runtime) for path in (root, *root.rglob("*")) if path.is_dir()]
    pids = [pid for pid, _, _ in our_processes()]
    assert len(pids) >= 2
    asked = {
        "sockets": [str(path) for path in sockets],
        "files": [str(path) for path in files],
        "folders": [str(path) for path in folders],
        "pids": pids,
    }
    got = json.loads(as_stranger(TRIES, json.dumps(asked)))
    assert len(got) == 2 * (len(sockets) + len(files) + len(pids)) + 3 * len(folders)
    assert [entry for entry in got if entry[2] != "refused"] == []
    assert isvc.status.ready
    with isvc.endpoint as endpoint:
        endpoint.predict(ROWS)


@needs_root
def test_the_gateways_port_alone_is_of_no_use(isvc):
    url = urlsplit(isvc.url)
    code = f"""
for path in ({url.path + "/v1/models/private"!r}, "/", "/api/version", "/api/services"):
    for headers in ({{}}, {{"Authorization": "Bearer "}}, {{"Authorization": "Bearer 0000"}}):
        connection = http.client.HTTPConnection({url.hostname!r}, {url.port}, timeout=5)
        connection.request("GET", path, headers=headers)
        print(connection.getresponse().status)
        connection.close()
"""
    assert set(as_stranger(code).split()) <= {"401", "403", "404"}
    assert "401" in as_stranger(code).split()


@needs_root
def test_a_directory_that_a_stranger_made_before_us_is_refused(home, monkeypatch):
    (home / "run").chmod(0o1777)
    home.chmod(0o755)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(home / "run"))
    expected = paths.runtime_dir()
    assert expected.parent == home / "run"
    for trap in (
        f"os.mkdir({str(expected)!r}, 0o777)",
        f"os.symlink('/', {str(expected)!r})",
        f"open({str(expected)!r}, 'w').close()",
    ):
        expected.rmdir() if expected.is_dir() and not expected.is_symlink() else expected.unlink()
        as_stranger(f"import os; {trap}")
        with pytest.raises(errors.UnsafePath) as raised:
            Client().request("GET", "/api/version")
        assert raised.value.subject == str(expected)
        assert raised.value.hint
    assert list(our_processes()) == []
    home_of_theirs = home / "run" / "theirs"
    as_stranger(f"import os; os.mkdir({str(home_of_theirs)!r}, 0o700)")
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(home_of_theirs))
    with pytest.raises(errors.UnsafePath, match="another user"):
        paths.data_dir()


def test_nothing_secret_stands_in_a_command_line_or_an_environment(isvc):
    data = paths.data_dir()
    secrets = {(data / "token").read_bytes().strip()}
    for record in data.rglob("*.json"):
        secrets |= {value.encode() for value in nonces(json.loads(record.read_bytes()))}
    assert len(secrets) >= 2
    found = list(our_processes())
    assert len(found) >= 2
    for pid, command, environ in found:
        for secret in secrets:
            assert secret not in command, pid
            assert secret not in environ, pid
        # Names of models and services are nobody's business either.
        assert b"private" not in command


def nonces(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and ("nonce" in key or "token" in key):
                yield item
            yield from nonces(item)
    elif isinstance(value, list):
        for item in value:
            yield from nonces(item)


def test_the_token_is_no_part_of_what_is_answered_or_logged(isvc):
    token = (paths.data_dir() / "token").read_text().strip()
    url = urlsplit(isvc.url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
    connection.request("GET", f"{url.path}/v1/models/private", headers={"Authorization": f"Bearer {token}"})
    with connection.getresponse() as response:
        said = response.read().decode() + str(response.headers)
        assert response.status == 200
    connection.close()
    for path in ("/api/version", "/api/services", "/api/artifacts"):
        said += json.dumps(Client().request("GET", path))
    said += isvc.logs() + "".join(
        path.read_text(errors="replace") for path in (paths.data_dir() / "logs").rglob("*") if path.is_file()
    )
    assert token not in said
