"""The daemon is found, started once, replaced when it is older, and its failure is told in one sentence."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kale_serve_lab.client import Client, start, version
from kale_serve_lab.errors import DaemonMissingDependency, DaemonUnavailable


def fake_interpreter(home: Path, script: str) -> None:
    """Notes an interpreter that is a shell script."""
    data = home / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    python = home / "python"
    python.write_text("#!/bin/sh\n" + script)
    python.chmod(0o755)
    (data / "interpreter").write_text(f"{python}\n")


def test_versions_compare_as_they_are_meant():
    order = ["0", "0.1.0", "0.9.2", "0.10.0a1", "0.10.0rc1", "0.10.0", "1.0"]
    for older, newer in zip(order, order[1:]):
        assert version.is_older(older, newer)
        assert not version.is_older(newer, older)
    assert not version.is_older("1.0", "1.0.0")


def test_without_a_daemon_a_client_that_may_not_start_one_says_so(home):
    with pytest.raises(DaemonUnavailable, match="not running"):
        Client(start=False).request("GET", "/api/version")


def test_a_daemon_that_dies_at_once_is_told_with_the_tail_of_its_log(home):
    fake_interpreter(home, "echo 'a first line' >&2; echo 'Segmentation fault' >&2; exit 139\n")
    with pytest.raises(
        DaemonUnavailable, match="could not start: it ended before it was ready: Segmentation fault"
    ) as raised:
        Client().request("GET", "/api/version")
    assert raised.value.details["log_tail"] == ["a first line", "Segmentation fault"]


def test_a_daemon_that_says_why_is_quoted(home):
    fake_interpreter(
        home,
        """
for argument; do fd=$argument; done
echo '{"error": {"code": "DaemonMissingDependency", "message": "It needs ml-metadata.", "hint": "Install it."}}' > /dev/fd/$fd
""",
    )
    with pytest.raises(DaemonMissingDependency, match="It needs ml-metadata"):
        Client().request("GET", "/api/version")


def test_an_interpreter_that_cannot_be_run_is_told(home):
    fake_interpreter(home, "")
    (home / "python").write_text("#!/nowhere/python\n")
    with pytest.raises(DaemonUnavailable, match="could not start"):
        Client().request("GET", "/api/version")


def test_an_interpreter_that_is_gone_is_passed_over(home):
    (home / "data").mkdir(mode=0o700)
    (home / "data" / "interpreter").write_text("/nowhere/python\n")
    assert start.interpreter() == Path(sys.executable)


def test_ten_callers_at_once_share_one_daemon_which_is_nobodys_child(home):
    answers, errors = [], []

    def call():
        try:
            answers.append(Client().request("GET", "/api/version"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({answer["pid"] for answer in answers}) == 1
    pid = answers[0]["pid"]
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    assert int(parent) != os.getpid()
    assert (Path(f"/proc/{pid}/cwd")).resolve() == (home / "data").resolve()


def test_an_older_daemon_is_replaced_and_a_newer_one_kept(home, monkeypatch):
    first = start.ensure_daemon()
    assert start.ensure_daemon()["pid"] == first["pid"]
    monkeypatch.setattr(start, "own_version", lambda: "0")
    assert start.ensure_daemon()["pid"] == first["pid"]
    # What an upgrade of the package in this environment looks like: both daemons below are started by it.
    calls = iter(["99.0", "99.0"])
    monkeypatch.setattr(start, "own_version", lambda: next(calls, "0"))
    assert start.ensure_daemon()["pid"] != first["pid"]
    assert not start._alive(first["pid"])


def test_a_daemon_that_was_killed_is_started_again_by_the_next_call(home):
    client = Client()
    pid = client.request("GET", "/api/version")["pid"]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert client.request("GET", "/api/services")["items"] == []
