"""A service behind a base path on a socket that many share, as the daemon says of those on a cluster; and explanations."""

from __future__ import annotations

import json

import pytest

from kale_serve_lab import Endpoint, errors, paths

PREDICTIONS = {"predictions": [1]}


def conversation(server, *answers):
    def script(connection):
        for raw in answers:
            if server.read(connection) is None:
                return
            connection.sendall(raw)

    return script


@pytest.fixture
def relay(scripted):
    return scripted(paths.cluster_socket())


def on_cluster(registry, **service):
    given = {
        "target": "kserve",
        "namespace": "team",
        "socket": str(paths.cluster_socket()),
        "base": "/serving/team/iris",
        "grpc_socket": None,
        "binary": False,
        "protocol": "v1",
        "protocols": ["v1"],
    }
    registry.serve("iris", **given | service)


def test_requests_go_below_the_base(registry, relay, answer):
    on_cluster(registry)
    relay.run(conversation(relay, answer(PREDICTIONS), answer({"name": "iris", "ready": True})))
    with Endpoint("iris") as endpoint:
        assert endpoint.predict([[1.0]]) == [1]
        assert endpoint.ready() is True
        assert (endpoint.target, endpoint.namespace) == ("kserve", "team")
        assert "target='kserve'" in repr(endpoint)
    heads = [head.split(" HTTP")[0] for head, _ in relay.requests]
    assert heads == [
        "POST /serving/team/iris/v1/models/iris:predict",
        "GET /serving/team/iris/v1/models/iris",
    ]


def test_a_server_that_others_chose_is_asked_what_it_takes(registry, relay, answer):
    on_cluster(registry, protocol="v2", protocols=["v2"])
    server = {"name": "triton", "version": "2", "extensions": ["binary_tensor_data"]}
    model = {"name": "iris", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}], "outputs": []}
    relay.run(conversation(relay, answer(server), answer(model)))
    with Endpoint("iris", protocol_version="v2") as endpoint:
        service = endpoint._service()[0]
        assert (service.binary, service.binary_columns) == (True, True)
        assert service.signature.inputs[0].name == "x"
    assert [head.split(" ")[1] for head, _ in relay.requests] == [
        "/serving/team/iris/v2",
        "/serving/team/iris/v2/models/iris",
    ]


def test_an_explanation_is_what_the_explainer_says(registry, relay, answer):
    on_cluster(registry)
    said = {"explanations": [{"anchor": ["petal > 2"]}]}
    missing = answer({"error": "no such path"}, "404 Not Found")
    relay.run(conversation(relay, answer(said), missing, answer(PREDICTIONS)))
    with Endpoint("iris") as endpoint:
        assert endpoint.explain([[1.0, 2.0]]) == said
        with pytest.raises(errors.EndpointNotFound, match="no explainer"):
            endpoint.explain({"instances": [[1.0]]})
        assert endpoint.predict([[1.0]]) == [1]
    (first, body), *_ = relay.requests
    assert first.startswith("POST /serving/team/iris/v1/models/iris:explain HTTP/1.1\r\n")
    assert json.loads(body) == {"instances": [[1.0, 2.0]]}
    assert relay.requests[2][0].startswith("POST /serving/team/iris/v1/models/iris:predict ")


def test_a_service_without_an_address_says_what_it_waits_for(registry):
    on_cluster(registry, socket=None, state="Pending", sentence="Loading: its pods are being made.")
    with pytest.raises(errors.EndpointNotReady, match="its pods are being made"):
        Endpoint("iris")


def test_a_target_and_a_namespace_that_are_named_are_asked_for(registry):
    asked = []
    found = registry.server.RequestHandlerClass.do_GET

    def do_get(handler):
        asked.append(handler.path)
        handler.path = handler.path.partition("?")[0]
        found(handler)

    registry.server.RequestHandlerClass.do_GET = do_get
    on_cluster(registry)
    with Endpoint("iris", "team", target="kserve") as endpoint:
        assert endpoint.namespace == "team"
    assert "/api/services/iris?namespace=team&target=kserve" in asked
    with pytest.raises(errors.EndpointNotFound):
        Endpoint("iris", "other")
    with pytest.raises(errors.EndpointNotFound):
        Endpoint("iris", target="local")
    with pytest.raises(errors.InvalidRequest, match="without the daemon"):
        Endpoint("iris", url="http://127.0.0.1:1", target="local")
