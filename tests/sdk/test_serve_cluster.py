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

from kale_serve_lab import InferenceService, InvalidRequest, Model, serve
from kale_serve_lab.backends.kserve import settings
from kale_serve_lab.client import Client
from kale_serve_lab.errors import InvalidConfig, KaleServeError, ModelLoadFailed

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


@pytest.fixture
def failing(target):
    """The container's image is nowhere: what the target's controller plays for it ends as `missing-image`."""
    target.play("missing-image", name="broken")
    return {"predictor": {"container": {"name": "kserve-container", "image": "localhost/absent:1"}}}


def test_a_failure_ends_the_waiting_at_once_with_its_cause(target, failing):
    begun = time.monotonic()
    with pytest.raises(ModelLoadFailed, match="localhost/absent:1 cannot be pulled") as raised:
        serve(name="broken", serve_config=failing, target="kserve", timeout_seconds=170)
    assert time.monotonic() - begun < 150
    assert raised.value.subject == "broken"
    assert raised.value.hint
    found = InferenceService.get("broken", target="kserve")
    assert (found.status.state, found.status.ready) == ("Failed", False)
    assert "What the cluster tells" in found._repr_html_()
    found.delete()
    assert target.get("inferenceservices", "broken") is None


def test_it_is_paused_resumed_and_its_edits_by_others_are_shown_and_taken_back(target, failing):
    config = {**failing, "min_replicas": 1, "max_replicas": 3}
    handle = serve(name="broken", serve_config=config, target="kserve", wait=False)
    until(lambda: handle.status.state == "Failed")
    assert yaml.safe_load(handle.to_yaml()) == handle.object

    handle.pause()
    until(lambda: "is paused" in handle.status.sentence)
    with pytest.raises(KaleServeError, match="paused"):
        handle.wait(60)
    handle.resume()
    until(lambda: handle.status.state == "Failed")

    target.edit("inferenceservices", "broken", {"spec": {"predictor": {"minReplicas": 2}}})
    until(lambda: "minReplicas" in handle.refresh()._repr_html_())
    assert "Changed by others" in handle._repr_html_()
    taken = serve(name="broken", serve_config=config, target="kserve", wait=False, overwrite=True)
    until(lambda: "Changed by others" not in taken.refresh()._repr_html_())
    assert target.get("inferenceservices", "broken")["spec"]["predictor"]["minReplicas"] == 1
    target.refuse()
    until(lambda: "does not answer" in taken.refresh()._repr_html_())
    target.resume()
    until(lambda: "does not answer" not in taken.refresh()._repr_html_())
    taken.delete()


def test_a_notebooks_pod_defaults_are_of_a_cluster_only(home):
    with pytest.raises(InvalidConfig, match="only a cluster has"):
        serve("iris:1", target="local", propagate_configurations=True)


def until(holds, seconds=90):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never held"
        time.sleep(0.05)
