"""`kale-serve` with a service on the cluster and one here by the same name, as a person types it."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from fake_cluster.fixtures import fake, known, kserve_version, kubeconfig, needs_shared

from kale_serve_lab.cli import main

__all__ = ["fake", "known", "kserve_version", "kubeconfig", "needs_shared"]


@pytest.fixture
def run(capsys):
    """Runs one command: (exit code, output, errors)."""

    def run(*words):
        try:
            code = main(words)
        except SystemExit as left:
            code = left.code
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def config(known, tmp_path):
    known.play("missing-image", name="broken")
    path = tmp_path / "config.json"
    container = {"name": "kserve-container", "image": "localhost/absent:1"}
    path.write_text(json.dumps({"predictor": {"container": container}}))
    return str(path)


def test_a_service_on_the_cluster_from_dry_run_to_its_end(run, config, known):
    there = ("--target", "kserve", "--namespace", "default")
    code, out, err = run("serve", "--name", "broken", "--config", config, *there, "--dry-run")
    assert code == 0, err
    assert yaml.safe_load(out)["kind"] == "InferenceService"
    assert known.get("inferenceservices", "broken") is None

    code, out, err = run("serve", "--name", "broken", "--config", config, *there, "--timeout", "170")
    assert code == 1
    assert "localhost/absent:1 cannot be pulled" in err
    code, out, _ = run("status")
    assert (code, "kserve/default" in out, "cannot be pulled" in out) == (0, True, True)
    assert "No endpoints." in run("status", "--target", "local")[1]
    code, out, _ = run("status", "broken", *there)
    assert out.startswith("broken: Failed\n")
    assert "next step" in out
    assert json.loads(run("status", "broken", "--json", *there)[1])["target"] == "kserve"

    code, out, _ = run("yaml", "broken")
    assert yaml.safe_load(out)["metadata"]["name"] == "broken"
    assert json.loads(run("yaml", "broken", "--json")[1]) == yaml.safe_load(out)
    assert "is paused" in run("pause", "broken", *there)[1]
    # It is asked for; the object is changed a moment later.
    until(lambda: stopped(known))
    assert "starts again" in run("resume", "broken", *there)[1]
    until(lambda: not stopped(known))
    assert run("delete", "broken", *there)[:2] == (0, "broken is deleted; nothing of it is left.\n")
    assert known.get("inferenceservices", "broken") is None


def test_what_is_not_there_or_no_name_is_said_and_changes_nothing(run, config, known):
    for words, said in [
        (("yaml", "broken", "--target", "kserve"), "broken"),
        (("pause", "../x", "--target", "kserve"), "cannot be the name"),
        (("delete", "broken", "--target", "local"), "broken"),
        (("status", "broken", "--namespace", "a/b"), "a/b"),
        (("logs", "broken", "--target", "kserve", "--namespace", "other"), "broken"),
        (("serve", "--target", "kserve"), "nothing to serve"),
        (("serve", "--name", "x", "--config", "/nowhere"), "cannot be read"),
        (("serve", "--name", "x", "--config", __file__), "is not JSON"),
    ]:
        code, out, err = run(*words)
        assert (code, out) == (1, ""), (words, code, out, err)
        assert said in err, (words, err)
    for words in (("yaml", "x", "--target", "moon"), ("serve", "x", "--timeout", "0"), ("pause",)):
        assert run(*words)[0] == 2
    assert known.list("inferenceservices") == []


def stopped(known):
    annotations = known.get("inferenceservices", "broken")["metadata"].get("annotations") or {}
    return annotations.get("serving.kserve.io/stop") == "true"


def until(holds, seconds=90):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never held"
        time.sleep(0.05)
