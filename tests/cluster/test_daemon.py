"""The daemon around two backends: which service is meant, a cluster that comes and goes, a daemon that is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.daemon.conftest import daemon, make_daemon  # noqa: F401
from tests.daemon.test_services import submit_model

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import CLAIM, Predictor, volume
from through_daemon import ISVC, available, follow, ready, serve, target, until
from through_daemon import configure as write_configuration

sys.path.pop(0)

pytestmark = pytest.mark.needs_fake


@pytest.fixture
def predictor():
    one = Predictor()
    yield one
    one.close()


@pytest.fixture
def configure(cluster, home, predictor):
    """configure(**more): write cluster.json for the fake; a model's files go to a mounted volume."""
    claim = {"name": CLAIM, "namespace": "default"}
    cluster.fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": {}})
    cluster.fake.backs("iris-predictor", predictor.url)
    with volume() as mounted:

        def write(**more):
            write_configuration(home, cluster.kubeconfig, mounted, CLAIM, **more)

        yield write


def test_without_a_cluster_the_target_says_what_to_do(daemon):  # noqa: F811
    listing = daemon.call("GET", "/api/targets").json
    assert (listing["default"], [item["name"] for item in listing["items"]]) == ("local", ["local", "kserve"])
    assert target(daemon, "local")["available"] is True
    assert "kale-serve cluster set" in target(daemon)["hint"]
    submit_model(daemon)
    answer = daemon.call("POST", "/api/services", {"model": "iris", "target": "kserve"})
    assert (answer.status, answer.code) == (503, "ClusterUnavailable")
    for action in ("pause", "resume"):
        assert daemon.call("POST", f"/api/services/none/{action}").status == 404


def test_the_runtimes_are_those_of_the_target(daemon, configure, cluster):  # noqa: F811
    answer = daemon.call("GET", "/api/runtimes?target=kserve")
    assert (answer.status, answer.code) == (503, "ClusterUnavailable")
    configure()
    available(daemon)
    shipped = cluster.fake.get("clusterservingruntimes", "kserve-sklearnserver")
    named = {**shipped, "metadata": {"name": "sklearn-of-ours"}}
    cluster.fake.put(named)
    there = {row["name"]: row for row in daemon.call("GET", "/api/runtimes?target=kserve").json["items"]}
    assert there["sklearn-of-ours"]["source"] == "cluster"
    assert all(row["installed"] and row["reason"] is None for row in there.values())
    for query in ("", "?target=local"):
        here = daemon.call("GET", f"/api/runtimes{query}").json["items"]
        assert "sklearn-of-ours" not in {row["name"] for row in here}


def test_one_name_on_two_targets_is_two_services(daemon, configure, cluster):  # noqa: F811
    model = submit_model(daemon)
    assert daemon.call("POST", "/api/services", {"model": "iris"}).status == 202
    local = follow(daemon, "iris", ready(1), "local")
    configure()
    available(daemon)
    made = serve(daemon)
    assert (made["target"], made["namespace"], made["managed"]) == ("kserve", "default", True)
    there = follow(daemon, "iris", ready(1))
    assert (there["state"], there["base"]) == ("Ready", "/serving/default/iris")
    assert daemon.call("GET", "/api/services/iris").json["target"] == "local"
    listed = daemon.call("GET", "/api/services").json["items"]
    assert [(one["target"], one["name"]) for one in listed] == [("local", "iris"), ("kserve", "iris")]
    assert daemon.call("POST", "/api/services/iris/pause?target=local").status == 400

    def endpoints():
        nodes = daemon.call("GET", f"/api/artifacts/{model['id']}/lineage").json["nodes"]
        found = [node for node in nodes if node["type"] == "kale.Endpoint"]
        return sorted((node["properties"]["target"], node["state"]) for node in found)

    assert endpoints() == [("kserve", "LIVE"), ("local", "LIVE")]
    assert daemon.call("DELETE", "/api/services/iris?target=kserve").status == 204
    assert cluster.fake.get(ISVC, "iris") is None
    assert endpoints() == [("kserve", "DELETED"), ("local", "LIVE")]
    assert daemon.call("GET", "/api/services/iris").json["components"] == local["components"]
    assert daemon.call("GET", "/api/services/iris?target=kserve").code == "EndpointNotFound"


def test_a_dry_run_shows_the_object_and_changes_nothing(daemon, configure, cluster):  # noqa: F811
    configure(default=True)
    available(daemon)
    assert daemon.call("GET", "/api/targets").json["default"] == "kserve"
    submit_model(daemon)
    cluster.fake.requests.clear()
    dry = daemon.call("POST", "/api/services", {"model": "iris", "dry_run": True})
    assert dry.status == 200, dry.body
    found = dry.json
    assert [one for one in found["findings"] if one["severity"] == "error"] == []
    assert found["object"]["kind"] == "InferenceService"
    assert "kind: InferenceService" in found["yaml"]
    assert [one for one in cluster.fake.requests.of("patch") if "dryRun" not in one.query] == []
    assert daemon.call("GET", "/api/services").json["items"] == []
    local = daemon.call("POST", "/api/services", {"model": "iris", "dry_run": True, "target": "local"}).json
    assert (local["object"], local["yaml"]) == (None, None)


def test_a_cluster_that_is_away_slows_nothing_and_says_why(make_daemon, configure, cluster):  # noqa: F811
    configure()
    cluster.fake.silence()
    one = make_daemon().start()
    began = time.monotonic()
    assert one.told == {"ok": True}
    for _ in range(20):
        assert one.call("GET", "/api/services").status == 200
    assert target(one)["available"] is False
    assert time.monotonic() - began < 10
    cluster.fake.resume()
    available(one)
    (one.home / "data" / "cluster.json").write_text("{")
    assert "not JSON" in until(lambda: target(one)["reason"])
    configure()
    available(one)
