"""`kale-serve` as it is used: tables for people, JSON for programs, clear words and exit codes for both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kale_serve_lab.client import Client


@pytest.fixture
def run(home):
    def run(*arguments, **options):
        command = [sys.executable, "-m", "kale_serve_lab.cli", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=90,
            cwd=Path(__file__).parents[2],
            check=False,
            **options,
        )

    return run


def test_the_daemon_is_seen_listed_from_and_stopped(run, home):
    idle = run("status")
    assert (idle.returncode, idle.stderr) == (0, "")
    assert "not running" in idle.stdout
    assert run("list").stdout == "No artifacts.\n"
    model = home / "m"
    model.mkdir()
    (model / "model.joblib").write_bytes(b"1" * 2000)
    client = Client()
    for version in ("1.0.0", "1.1.0"):
        (model / "version").write_text(version)
        body = {"name": "iris", "version": version, "artifact_uri": str(model), "framework": "sklearn"}
        client.request("POST", "/api/artifacts", body)
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "TYPE", "NAME", "VERSION", "FRAMEWORK", "SIZE", "CREATED"]
    assert lines[1].split()[:5] == ["2", "kale.Model", "iris", "1.1.0", "sklearn"]
    assert "1 of 2" in run("list", "--limit", "1").stdout
    found = json.loads(run("list", "--json", "--search", "1.1").stdout)
    assert (found["total"], found["items"][0]["version"]) == (1, "1.1.0")
    status = json.loads(run("status", "--json").stdout)
    assert (status["daemon"]["protocol"], status["services"]) == (1, [])
    assert "No endpoints." in run("status").stdout
    assert run("stop").stdout == "The daemon is stopped.\n"
    assert "not running" in run("stop").stdout


def test_what_cannot_be_done_is_said_on_stderr_with_exit_code_1(run, home):
    (home / "broken.json").write_text("{")
    (home / "rows.json").write_text("[[1.0]]")
    for arguments, words in [
        (["logs", "none"], "no endpoint none"),
        (["stop", "none"], "no endpoint none"),
        (["predict", "none", str(home / "rows.json")], "none"),
        (["predict", "none", str(home / "broken.json")], "is not JSON"),
        (["predict", "none", str(home / "nowhere")], "cannot be read"),
        (["logs", "../x"], "cannot be the name"),
    ]:
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), (arguments, done)
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    told = json.loads(run("logs", "none", "--json").stderr)
    assert told["error"]["code"] == "EndpointNotFound"


def test_runtimes_and_environments_are_listed_and_freed(run, home):
    table = run("runtimes")
    assert table.returncode == 0
    rows = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert rows["NAME"].split() == ["NAME", "SERVES", "HERE"]
    assert "sklearn xgboost lightgbm" in rows["kale-built-in"] and rows["kale-built-in"].endswith("yes")
    assert rows["kserve-mlserver"].endswith("makes 600.0 MB first")
    named = {one["name"] for one in json.loads(run("runtimes", "--json").stdout)["items"]}
    assert named == rows.keys() - {"NAME"}
    (home / "data" / "runtimes").mkdir()
    (home / "data" / "runtimes" / "b.yaml").write_text("a: [")
    assert "b.yaml, line 1, is no YAML" in run("runtimes").stderr
    assert run("environments").stdout == "No environments.\n"
    for name in ("tiny-1", "tiny-2"):
        (home / "environments" / name).mkdir()
        (home / "environments" / name / "half").write_bytes(b"1" * 5000)
    lines = run("environments").stdout.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "MADE", "USED", "BY", "FOR"]
    # The size is that on the disk, whose blocks differ.
    assert lines[1].split()[2] == "KB" and "not whole" in lines[1]
    assert str(home / "environments") in lines[3]
    assert run("environments", "--remove", "tiny-1").stdout == "tiny-1 is removed.\n"
    gone = run("environments", "--remove", "tiny-1")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "no environment 'tiny-1'" in gone.stderr
    assert run("environments", "--prune").stdout.startswith("1 removed, ")
    assert json.loads(run("environments", "--json").stdout) == {"items": []}
    assert run("environments", "--prune").stdout == "There is none that nothing uses.\n"
    assert run("environments", "--prune", "--remove", "x").returncode == 2


def test_a_wrong_command_line_is_told_with_exit_code_2(run):
    for arguments in ([], ["fly"], ["list", "--limit", "0"], ["stop", "x", "--all"], ["predict", "x"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert "usage: kale-serve" in done.stderr
