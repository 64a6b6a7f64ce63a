"""serve() to a cluster: the object shown before anything is sent, the handle's place, and its cause when it fails."""

from __future__ import annotations

import time

import numpy as np
import pytest
import yaml
from fake_cluster.fixtures import fake, known, kserve_version, kubeconfig, needs_shared
from sklearn.linear_model import LogisticRegression

from kale_serve_lab import InferenceService, InvalidRequest, Model, serve
from kale_serve_lab.client import Client
from kale_serve_lab.errors import EndpointNotFound, InvalidConfig, KaleServeError, ModelLoadFailed

__all__ = ["fake", "known", "kserve_version", "kubeconfig", "needs_shared"]

ROWS = np.random.default_rng(0).random((20, 3))


@pytest.fixture
def target(known):
    return known


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


def test_one_notebook_serves_to_both_places_by_one_name(target, failing):
    model = Model(
        LogisticRegression().fit(ROWS, [0, 1] * 10), name="broken", signature=ROWS
    ).submit_artifact()
    here = serve(model.id, name="broken", target="local", timeout_seconds=170)
    there = serve(name="broken", serve_config=failing, target="kserve", wait=False)

    assert (here.target, there.target) == ("local", "kserve")
    assert here.endpoint.predict(ROWS[:2]).shape == (2,)
    # Of two by one name the one on this machine is meant.
    assert [InferenceService.get("broken", target=one).target for one in (None, "local", "kserve")] == [
        "local",
        "local",
        "kserve",
    ]
    assert {one.target for one in InferenceService.list()} == {"local", "kserve"}
    assert [one.target for one in InferenceService.list("kserve", "default")] == ["kserve"]
    assert InferenceService.list("kserve", "other") == ()
    there.delete()
    assert target.get("inferenceservices", "broken") is None
    assert here.status.ready
    with pytest.raises(EndpointNotFound):
        InferenceService.get("broken", target="kserve")


def test_findings_of_a_dry_run_say_what_would_go_wrong(target, failing):
    config = {**failing, "min_replicas": 3, "max_replicas": 1}
    with pytest.raises(KaleServeError) as raised:
        serve(name="broken", serve_config=config, target="kserve", dry_run=True)
    assert "max_replicas" in str(raised.value) or "min_replicas" in str(raised.value)
    unfit = {"predictor": {"container": {**failing["predictor"]["container"], "nonsense": 1}}}
    handle = serve(name="broken", serve_config=unfit, target="kserve", dry_run=True)
    errors = [one for one in handle.findings if one["severity"] == "error"]
    assert any("nonsense" in one["message"] for one in errors), handle.findings
    assert target.get("inferenceservices", "broken") is None


def test_a_name_that_is_somebody_elses_is_refused_and_left(target, failing):
    theirs = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "broken", "namespace": "default"},
        "spec": {"predictor": {"containers": [failing["predictor"]["container"]]}},
    }
    target.put(theirs)
    before = target.get("inferenceservices", "broken")["metadata"]["uid"]
    with pytest.raises(KaleServeError, match="broken") as raised:
        serve(name="broken", serve_config=failing, target="kserve", timeout_seconds=170)
    assert raised.value.hint
    found = target.get("inferenceservices", "broken")
    assert found["metadata"]["uid"] == before
    assert "kale-serve-lab/revision" not in (found["metadata"].get("annotations") or {})


def until(holds, seconds=90):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never held"
        time.sleep(0.05)
