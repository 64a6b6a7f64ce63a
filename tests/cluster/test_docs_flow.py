"""With the Roles of docs/cluster.md and no other right: from a fitted model to a prediction on the cluster, and back to nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import yaml
from kserve_backend import volume
from serving_containers import Container, X, fitted

from kale_serve_lab import Endpoint, Model, errors
from kale_serve_lab.backends.kserve import settings
from kale_serve_lab.client import Client

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
ROLES = [
    one
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for one in yaml.safe_load_all(text)
    if one["kind"] in ("Role", "ClusterRole")
]
GIVEN = {"kale-serve", "kale-serve-runtimes", "kale-serve-volume"}


@pytest.fixture
def granted(fake):
    fake.deny("*", "*")
    # What every authenticated user has: system:basic-user, system:discovery, system:public-info-viewer.
    fake.allow("create", "selfsubjectaccessreviews")
    for role in ROLES:
        if role["metadata"]["name"] in GIVEN:
            for rule in role["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        fake.allow(
                            " ".join(rule["verbs"]),
                            resource,
                            group=group,
                            namespace="default" if role["kind"] == "Role" else None,
                        )


@pytest.fixture
def target(fake, granted, home, tmp_path):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
    }
    fake.put(claim)
    with volume() as mounted:
        settings.write(
            settings.Settings(
                kubeconfig=str(fake.kubeconfig(tmp_path / "config")),
                store=settings.StoreSettings("pvc", claim="models", mounted=str(mounted), prefix="kale"),
            )
        )
        yield mounted


def until(look, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def available(target):
    def look():
        found = Client().request("GET", "/api/targets")["items"]
        return any(one["name"] == "kserve" and one["available"] for one in found)

    until(look)
    return target


def test_the_whole_way_with_the_least_rights(fake, available, tmp_path):
    model = fitted()
    artifact = Model(model=model, name="iris", signature=X[:5]).submit_artifact()
    client = Client()
    asked = {"name": "iris", "model": artifact.id, "target": "kserve", "config": {}}
    client.request("POST", "/api/services", asked)

    live = until(lambda: fake.get("inferenceservices", "iris"))
    uri = live["spec"]["predictor"]["model"]["storageUri"]
    assert uri.startswith("pvc://models/")
    # The files that the cluster would mount are served by a real server behind the API server's proxy.
    folder = available / uri.removeprefix("pvc://models/")
    (tmp_path / "served").mkdir()
    for path in folder.iterdir():
        (tmp_path / "served" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "served" / "kale.json").write_text('{"framework": "sklearn"}')
    container = Container(tmp_path, tmp_path / "served").wait_until_open()
    try:
        fake.backs("iris-predictor", container.url)

        def ready():
            found = client.request("GET", "/api/services/iris?target=kserve")
            assert found["state"] != "Failed", found["sentence"]
            return found["state"] == "Ready"

        until(ready)
        with Endpoint("iris", target="kserve") as endpoint:
            assert endpoint.predict(X[:5]).tolist() == model.predict(X[:5]).tolist()
        client.request("DELETE", "/api/services/iris?target=kserve")
        assert fake.get("inferenceservices", "iris") is None
        with pytest.raises(errors.EndpointNotFound):
            Endpoint("iris", target="kserve")
    finally:
        container.close()
