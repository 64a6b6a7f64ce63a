"""`cluster.json`, the environment, the pod: which connection is meant, and what cannot be."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import pytest

from kale_serve_lab.backends.kserve import settings as kept
from kale_serve_lab.backends.kserve.settings import Settings, StoreSettings
from kale_serve_lab.errors import InvalidConfig

WHOLE = Settings(
    kubeconfig="/home/a/.kube/config",
    context="prod",
    namespace="team-a",
    default=True,
    store=StoreSettings("s3", url="s3://models/a/b", endpoint="https://minio:9000", region="eu", secret="s", service_account="sa", addressing="virtual"),
    image="registry.example.org/kale-serve:1",
    kserve_version="0.20",
    address="external",
    ca_file="/etc/ca.pem",
    issuer="https://dex.example.org/dex",
    audience="istio",
    token_account="default-editor",
)  # fmt: skip


def test_what_is_written_is_read_again_and_nobody_else_may_read_it(tmp_path):
    assert kept.read(tmp_path) is None
    old = os.umask(0)
    try:
        kept.write(WHOLE, tmp_path)
    finally:
        os.umask(old)
    assert kept.read(tmp_path) == WHOLE
    assert stat.S_IMODE(kept.path(tmp_path).stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["cluster.json"]
    assert kept.remove(tmp_path)
    assert not kept.remove(tmp_path)


BAD = {
    "no object": [],
    "unknown field": {"server": "https://evil"},
    "unknown store field": {"store": {"kind": "s3", "url": "s3://models/a", "key": "AKIA"}},
    "addressing": {"store": {"kind": "s3", "url": "s3://models/a", "addressing": "dns"}},
    "store kind": {"store": {"kind": "gcs"}},
    "default": {"default": "yes"},
    "namespace": {"namespace": "Team_A"},
    "namespace path": {"namespace": "../kube-system"},
    "namespace line": {"namespace": "a\nb"},
    "number": {"context": 3},
    "empty": {"context": ""},
    "relative kubeconfig": {"kubeconfig": "config"},
    "exec": {"kubeconfig": {"users": [{"user": {"exec": {"command": "sh"}}}]}},
    "address": {"address": "http://x"},
    "version": {"kserve_version": "newest"},
    "bucket": {"store": {"kind": "s3", "url": "http://bucket/x"}},
    "bucket up": {"store": {"kind": "s3", "url": "s3://bucket/../other"}},
    "no bucket": {"store": {"kind": "s3"}},
    "endpoint": {"store": {"kind": "s3", "url": "s3://models", "endpoint": "minio:9000"}},
    "claim": {"store": {"kind": "pvc", "mounted": "/mnt"}},
    "mounted": {"store": {"kind": "snapshot", "claim": "c", "mounted": "mnt"}},
    "prefix up": {"store": {"kind": "pvc", "claim": "c", "mounted": "/mnt", "prefix": "a/../.."}},
    "secret's value": {"store": {"kind": "s3", "url": "s3://models", "secret": "AKIA/xyz+=="}},
    "port": {"issuer": "https://dex:notaport/"},
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_what_cannot_be_meant_is_refused_with_the_file_and_the_field(what, tmp_path):
    kept.path(tmp_path).write_text(json.dumps(BAD[what]))
    with pytest.raises(InvalidConfig) as caught:
        kept.read(tmp_path)
    assert "cluster.json" in caught.value.message
    assert caught.value.hint
    assert json.loads(kept.path(tmp_path).read_text()) == BAD[what], "it is left as it was"


@pytest.mark.parametrize(
    "text", [b"{", b"\xff\xfe", b"[" * 100_000, b""], ids=["cut", "binary", "deep", "empty"]
)
def test_a_damaged_file_is_named(text, tmp_path):
    kept.path(tmp_path).write_bytes(text)
    with pytest.raises(InvalidConfig, match="cluster.json"):
        kept.read(tmp_path)


@pytest.mark.parametrize("field", ["url", "endpoint"])
def test_a_password_in_a_url_is_refused_and_not_repeated(field, tmp_path):
    store = {"kind": "s3", "url": "s3://models", "endpoint": "https://minio"}
    store[field] = store[field].replace("://", "://me:sesame@")
    kept.path(tmp_path).write_text(json.dumps({"store": store}))
    with pytest.raises(InvalidConfig) as caught:
        kept.read(tmp_path)
    assert "sesame" not in json.dumps(caught.value.to_json())


def test_a_write_that_cannot_be_meant_leaves_the_file_as_it_was(tmp_path):
    kept.write(WHOLE, tmp_path)
    with pytest.raises(InvalidConfig):
        kept.write(replace(WHOLE, namespace="Not One"), tmp_path)
    assert kept.read(tmp_path) == WHOLE


@pytest.fixture
def account(tmp_path):
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("t")
    return folder


def test_without_a_word_of_the_user_there_is_no_cluster(tmp_path, monkeypatch):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("apiVersion: v1")
    environ = {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / ".kube" / "config")}
    assert kept.meant(tmp_path, environ, tmp_path / "none") is None


def test_in_a_pod_its_own_account_is_meant(tmp_path, account):
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    found = kept.meant(tmp_path, environ, account)
    assert found == Settings()
    assert found.in_cluster
    assert kept.meant(tmp_path, {}, account) is None
    assert kept.meant(tmp_path, environ, tmp_path / "none") is None


def test_the_environment_comes_before_the_file_and_keeps_the_rest(tmp_path):
    kept.write(WHOLE, tmp_path)
    environ = {"KALE_SERVE_CONTEXT": "other", "KALE_SERVE_NAMESPACE": "b", "KALE_SERVE_KUBECONFIG": "/k"}
    found = kept.meant(tmp_path, environ, tmp_path)
    assert found == replace(WHOLE, context="other", namespace="b", kubeconfig="/k")
    assert kept.meant(tmp_path / "empty-not-there", {"KALE_SERVE_CONTEXT": "c"}, tmp_path) == Settings(
        context="c"
    )
    with pytest.raises(InvalidConfig, match="KALE_SERVE_"):
        kept.meant(tmp_path, {"KALE_SERVE_CONTEXT": "c", "KALE_SERVE_NAMESPACE": "A B"}, tmp_path)


def test_a_store_alone_is_for_the_pod_only(tmp_path, account):
    only_store = Settings(store=WHOLE.store)
    kept.write(only_store, tmp_path)
    assert kept.meant(tmp_path, {}, tmp_path / "none") is None
    assert kept.meant(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, account) == only_store
