"""serve() to a cluster: the object shown before anything is sent, the handle's place, and its cause when it fails."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_cluster.fixtures import fake, kserve_version, kubeconfig, needs_shared
from sklearn.linear_model import LogisticRegression

from kale_serve_lab import InvalidRequest, Model, serve
from kale_serve_lab.backends.kserve import settings
from kale_serve_lab.client import Client

__all__ = ["fake", "kserve_version", "kubeconfig", "needs_shared"]

sys.path.append(str(Path(__file__).parents[1] / "cluster"))
ROWS = np.random.default_rng(0).random((20, 3))


@pytest.fixture
def target(fake, kubeconfig, home, tmp_path):
    from kserve_backend import volume

    fake.put(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }
    )
    with volume() as mounted:
        store = settings.StoreSettings("pvc", claim="models", mounted=str(mounted), prefix="kale")
        settings.write(settings.Settings(kubeconfig=str(kubeconfig), store=store))
        until = time.monotonic() + 90
        while not any(
            one["name"] == "kserve" and one["available"]
            for one in Client().request("GET", "/api/targets")["items"]
        ):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield fake


def test_a_dry_run_shows_the_object_and_sends_nothing(target):
    model = Model(LogisticRegression().fit(ROWS, [0, 1] * 10), name="iris", signature=ROWS)
    handle = serve(model, target="kserve", dry_run=True)

    assert (handle.target, handle.namespace) == ("kserve", "default")
    assert handle.object is not None
    assert handle.object["kind"] == "InferenceService"
    assert yaml.safe_load(handle.to_yaml()) == handle.object
    assert not [one for one in handle.findings if one["severity"] == "error"]
    assert "kserve" in handle._repr_html_()
    assert [one["name"] for one in Client().request("GET", "/api/services")["items"]] == []


def test_a_dry_run_here_has_no_object(home):
    model = Model(LogisticRegression().fit(ROWS, [0, 1] * 10), name="iris", signature=ROWS)
    handle = serve(model, target="local", dry_run=True)
    assert (handle.target, handle.object) == ("local", None)
    with pytest.raises(InvalidRequest, match="no Kubernetes object"):
        handle.to_yaml()
    assert Client().request("GET", "/api/services")["items"] == []
