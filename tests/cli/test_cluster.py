"""`kale-serve cluster`: set, shown, checked and forgotten, as a person types it; wrong words change nothing."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fake_cluster.fixtures import fake, kserve_version, kubeconfig, needs_shared

from kale_serve_lab.backends.kserve import settings as kept
from kale_serve_lab.cli import main

__all__ = ["fake", "kserve_version", "kubeconfig", "needs_shared"]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data directory of the test's own, and nothing of the machine's own clusters."""
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "KALE_SERVE_CONTEXT",
        "KALE_SERVE_KUBECONFIG",
        "KALE_SERVE_NAMESPACE",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "data"


@pytest.fixture
def run(capsys):
    """Runs one command: (exit code, output, errors)."""

    def run(*words):
        try:
            code = main(["cluster", *words])
        except SystemExit as left:
            code = left.code
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def config(tmp_path):
    """A kubeconfig of three contexts that nobody answers."""
    path = tmp_path / "config"
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("dev", "prod", "test")]
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    users = [{"name": "u", "user": {"token": "sesame-sesame"}}]
    path.write_text(
        json.dumps({"contexts": contexts, "clusters": clusters, "users": users, "current-context": "dev"})
    )
    return path


def test_as_a_program_from_nothing_to_a_cluster_and_back(config, data):
    def kale(*words):
        command = [sys.executable, "-m", "kale_serve_lab.cli", "cluster", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
        )

    nothing = kale("show")
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert "No cluster is set" in nothing.stdout
    done = kale("set", "--kubeconfig", str(config), "--context", "prod", "--default")
    assert (done.returncode, done.stderr) == (0, "")
    assert "context prod" in done.stdout
    checked = kale("check")
    assert checked.returncode == 1
    assert "refused" in checked.stdout
    assert "Serving would fail" in checked.stderr
    assert "sesame" not in checked.stdout + checked.stderr
    assert kale("unset").returncode == 0
    assert not (data / "cluster.json").exists()


