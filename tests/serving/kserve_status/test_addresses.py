"""Where a service may be reached, by its object."""

from __future__ import annotations

from typing import Any

import pytest

from kale_serve_lab.serving.kserve.addresses import addresses, entry_service, why_not
from tests.serving.kserve_status.playing import last


def found(*, transformer: bool = False, **status: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"predictor": {}}
    if transformer:
        spec["transformer"] = {}
    return {"metadata": {"name": "iris", "namespace": "team"}, "spec": spec, "status": status}


def test_by_a_recording() -> None:
    seen = last("transformer")
    assert seen.object is not None
    ways = {way.kind: way for way in addresses(seen.object)}
    assert ways["in-cluster"].url == "http://transformer-transformer.default.svc.cluster.local"
    assert ways["external"].works is False
    assert "example domain" in str(ways["external"].why)
    assert (
        ways["api-server"].url == "/api/v1/namespaces/default/services/http:transformer-transformer:80/proxy"
    )


def test_order_by_where_we_are_and_by_the_settings() -> None:
    one = found(
        url="https://iris.team.test/serving/team/iris", address={"url": "http://iris-predictor.team.svc:8080"}
    )
    assert [way.kind for way in addresses(one)] == ["external", "in-cluster", "api-server"]
    assert [way.kind for way in addresses(one, in_cluster=True)] == ["in-cluster", "external", "api-server"]
    assert [way.kind for way in addresses(one, preferred="api-server")][0] == "api-server"
    assert addresses(one)[0].url == "https://iris.team.test/serving/team/iris"
    assert addresses(one)[2].url.endswith("http:iris-predictor:8080/proxy")


def test_without_a_status_the_names_that_kserve_gives() -> None:
    assert [way.url for way in addresses(found(transformer=True))] == [
        "http://iris-transformer.team.svc.cluster.local",
        "/api/v1/namespaces/team/services/http:iris-transformer:80/proxy",
    ]
    assert entry_service(found()) == "iris-predictor"
    assert addresses({}) == ()


def test_the_clusters_own_name_is_no_external_address() -> None:
    ways = addresses(found(url="http://iris-predictor.team.svc.cluster.local"))
    assert "external" not in [way.kind for way in ways]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
        "http://localhost:8080/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://user:word@iris.test/",
        "ftp://iris.test/",
        "http://",
        "http://iris.test:99999999/",
        "http://[",
        "http://iris-team.example.com",
    ],
)
def test_refused_with_the_reason(url: str) -> None:
    assert why_not(url)
    (way,) = [way for way in addresses(found(address={"url": url})) if way.kind == "in-cluster"]
    assert way.works is False
    assert way.why


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:8080", "https://iris.kubeflow.test/x", "http://iris.example.com.test"]
)
def test_may_be_tried(url: str) -> None:
    assert why_not(url) is None
