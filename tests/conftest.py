"""What every test shares: a private home, and the audit that nothing of it is left running."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import secrets
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kale_serve_lab.artifacts import dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

# `import peers` in any test: pytest's importlib mode leaves sys.path alone, on which the folders' conftests would shadow each other.
for _name, _file in (("peers", "peers.py"), ("fake_cluster", "cluster/fake/__init__.py")):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).parent / _file)
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])

# Only a conftest at the top may name plugins: the fixtures of tests/jupyter.
pytest_plugins = ["pytest_jupyter.jupyter_server"]

NONCE = "KALE_SERVE_TEST_NONCE"


def processes_with(nonce: str) -> dict[int, str]:
    """Pids and command lines of all other processes whose environment carries the nonce."""
    found: dict[int, str] = {}
    needle = f"{NONCE}={nonce}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def stop_daemon(runtime: Path) -> None:
    """Ask a daemon below this runtime directory to stop with all its endpoints; it may not be there."""
    for path in runtime.glob("kale-serve-*/daemon.sock"):
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.sock.connect(str(path))
            connection.request(
                "POST", "/api/stop", b'{"services": true}', {"Content-Type": "application/json"}
            )
            connection.getresponse().read()
        connection.close()


def wait_until_none_with(nonce: str, seconds: float) -> dict[int, str]:
    """Wait until no process carries the nonce, also of those that only now start; those that are left after the time."""
    deadline = time.monotonic() + seconds
    while (left := processes_with(nonce)) and (remaining := deadline - time.monotonic()) > 0:
        wait_for_exit(list(left), remaining)
    return left


def wait_for_exit(pids: list[int], seconds: float) -> None:
    """Wait until all these processes have ended, or the time is over."""
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds.append(os.pidfd_open(pid))
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    left = set(fds)
    while left:
        ready = poller.poll(seconds * 1000)
        if not ready:
            break
        for fd, _ in ready:
            poller.unregister(fd)
            left.discard(fd)
    for fd in fds:
        os.close(fd)


@pytest.fixture(autouse=True)
def own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test has made is not found by the next one, as it would be in one notebook."""
    monkeypatch.setattr(dataset, "_made", [])


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short private directory as data and runtime home; afterwards no process of the test may be left."""
    with private_home(monkeypatch) as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """Like `home`, for all tests of a module: one daemon, whose interpreters stay parked."""
    with pytest.MonkeyPatch.context() as patch, private_home(patch) as folder:
        yield folder


@contextlib.contextmanager
def private_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sets both environment variables and a nonce, and stops what runs there at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ksl-", dir="/tmp"))
    (folder / "run").mkdir(mode=0o700)
    nonce = secrets.token_hex(8)
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    if "KALE_SERVE_ENVIRONMENTS_DIR" not in os.environ:
        monkeypatch.setenv("KALE_SERVE_ENVIRONMENTS_DIR", str(folder / "environments"))
    monkeypatch.setenv(NONCE, nonce)
    yield folder
    stop_daemon(folder / "run")
    left = wait_until_none_with(nonce, 30)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes left behind: {left}"
