"""What a page may not do to a cluster over the Jupyter server: choose one, leave its namespace, send what is no service."""

from __future__ import annotations

import asyncio
import json

import pytest
from fake_cluster.fixtures import fake, known, kserve_version, kubeconfig, needs_shared

__all__ = ["fake", "known", "kserve_version", "kubeconfig", "needs_shared"]

CONTAINER = {"name": "kserve-container", "image": "localhost/absent:1"}
BODY = {"name": "iris", "target": "kserve", "config": {"predictor": {"container": CONTAINER}}}


@pytest.fixture
def jp_server_config(home):
    """`home` first: the extension finds the daemon through its environment."""
    return {"ServerApp": {"jpserver_extensions": {"kale_serve_lab": True}}}


@pytest.fixture
def call(known, http_server_client, jp_base_url, jp_auth_header):
    async def fetch(path, method="GET", body=None):
        sent = {"Content-Type": "application/json"} if body is not None else {}
        return await http_server_client.fetch(
            jp_base_url.rstrip("/") + "/kale-serve/" + path,
            method=method,
            headers={**sent, **jp_auth_header},
            body=body if body is None or isinstance(body, (str, bytes)) else json.dumps(body),
            raise_error=False,
            follow_redirects=False,
            request_timeout=120,
        )

    return fetch


def refused(answer, known, *codes):
    """It is refused in our words, and nothing was made."""
    assert answer.code in codes, (answer.code, answer.body[:300])
    error = json.loads(answer.body)["error"]
    assert error["message"]
    assert len(answer.body) < 20_000
    assert known.list("inferenceservices") == []


@pytest.mark.parametrize(
    "more",
    [
        {"kubeconfig": "/tmp/theirs"},
        {"context": "prod"},
        {"server": "https://evil.example"},
        {"cluster": {"kubeconfig": "/tmp/theirs"}},
        {"exec": {"command": "touch", "args": ["/tmp/owned"]}},
        {"target": "https://evil.example"},
        {"target": "moon"},
        {"target": ["kserve"]},
        {"target": "kserve\r\nX-Evil: 1"},
    ],
    ids=lambda more: "-".join(more) + str(len(json.dumps(more))),
)
async def test_nobody_chooses_a_cluster(call, known, more):
    refused(await call("api/services", "POST", {**BODY, **more}), known, 400, 404)
    targets = json.loads((await call("api/targets")).body)
    assert {one["name"] for one in targets["items"]} == {"local", "kserve"}
    assert "theirs" not in json.dumps(targets)


@pytest.mark.parametrize(
    "name",
    ["a/b", "..", "../../api/v1/secrets", "Iris", "ïris", "\u202eiris", "a" * 300, "a\r\nb", "a\x00", "", " ", "-a", 5, ["a"]],
    ids=lambda name: ascii(name)[:14].encode().hex(),
)  # fmt: skip
async def test_a_name_or_namespace_that_is_none_goes_nowhere(call, known, name):
    refused(await call("api/services", "POST", {**BODY, "name": name or "/"}), known, 400)
    refused(await call("api/services", "POST", {**BODY, "namespace": name or "/"}), known, 400)


async def test_somebody_elses_namespace_is_refused_by_name(call, known):
    for namespace, codes in (("absent", (400, 403, 404, 422)), ("kube-system", (400, 403, 404, 422))):
        answer = await call("api/services", "POST", {**BODY, "namespace": namespace, "dry_run": True})
        if answer.code == 200:
            # A dry run says it as a finding.
            findings = json.loads(answer.body)["findings"]
            assert any(one["severity"] == "error" for one in findings), findings
            assert known.list("inferenceservices") == []
        else:
            refused(answer, known, *codes)
    for tail, verb in (
        ("", "GET"),
        ("", "DELETE"),
        ("/object", "GET"),
        ("/pause", "POST"),
        ("/resume", "POST"),
    ):
        body = "{}" if verb == "POST" else None
        answer = await call(f"api/services/iris{tail}?target=kserve&namespace=other", verb, body)
        refused(answer, known, 403, 404)


@pytest.mark.parametrize(
    "body",
    [
        b"{" * 200_000,
        json.dumps({**BODY, "config": {"env": {f"V{i}": "x" * 1000 for i in range(3000)}}}),
        json.dumps({**BODY, "config": {"annotations": {"a/b": "x" * 400_000}}}),
        b"kind: InferenceService\n" * 100_000,
        b"\xff\xfe",
        b"[]",
    ],
    ids=["deep", "three-megabytes", "annotations", "yaml", "no-text", "a-list"],
)
async def test_what_is_too_large_or_no_service_is_refused_and_the_next_call_answered(call, known, body):
    refused(await asyncio.wait_for(call("api/services", "POST", body), 120), known, 400, 413, 422)
    assert (await call("api/targets")).code == 200
