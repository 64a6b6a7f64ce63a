"""Nobody chooses a cluster, a kubeconfig or its exec plugin over HTTP; only the user's own terminal and environment do."""

from __future__ import annotations

import json

import pytest

from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError


@pytest.fixture
def evil(tmp_path):
    """A kubeconfig whose plugin leaves a mark."""
    script = tmp_path / "plugin"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\nexit 1\n")
    script.chmod(0o700)
    path = tmp_path / "evil"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
    path.write_text(
        json.dumps(
            {
                "contexts": [{"name": "evil", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": user}],
                "current-context": "evil",
            }
        )
    )
    return path


def test_no_call_names_a_cluster(home, evil, tmp_path):
    client = Client()
    named = {
        "kubeconfig": str(evil),
        "context": "evil",
        "server": "https://127.0.0.1:1",
        "exec": {"command": str(tmp_path / "plugin")},
    }
    query = f"kubeconfig={evil}&context=evil&server=https://127.0.0.1:1"
    service = {"name": "iris", "model": "1", "target": "kserve"}
    refused = 0
    for method, path, body in (
        ("GET", f"/api/targets?{query}", None),
        ("POST", "/api/targets", named),
        ("PUT", "/api/targets", {"items": [named]}),
        ("PATCH", "/api/targets", named),
        ("POST", f"/api/services?{query}", {**service, **named}),
        ("POST", "/api/services", {**service, "cluster": named, "settings": named}),
        ("POST", "/api/services", {**service, "config": {"kubeconfig": str(evil), "context": "evil"}}),
        ("POST", "/api/services", {**service, "dry_run": True, **named}),
        ("POST", "/api/services", {**service, "target": str(evil)}),
        ("GET", f"/api/services/iris?target=kserve&{query}", None),
    ):
        try:
            client.request(method, path, body)
        except KaleServeError:
            refused += 1
    assert refused >= 8
    assert not (tmp_path / "mark").exists()
    assert not list((home / "data").glob("cluster.json*"))
    targets = client.request("GET", "/api/targets")
    assert targets["default"] == "local"
    assert all(not one["available"] for one in targets["items"] if one["name"] == "kserve")
    assert "127.0.0.1:1" not in json.dumps(targets)
