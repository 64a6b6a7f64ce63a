"""`Endpoint`, the gateway and the daemon's relay, for a service of a cluster that others have made."""

from __future__ import annotations

import http.client
import json

import joblib
import numpy as np
import pytest
from serving_containers import Container, X, fitted

from kale_serve_lab import Endpoint, errors
from kale_serve_lab.backends.kserve import settings
from kale_serve_lab.client import Client

MODEL = fitted()


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    joblib.dump(MODEL, folder / "model.joblib")
    (folder / "kale.json").write_text(
        json.dumps({"framework": "sklearn", "class_name": "LogisticRegression"})
    )
    running = Container(tmp_path_factory.mktemp("log"), folder)
    yield running.wait_until_open()
    running.close()


@pytest.fixture
def service(fake, home, tmp_path, container):
    """`iris` in the namespace `default`, seen by a daemon that goes there by the kubeconfig."""
    settings.write(settings.Settings(kubeconfig=str(fake.kubeconfig(tmp_path / "config"))))
    fake.put(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "iris", "namespace": "default"},
            "spec": {
                "predictor": {
                    "model": {
                        "modelFormat": {"name": "sklearn"},
                        "protocolVersion": "v2",
                        "storageUri": "pvc://models/iris",
                    }
                }
            },
            "status": {
                "url": "http://iris-default.example.com",
                "address": {"url": "http://iris-predictor.default.svc.cluster.local"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )
    fake.backs("iris-predictor", container.url)

    def look():
        return any(one["target"] == "kserve" for one in Client().request("GET", "/api/services")["items"])

    seen(look)


def seen(look, seconds=60):
    import time

    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_others_made_is_predicted_with_by_its_name(fake, service):
    expected = MODEL.predict(X[:5]).tolist()
    with Endpoint("iris", target="kserve") as endpoint:
        assert endpoint.predict(X[:5]).tolist() == expected
        # It takes binary, which its own server has said.
        assert endpoint._service()[0].binary is True
        assert endpoint.ready() is True
        assert (endpoint.target, endpoint.namespace) == ("kserve", "default")
        big = np.tile(X, (100, 1))
        assert endpoint.predict(big).tolist() == MODEL.predict(big).tolist()
        with pytest.raises(errors.EndpointNotFound, match="no explainer"):
            endpoint.explain(X[:1])
    # Without a target it is meant too: nothing of this machine has its name.
    with Endpoint("iris") as endpoint:
        assert endpoint.predict(X[:5]).tolist() == expected
    with pytest.raises(errors.EndpointNotFound):
        Endpoint("iris", target="local")
    found = Client().request("GET", "/api/services/iris?target=kserve")
    assert found["base"] == "/serving/default/iris"
    ways = {one["kind"]: one for one in found["addresses"]}
    assert ways["api-server"]["works"] is True
    assert ways["external"]["works"] is False
    assert "example" in ways["external"]["why"]


def test_the_gateway_takes_it_as_any_other(service, home):
    about = Client().request("GET", "/api/version")
    token = (home / "data" / "token").read_text()
    connection = http.client.HTTPConnection(about["gateway"].removeprefix("http://"), timeout=60)
    for query in ("", "?target=kserve"):
        connection.request(
            "POST",
            f"/serving/default/iris/v1/models/iris:predict{query}",
            json.dumps({"instances": X[:3].tolist()}),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (
            200,
            {"predictions": MODEL.predict(X[:3]).tolist()},
        )
    connection.close()
