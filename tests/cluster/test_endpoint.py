"""`Endpoint` without a daemon: through the API server's Service proxy, and by a gateway with tokens made for it."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joblib
import numpy as np
import pytest
from serving_containers import Container, X, fitted

from kale_serve_lab import Endpoint, errors

MODEL = fitted()
PROXY = "/api/v1/namespaces/default/services/http:iris-predictor:80/proxy"


@pytest.fixture
def authority(fake, tmp_path, monkeypatch):
    path = tmp_path / "ca.crt"
    path.write_bytes(fake.ca)
    monkeypatch.setenv("KALE_SERVE_CA_FILE", str(path))


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
def service(fake, authority, container):
    """An InferenceService that Kale did not make, with a real model server behind it."""

    def make(protocol=None, name="iris"):
        model = {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://models/iris"}
        if protocol is not None:
            model["protocolVersion"] = protocol
        fake.put(
            {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"predictor": {"model": model}},
                "status": {
                    "url": f"http://{name}-default.example.com",
                    "address": {"url": f"http://{name}-predictor.default.svc.cluster.local"},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }
        )
        fake.backs(f"{name}-predictor", container.url)

    return make


@pytest.mark.parametrize("protocol", [None, "v1", "v2"])
def test_by_the_api_servers_proxy(fake, service, protocol):
    service(protocol)
    expected = MODEL.predict(X[:5]).tolist()
    with Endpoint("iris", kubernetes_host=fake.url, token=fake.token) as endpoint:
        assert endpoint.predict(X[:5]).tolist() == expected
        assert endpoint.ready() is True
        assert endpoint.metadata()["name"] == "iris"
        assert endpoint.predict({"instances": X[:2].tolist()}) == {"predictions": expected[:2]}
        assert endpoint.target == "kserve"
        assert fake.token not in repr(vars(endpoint))
    predictions = [asked for asked in fake.requests if asked.method == "POST"]
    tail = "/v2/models/iris/infer" if protocol == "v2" else "/v1/models/iris:predict"
    assert predictions[0].path == PROXY + tail
    if protocol == "v2":
        # Binary, both ways through the API server.
        names = {name.lower() for name in predictions[0].headers}
        assert "inference-header-content-length" in names


def test_a_table_in_one_request(fake, service):
    service("v2")
    big = np.tile(X, (100, 1))
    with Endpoint("iris", kubernetes_host=fake.url, token=fake.token) as endpoint:
        assert endpoint.predict(big).tolist() == MODEL.predict(big).tolist()


def test_a_token_of_a_file_is_read_again(fake, service, tmp_path):
    service()
    token = tmp_path / "token"
    token.write_text(fake.token)
    with Endpoint("iris", kubernetes_host=fake.url, token=f"file:{token}") as endpoint:
        endpoint.predict(X[:1])
        token.write_text("no-such-token")
        with pytest.raises(errors.Unauthorized):
            endpoint.predict(X[:1])


@pytest.mark.parametrize(
    ("verb", "resource", "rule"),
    [
        ("get", "inferenceservices", '["inferenceservices"], verbs ["get"]'),
        ("create", "services/proxy", '["services/proxy"], verbs ["get", "create"]'),
    ],
)
def test_each_missing_right_is_named(fake, service, verb, resource, rule):
    service()
    fake.deny(verb, resource)
    with pytest.raises(errors.Forbidden) as refused:
        with Endpoint("iris", kubernetes_host=fake.url, token=fake.token) as endpoint:
            endpoint.predict(X[:1])
    assert rule in str(refused.value)


def test_what_is_not_there_is_told(fake, service):
    service()
    with pytest.raises(errors.EndpointNotFound, match="no inferenceservice default/other"):
        Endpoint("other", kubernetes_host=fake.url, token=fake.token)
    with pytest.raises(errors.InvalidName):
        Endpoint("../x", kubernetes_host=fake.url, token=fake.token)
    with pytest.raises(errors.Unauthorized):
        Endpoint("iris", kubernetes_host=fake.url, token="wrong")
    with pytest.raises(errors.InvalidRequest, match="without TLS"):
        Endpoint("iris", kubernetes_host="http://10.0.0.1:6443", token=fake.token)
    with pytest.raises(errors.InvalidRequest, match="daemon"):
        Endpoint("iris", kubernetes_host=fake.url, token=fake.token, target="kserve")


def test_pods_that_are_not_there_are_no_page(fake, authority, service, container):
    service()
    fake.backs("iris-predictor", "http://127.0.0.1:9")
    with Endpoint("iris", kubernetes_host=fake.url, token=fake.token) as endpoint:
        assert endpoint.ready() is False
        with pytest.raises(errors.EndpointNotReady, match="API server reaches no server"):
            endpoint.predict(X[:1])


def test_an_api_server_without_trust_is_refused(fake, service, monkeypatch, tmp_path):
    service()
    monkeypatch.setenv("KALE_SERVE_CA_FILE", str(tmp_path / "gone"))
    with pytest.raises(errors.InvalidConfig, match="is not there"):
        Endpoint("iris", kubernetes_host=fake.url, token=fake.token)
    monkeypatch.delenv("KALE_SERVE_CA_FILE")
    with pytest.raises(errors.ClusterUnavailable, match="certificate"):
        Endpoint("iris", kubernetes_host=fake.url, token=fake.token)


class Gateway(BaseHTTPRequestHandler):
    """Lets in who has a token for it; sends all others to the login page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.tokens.append(token)
        if not token or token == self.server.own:
            self.send_response(302)
            self.send_header("Location", "https://kubeflow.example.org/dex/auth?client_id=x")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = json.dumps(
            {"predictions": [1]} if self.command == "POST" else {"name": "iris", "ready": True}
        ).encode()
        self.send_response(200 if self.path.startswith("/v1/") else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway(fake):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.daemon_threads = True
    server.tokens, server.own = [], fake.token
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_gateway_gets_a_token_that_was_made_for_it(fake, authority, gateway):
    fake.put(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default-editor", "namespace": "default"},
        }
    )
    url = f"http://127.0.0.1:{gateway.server_address[1]}"
    with Endpoint("iris", kubernetes_host=fake.url, token=fake.token, url=url) as endpoint:
        assert endpoint.predict([[1.0]]) == [1]
        assert endpoint.predict([[1.0]]) == [1]
    assert fake.token not in gateway.tokens
    assert len(set(gateway.tokens)) == 1
    (made,) = [
        asked for asked in fake.requests if asked.path.endswith("/serviceaccounts/default-editor/token")
    ]
    body = made.body if isinstance(made.body, dict) else json.loads(made.body)
    assert body["spec"]["audiences"] == ["istio-ingressgateway.istio-system.svc.cluster.local"]


def test_a_login_page_says_that_a_token_is_needed(fake, gateway):
    url = f"http://127.0.0.1:{gateway.server_address[1]}"
    with contextlib.ExitStack() as stack, pytest.raises(errors.Unauthorized, match="redirects to .*dex"):
        endpoint = stack.enter_context(Endpoint("iris", url=url, token=fake.token))
        endpoint.predict([[1.0]])
