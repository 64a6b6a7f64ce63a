"""Who may call what: every route and verb, cookies, origins, and an authorizer's word."""

from __future__ import annotations

import inspect
import json

import pytest
from jupyter_server.auth import Authorizer

from kale_serve_lab.jupyter.app import ROUTES

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
OWN = {verb.lower() for verb in VERBS}
SAMPLES = {
    "/kale-serve/api/artifacts/([^/]*)": "/kale-serve/api/artifacts/1",
    "/kale-serve/api/artifacts/([^/]*)/lineage": "/kale-serve/api/artifacts/1/lineage",
    "/kale-serve/api/services/(.*)/logs": "/kale-serve/api/services/tumour/logs",
    "/kale-serve/api/services/(.*)/object": "/kale-serve/api/services/tumour/object",
    "/kale-serve/api/services/(.*)/pause": "/kale-serve/api/services/tumour/pause",
    "/kale-serve/api/services/(.*)/resume": "/kale-serve/api/services/tumour/resume",
    "/kale-serve/api/services/(.*)": "/kale-serve/api/services/tumour",
    "/kale-serve/api/environments/(.*)": "/kale-serve/api/environments/x-1",
    "/kale-serve/serving/([^/]*)/(.*?)/(v[12](?:/.*)?)": "/kale-serve/serving/default/tumour/v1/models/tumour:predict",
    "/kale-serve/(.*)": "/kale-serve/nothing",
}
PATHS = [SAMPLES.get(pattern, pattern) for pattern, _ in ROUTES]


class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read" or resource != "kale-serve"


@pytest.fixture
def call(http_server_client, jp_base_url, jp_auth_header):
    """One request as it is given: no token unless asked for."""

    async def fetch(path, method="GET", headers=None, body=None, token=False):
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = "{}"
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent.update(jp_auth_header if token else {}, **(headers or {}))
        return await http_server_client.fetch(
            jp_base_url.rstrip("/") + path,
            method=method,
            headers=sent,
            body=body,
            raise_error=False,
            follow_redirects=False,
        )

    return fetch


def test_each_verb_of_each_handler_is_decorated():
    for _, handler in ROUTES:
        own = {
            verb: method
            for verb, method in inspect.getmembers(handler)
            if verb in OWN and verb in _defined(handler)
        }
        assert own, handler
        for verb, method in own.items():
            assert getattr(method, "kale_action", None) in ("read", "write", "execute"), (handler, verb)
            assert handler.auth_resource == "kale-serve"


def _defined(handler):
    return {
        name for cls in handler.__mro__ if cls.__module__.startswith("kale_serve_lab") for name in vars(cls)
    }


@pytest.mark.parametrize("open_server", [False, True])
async def test_no_route_answers_a_stranger(jp_serverapp, call, open_server):
    jp_serverapp.web_app.settings["allow_unauthenticated_access"] = open_server
    for path in PATHS:
        for verb in VERBS:
            answer = await call(path, verb)
            assert answer.code == 403, (path, verb, answer.code)
            if verb != "HEAD":
                assert json.loads(answer.body)["error"]["code"] == "Forbidden"
        preflight = await call(path, "OPTIONS")
        assert preflight.code in (200, 204)
        assert preflight.body == b""


@pytest.mark.parametrize("turn", [1, -1])
async def test_an_authorizer_that_lets_only_read_holds_in_any_order(jp_serverapp, call, turn):
    jp_serverapp.web_app.settings["authorizer"] = ReadOnly(parent=jp_serverapp)
    services = "/kale-serve/api/services"
    calls = [
        (services, "GET", 200),
        (services, "POST", 403),
        (f"{services}/tumour", "DELETE", 403),
        (f"{services}/tumour", "GET", 404),
        (f"{services}/tumour/logs", "GET", 403),
        (f"{services}/tumour/object", "GET", 403),
        (f"{services}/tumour/pause", "POST", 403),
        (f"{services}/tumour/resume", "POST", 403),
        ("/kale-serve/api/targets", "GET", 200),
        ("/kale-serve/api/artifacts/1", "DELETE", 403),
        ("/kale-serve/api/artifacts", "GET", 200),
        ("/kale-serve/serving/default/tumour/v2/models/tumour/infer", "POST", 403),
        ("/kale-serve/serving/default/tumour/v2/models/tumour/ready", "GET", 404),
    ]
    for path, verb, status in calls[::turn] * 2:
        answer = await call(path, verb, token=True)
        assert answer.code == status, (path, verb, answer.body)


async def _cookies(http_server_client, jp_base_url, jp_serverapp):
    """A browser's session: logged in by token, with its cookies."""
    token = jp_serverapp.identity_provider.token
    answer = await http_server_client.fetch(
        f"{jp_base_url}lab?token={token}", follow_redirects=False, raise_error=False
    )
    found = dict(cookie.split(";")[0].split("=", 1) for cookie in answer.headers.get_list("Set-Cookie"))
    return found


