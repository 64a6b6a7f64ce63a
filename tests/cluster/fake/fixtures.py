"""Fixtures of the fake cluster; a conftest takes them by `from fake_cluster.fixtures import *`."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from . import real
from .cluster import FakeCluster
from .crds import SHARED

__all__ = ["cluster", "fake", "kserve_version", "kubeconfig", "known", "needs_shared"]


def need_shared():
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the shared data of KServe is not there; KALE_SERVE_SHARED says where it is")
        pytest.skip("the shared data of KServe is not there; KALE_SERVE_SHARED says where it is")


@pytest.fixture(scope="session")
def needs_shared():
    need_shared()


@pytest.fixture
def kserve_version():
    return "0.20"


@pytest.fixture
def fake(kserve_version, needs_shared):
    with FakeCluster(kserve_version, tls=True, namespaces=("default", "other")) as running:
        yield running


@pytest.fixture
def kubeconfig(fake, tmp_path):
    return fake.kubeconfig(tmp_path / "kubeconfig")


@dataclasses.dataclass(frozen=True)
class Target:
    """A cluster to test on; `fake` is None where it is a real one."""

    kubeconfig: Path
    namespace: str
    fake: FakeCluster | None


@pytest.fixture
def cluster(request):
    """The fake, or a real cluster in a namespace that is made for the test and removed after it."""
    path = real.kubeconfig()
    if path is None:
        fake = request.getfixturevalue("fake")
        yield Target(request.getfixturevalue("kubeconfig"), "default", fake)
        return
    if request.node.get_closest_marker("needs_fake"):
        pytest.skip("it scripts failures, which a real cluster does not do on request")
    if lacks := real.lacks(path):
        pytest.skip(lacks)
    with real.namespace(path, real.store()[1]) as namespace:
        yield Target(path, namespace, None)


@pytest.fixture
def known(fake, kubeconfig, home):
    """The fake, as the cluster that this home's daemon knows, with a claim whose volume is mounted here."""
    from kale_serve_lab.backends.kserve import settings
    from kale_serve_lab.client import Client

    fake.put(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }
    )
    # A volume is a file system of its own, which the machine's shared memory is.
    mounted = tempfile.mkdtemp(prefix="ksl-", dir="/dev/shm")
    try:
        store = settings.StoreSettings("pvc", claim="models", mounted=mounted, prefix="kale")
        settings.write(settings.Settings(kubeconfig=str(kubeconfig), store=store))
        until = time.monotonic() + 90
        while not any(
            one["name"] == "kserve" and one["available"]
            for one in Client().request("GET", "/api/targets")["items"]
        ):
            assert time.monotonic() < until, "the daemon has not found the cluster"
            time.sleep(0.05)
        yield fake
    finally:
        shutil.rmtree(mounted)