def test_what_is_set_is_kept_and_added_to(run, config, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("set", "--kubeconfig", "config", "--context", "prod", "--namespace", "team")[0] == 0
    store = (
        "--store",
        "s3://models/a",
        "--endpoint",
        "https://minio:9000",
        "--region",
        "eu",
        "--secret",
        "s3-key",
    )
    assert run("set", *store, "--service-account", "models")[0] == 0
    assert run("set", "--image", "registry.example.org/kale:1", "--default")[0] == 0
    found = kept.read()
    assert (found.kubeconfig, found.context, found.namespace) == (str(config), "prod", "team")
    assert (found.store.url, found.store.endpoint, found.store.secret) == (
        "s3://models/a",
        "https://minio:9000",
        "s3-key",
    )
    assert (found.store.service_account, found.image, found.default) == (
        "models",
        "registry.example.org/kale:1",
        True,
    )
    assert stat.S_IMODE((data / "cluster.json").stat().st_mode) == 0o600
    _, out, _ = run("show")
    for text in (
        "prod",
        "team",
        "s3://models/a",
        "s3-key",
        "serve() goes there",
        "registry.example.org/kale:1",
    ):
        assert text in out
    assert json.loads(run("show", "--json")[1])["settings"] == found.to_json()
    assert run("set", "--no-default", "--namespace", "", "--endpoint", "")[0] == 0
    found = kept.read()
    assert (found.default, found.namespace, found.store.endpoint, found.store.secret) == (
        False,
        None,
        None,
        "s3-key",
    )
    assert run("set", "--store", "pvc://models/sub/folder", "--mounted", "vol")[0] == 0
    assert kept.read().store == kept.StoreSettings(
        "pvc", claim="models", prefix="sub/folder", mounted=str(tmp_path / "vol")
    )
    assert "Nothing has changed" in run("set", "--context", "prod")[1]
    assert run("set", "--store", "")[0] == 0
    assert kept.read().store is None


BAD = {
    "unknown context": (["--context", "nowhere"], "dev, prod, test"),
    "no kubeconfig": (["--kubeconfig", "/nowhere/config", "--context", "x"], "/nowhere/config is not there"),
    "both": (["--in-cluster", "--context", "dev"], "cannot both"),
    "no pod": (["--in-cluster"], "no pod"),
    "namespace": (["--namespace", "Team A"], "namespace"),
    "store kind": (["--store", "gs://models"], "s3://bucket/prefix"),
    "bucket": (["--store", "s3://UPPER"], "store.url"),
    "password": (
        ["--store", "s3://models", "--endpoint", "https://me:sesame@minio"],
        "credentials come from",
    ),
    "claim without mount": (["--store", "pvc://claim"], "store.mounted"),
    "secret's value": (["--store", "s3://models", "--secret", "sesame/sesame=="], "store.secret"),
    "address": (["--address", "anywhere"], "in-cluster, external or api-server"),
    "version": (["--kserve-version", "newest"], "kserve_version"),
    "issuer": (["--issuer", "dex"], "issuer"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_wrong_words_are_said_and_change_nothing(what, run, config, data):
    assert run("set", "--kubeconfig", str(config), "--context", "dev", "--image", "kept:1")[0] == 0
    before = (data / "cluster.json").read_bytes()
    words, said = BAD[what]
    code, out, err = run("set", *words)
    assert code == 1
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert (data / "cluster.json").read_bytes() == before
    assert [one.name for one in data.iterdir()] == ["cluster.json"]


def test_a_store_option_without_a_store_is_said(run, config):
    assert run("set", "--kubeconfig", str(config), "--context", "dev")[0] == 0
    code, _, err = run("set", "--secret", "a")
    assert code == 1
    assert "--secret belongs to a store" in err


def test_a_damaged_file_is_not_written_over(run, config, data):
    data.mkdir(mode=0o700)
    (data / "cluster.json").write_text('{"context": "prod", "namespce": "x"}')
    for words in (["set", "--kubeconfig", str(config)], ["show"], ["check"]):
        code, _, err = run(*words)
        assert code == 1
        assert "namespce" in err
        assert "namespace" in err
    assert "namespce" in (data / "cluster.json").read_text()
    assert run("unset")[0] == 0
    assert run("unset")[1] == "No cluster was set.\n"


def test_the_shells_kubeconfig_is_written_down(run, config, monkeypatch):
    """The daemon may be started by another shell."""
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert run("set", "--context", "test")[0] == 0
    assert kept.read().kubeconfig == str(config)


def test_without_a_context_those_that_there_are_are_named(run, config, tmp_path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(config.read_text())
    code, _, err = run("set", "--namespace", "a")
    assert code == 1
    assert "dev, prod, test" in err
    assert kept.read() is None
    code, _, err = run("check")
    assert code == 1
    assert "No cluster is set" in err


@pytest.fixture
def connected(run, fake, kubeconfig):
    fake.put(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    # A volume that is mounted for itself, as a claim's is.
    code, _, err = run(
        "set",
        "--kubeconfig",
        str(kubeconfig),
        "--context",
        "fake",
        "--store",
        "pvc://models/x",
        "--mounted",
        "/dev/shm",
    )
    assert code == 0, err
    return fake


def test_a_check_says_each_thing_that_serving_needs(run, connected):
    code, out, err = run("check")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("ok     Kubernetes v1.34")
    assert re.match(r"ok     KServe 0\.20", lines[1])
    for right in (
        "create inferenceservices",
        "get pods/log",
        "create services/proxy",
        "get persistentvolumeclaims",
    ):
        assert f"ok     You may {right}." in lines
    assert any("/dev/shm" in line for line in lines)
    assert lines[-1] == "Services can be served there."
    found = json.loads(run("check", "--json")[1])
    assert found["ok"] is True
    assert {one["state"] for one in found["checks"]} == {"ok"}


def test_a_check_with_a_missing_right_says_it_and_whether_serving_fails(run, connected):
    connected.deny("get", "pods/log")
    code, out, _ = run("check")
    assert code == 0
    assert "lacks  You may not get pods/log" in out
    connected.deny("patch", "inferenceservices")
    code, out, err = run("check")
    assert code == 1
    assert "FAILS  You may not patch inferenceservices" in out
    assert "Serving would fail: You may not patch" in err
    code, out, err = run("check", "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False
    assert json.loads(err)["error"]["code"] == "PreflightFailed"


def test_a_check_where_asking_is_forbidden_goes_on(run, connected):
    connected.script.fail("create", "selfsubjectaccessreviews", status=403, times=100)
    code, out, _ = run("check")
    assert code == 0
    assert "?      The cluster does not say whether you may get inferenceservices" in out


@pytest.mark.parametrize("how", ["expired", "refused", "no kserve", "no store", "no claim"])
def test_a_check_that_fails_says_why_and_leaves_with_1(how, run, connected, kubeconfig):
    said = {
        "expired": "credentials",
        "refused": "refused",
        "no kserve": "KServe is not installed",
        "no store": "No store is set",
        "no claim": "no persistentvolumeclaim models",
    }[how]
    if how == "expired":
        connected.access.expire(connected.token)
    elif how == "refused":
        connected.refuse()
    elif how == "no kserve":
        connected.script.fail("get", "/openapi", status=404, times=100)
    elif how == "no store":
        assert run("set", "--store", "")[0] == 0
    else:
        connected.remove("persistentvolumeclaims", "models")
        connected.wait_for(lambda: connected.get("persistentvolumeclaims", "models") is None)
    code, out, err = run("check")
    assert said.lower() in " ".join(out.lower().split())
    assert connected.token not in out + err
    assert code == 1