async def test_a_cookie_alone_writes_nothing(http_server_client, jp_base_url, jp_serverapp, call):
    cookies = await _cookies(http_server_client, jp_base_url, jp_serverapp)
    assert "_xsrf" in cookies and len(cookies) >= 2
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    path = "/kale-serve/api/services/tumour"
    assert (await call("/kale-serve/api/services", "POST", header)).code == 403
    assert (await call(path, "DELETE", header)).code == 403
    assert (
        await call("/kale-serve/serving/default/tumour/v1/models/tumour:predict", "POST", header)
    ).code == 403
    right = {**header, "X-XSRFToken": cookies["_xsrf"]}
    assert (await call(path, "DELETE", right)).code == 404
    foreign = {**right, "Origin": "https://evil.example"}
    assert (await call(path, "DELETE", foreign)).code == 403
    assert (await call("/kale-serve/api/services", "GET", foreign)).code == 403
    # XSRF checks may be off (some deployments do that): a page still cannot send what it may send without asking.
    jp_serverapp.web_app.settings["disable_check_xsrf"] = True
    plain = {**header, "Content-Type": "text/plain"}
    assert (await call("/kale-serve/api/services", "POST", plain)).code == 415
    assert (
        await call("/kale-serve/serving/default/tumour/v1/models/tumour:predict", "POST", plain)
    ).code == 415


async def test_a_foreign_host_is_refused(call):
    answer = await call("/kale-serve/api/services", "GET", {"Host": "evil.example"}, token=True)
    assert answer.code == 403


NAMES = [
    "..%2Fx", "a%2Fb", "%2e%2e%2f", "%252e", "..%5Cx", "a%00", "a" * 64, "%EF%BD%94umour", "%E2%80%AEtumour", "", "A", "-a", "a%0A", "a/b", "%FF",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_is_none_is_refused(call, name):
    for path, verb in [
        (f"/kale-serve/api/services/{name}", "GET"),
        (f"/kale-serve/api/services/{name}", "DELETE"),
        (f"/kale-serve/api/services/{name}/logs", "GET"),
        (f"/kale-serve/api/services/{name}/object", "GET"),
        (f"/kale-serve/api/services/{name}/pause", "POST"),
        (f"/kale-serve/api/services/{name}/resume", "POST"),
        (f"/kale-serve/serving/default/{name}/v1/models/x:predict", "POST"),
        (f"/kale-serve/serving/{name.replace('/', '%2F')}/tumour/v1/models/x:predict", "POST"),
    ]:
        answer = await call(path, verb, token=True)
        assert answer.code == 400, (path, verb, answer.body)
        assert json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("target", ["..", "a%2Fb", "Local", "-a", "a" * 64, "a%26b", "a%0A"])
async def test_a_target_that_is_none_is_refused(call, target):
    for path, verb in [("", "GET"), ("", "DELETE"), ("/logs", "GET"), ("/object", "GET"), ("/pause", "POST"), ("/resume", "POST")]:  # fmt: skip
        answer = await call(f"/kale-serve/api/services/tumour{path}?target={target}", verb, token=True)
        assert answer.code == 400, (path, verb, answer.body)


async def test_the_target_reaches_the_daemon(call):
    targets = json.loads((await call("/kale-serve/api/targets", token=True)).body)
    assert targets["default"] == "local"
    assert [item["name"] for item in targets["items"]][0] == "local"
    for tail, verb in [("", "GET"), ("", "DELETE"), ("/logs", "GET"), ("/object", "GET"), ("/pause", "POST"), ("/resume", "POST")]:  # fmt: skip
        path = f"/kale-serve/api/services/tumour{tail}"
        here = await call(f"{path}?target=local&namespace=team", verb, token=True)
        assert here.code == 404, (path, here.body)
        assert "local (team)" in json.loads(here.body)["error"]["message"]
        # No cluster is configured, which only its own target hears.
        there = await call(f"{path}?target=kserve", verb, token=True)
        assert there.code == 503, (path, there.body)
        assert json.loads(there.body)["error"]["code"] == "ClusterUnavailable"


@pytest.mark.parametrize("what", ["pause", "resume"])
async def test_a_page_cannot_pause_without_asking(jp_serverapp, call, what):
    plain = {"Content-Type": "text/plain"}
    answer = await call(f"/kale-serve/api/services/tumour/{what}", "POST", plain, token=True)
    assert answer.code == 415


@pytest.mark.parametrize(
    "tail",
    [
        "?url=http://169.254.169.254/",
        "?host=x",
        "/..",
        "/%2e%2e/x",
        "//evil.example",
        "/@evil",
        "/a%3Fb",
        "/a%0d%0ab",
    ],
)
async def test_a_prediction_goes_nowhere_else(call, tail):
    answer = await call(
        f"/kale-serve/serving/default/tumour/v2/models/tumour/infer{tail}", "POST", token=True
    )
    assert answer.code == 400, answer.body


async def test_errors_have_one_form_and_are_not_sniffed(call):
    for path in ("/kale-serve/nothing", "/kale-serve/api/artifacts/none", "/kale-serve/api/services/tumour"):
        answer = await call(path, token=True)
        assert answer.code == 404
        assert set(json.loads(answer.body)["error"]) == {"code", "message", "subject", "hint", "details"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"].startswith("application/json")
    answer = await call("/kale-serve/api/services", "PUT", token=True)
    assert answer.code == 405
