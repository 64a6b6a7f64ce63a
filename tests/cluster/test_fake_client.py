"""Kubernetes' own client takes the fake for an API server: by the fixtures that others use, over TLS."""

from __future__ import annotations

import contextlib

import pytest
from kubernetes import client, config, watch

GROUP = ("serving.kserve.io", "v1beta1")


@pytest.fixture
def api(cluster):
    made = config.new_client_from_config(str(cluster.kubeconfig))
    with contextlib.closing(made):
        yield made


def isvc(name):
    model = {
        "modelFormat": {"name": "sklearn"},
        "storageUri": "pvc://models/skl",
        "runtime": "kserve-sklearnserver",
    }
    return {
        "apiVersion": "/".join(GROUP),
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"model": model}},
    }


@pytest.mark.needs_fake
def test_a_service_is_made_watched_and_deleted(cluster, api):
    custom = client.CustomObjectsApi(api)
    place = (*GROUP, cluster.namespace, "inferenceservices")
    custom.create_namespaced_custom_object(*place, isvc("iris"), field_manager="test")
    seen = watch.Watch()
    for event in seen.stream(custom.list_namespaced_custom_object, *place, timeout_seconds=60):
        conditions = (event["object"].get("status") or {}).get("conditions") or ()
        if any((c["type"], c["status"]) == ("Ready", "True") for c in conditions):
            seen.stop()
    core = client.CoreV1Api(api)
    label = "serving.kserve.io/inferenceservice=iris"
    [pod] = core.list_namespaced_pod(cluster.namespace, label_selector=label).items
    assert pod.status.phase == "Running"
    reasons = {e.reason for e in core.list_namespaced_event(cluster.namespace).items}
    assert {"Scheduled", "Started", "InferenceServiceReady"} <= reasons
    assert core.read_namespaced_service("iris-predictor", cluster.namespace).spec.ports[0].port == 80
    custom.delete_namespaced_custom_object(*place, "iris")
    cluster.fake.controller.settle()
    with pytest.raises(client.ApiException) as gone:
        custom.get_namespaced_custom_object(*place, "iris")
    assert gone.value.status == 404
    assert core.list_namespaced_pod(cluster.namespace, label_selector=label).items == []


def test_its_typed_kinds_are_read_back(cluster, api):
    core = client.CoreV1Api(api)
    core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "s3"}, "stringData": {"key": "value"}}
    )
    assert core.read_namespaced_secret("s3", cluster.namespace).data == {"key": "dmFsdWU="}
    core.patch_namespaced_secret("s3", cluster.namespace, {"metadata": {"labels": {"a": "b"}}})
    [found] = core.list_namespaced_secret(cluster.namespace, label_selector="a=b").items
    assert found.metadata.name == "s3"
    core.delete_namespaced_secret("s3", cluster.namespace)
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "subresource": "log"}}}
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert answer.status.allowed


@pytest.mark.needs_fake
def test_an_expired_token_is_told(cluster, api):
    core = client.CoreV1Api(api)
    cluster.fake.access.expire_all(cluster.fake.user)
    with pytest.raises(client.ApiException) as refused:
        core.list_namespaced_pod(cluster.namespace)
    assert refused.value.status == 401


@pytest.mark.parametrize("kserve_version", ["0.15", "0.17"])
def test_another_version_is_served(fake, kserve_version):
    assert fake.version == kserve_version
    names = fake.crds.schema(next(r for r in fake.crds._schemas if r.plural == "inferenceservices"))
    assert "canary" not in names["properties"]["spec"]["properties"]
