"""Predictions by the API server's Service proxy take the kubeconfig's whole way there: its proxy, and its certificate's name."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from connect_proxy import Proxy
from kserve_backend import Predictor

from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.kserve.way import Ways
from kale_serve_lab.serving.types import Address, ServiceKey

KEY = ServiceKey("default", "iris")
WAY = Address("api-server", "/api/v1/namespaces/default/services/http:iris-predictor:80/proxy")


@pytest.fixture
def predictor(fake):
    one = Predictor()
    fake.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "iris-predictor"}, "spec": {}})
    fake.backs("iris-predictor", one.url)
    yield one
    one.close()


@pytest.fixture
def proxy(request):
    found = Proxy(refuses=getattr(request, "param", False))
    yield found
    found.close()


def tried(kubeconfig, *bodies, **changes):
    """What came of these predictions, one after the other, with these keys of the kubeconfig's cluster."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"].update(changes)
    kubeconfig.write_text(json.dumps(config))
    settings = Settings(kubeconfig=str(kubeconfig))
    cluster = connect(settings)

    async def run():
        ways = Ways(cluster, settings, lambda _: [WAY])
        try:
            return [await ways.predict_once(KEY, "/v1/models/iris:predict", body) for body in bodies]
        finally:
            await ways.close()

    try:
        return asyncio.run(run())
    finally:
        cluster.close()


def test_they_go_through_its_proxy_with_its_login_by_one_connection(fake, kubeconfig, predictor, proxy):
    url = f"http://me:se%40same@127.0.0.1:{proxy.port}"
    first, second = tried(kubeconfig, b'{"instances": [1]}', b'{"instances": [2]}', **{"proxy-url": url})
    assert (first.ok, second.ok) == (True, True), first.error
    assert [body for _, body in predictor.asked] == [b'{"instances": [1]}', b'{"instances": [2]}']
    assert len(proxy.asked) == 1
    assert proxy.asked[0].startswith(f"CONNECT {fake.url.removeprefix('https://')} ")
    assert base64.b64encode(b"me:se@same").decode() in proxy.asked[0]
    assert fake.token not in proxy.asked[0]


@pytest.mark.parametrize("proxy", [True], indirect=True, ids=["refuses"])
def test_a_proxy_that_refuses_is_named_without_its_password(kubeconfig, predictor, proxy):
    url = f"http://me:sesame@127.0.0.1:{proxy.port}"
    (found,) = tried(kubeconfig, b"{}", **{"proxy-url": url})
    assert not found.ok
    why = found.addresses[0].why
    assert f"http://127.0.0.1:{proxy.port} does not let us through: 407" in why
    assert "sesame" not in f"{why}{found.error}"
    assert predictor.asked == []


def test_the_certificate_is_for_the_name_that_the_kubeconfig_says(kubeconfig, predictor):
    (found,) = tried(kubeconfig, b"{}", **{"tls-server-name": "elsewhere"})
    assert not found.ok
    assert "certificate" in found.addresses[0].why
    (found,) = tried(kubeconfig, b"{}", **{"tls-server-name": "localhost"})
    assert found.ok, found.error
    assert len(predictor.asked) == 1
