"""Each of the recordings, played to its end onto an object of another name."""

from __future__ import annotations

import json

import pytest
from fake_cluster import SHARED, FakeCluster, recordings

FOLDER = SHARED / "kserve-v0.20.0" / "recordings"
NAMES = (
    "canary-standard", "crash-loop", "host-name-too-long", "missing-image", "missing-pvc", "model-file-missing",
    "never-ready-probe", "out-of-memory", "ready", "ready-then-new-storage-uri", "s3-initializer-image-missing",
    "scale-to-two", "stop-and-start", "transformer", "unknown-format", "unknown-runtime", "unschedulable",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("needs_shared")


@pytest.fixture
def plain(needs_shared):
    with FakeCluster(namespaces=("default", "user")) as fake:
        yield fake


def raw(name):
    """The recording as it stands, up to its delete request: (the object that was created, the watch's rows)."""
    rows = [json.loads(line) for line in (FOLDER / f"{name}.ndjson").read_text().splitlines()]
    created = next(r["object"] for r in rows if r["kind"] == "Request")
    end = next(i for i, r in enumerate(rows) if (r["kind"], r["type"]) == ("Request", "delete"))
    return created, [r for r in rows[:end] if r["kind"] in ("InferenceService", "Pod", "Event")]


def last(rows, kind):
    """The last state of each object of a kind that is left."""
    states = {}
    for row in rows:
        if row["kind"] == kind:
            name = row["object"]["metadata"]["name"]
            if row["type"] == "DELETED":
                states.pop(name, None)
            elif int(row["object"]["metadata"]["resourceVersion"]) >= int(
                states.get(name, row["object"])["metadata"]["resourceVersion"]
            ):
                states[name] = row["object"]
    return list(states.values())


def conditions(status):
    return [(c["type"], c["status"], c.get("reason")) for c in status.get("conditions", ())]


def create(fake, created, name):
    body = {**created, "metadata": {"name": name}}
    from fake_cluster.kinds import Target, named

    where = Target(named("inferenceservices"), "user", None, None, None)
    fake.api.create(where, {}, {}, json.dumps(body).encode(), "kale")


def test_the_list_is_whole():
    assert tuple(recordings.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_in_the_last_state_before_the_deletion(plain, name):
    created, rows = raw(name)
    plain.play(name)
    create(plain, created, "mine")
    plain.controller.settle()
    live = plain.get("inferenceservices", "mine", "user")
    wanted = last(rows, "InferenceService")[0]["status"]
    if name == "model-file-missing":
        # The recorder's watch was away when KServe said that it is ready.
        wanted = next(
            s.object for s in reversed(recordings.load(name).parts[-1]) if s.kind == "InferenceService"
        )["status"]
        assert ("Ready", "True", None) in conditions(wanted)
    assert conditions(live["status"]) == conditions(wanted)
    assert live["status"].get("modelStatus", {}).get("states") == wanted.get("modelStatus", {}).get("states")
    assert live["metadata"]["finalizers"] == ["inferenceservice.finalizers"]
    pods = last(rows, "Pod")
    assert len(plain.list("pods", "user")) == len(pods)
    assert sorted(p["status"].get("phase", "") for p in plain.list("pods", "user")) == sorted(
        p["status"].get("phase", "") for p in pods
    )
    assert len(plain.list("events", "user", group="")) == len(last(rows, "Event"))
    assert not plain.list("pods", "default")
    said = json.dumps([live, plain.list("pods", "user"), plain.list("events", "user", group="")])
    recorded = created["metadata"]["name"]
    for trace in (f"{recorded}-predictor", f"{recorded}-default", f"[{recorded}]", "default.svc"):
        assert trace not in said
    plain.remove("inferenceservices", "mine", "user")
    plain.controller.settle()
    assert plain.get("inferenceservices", "mine", "user") is None
    assert not plain.list("pods", "user")
    assert not plain.list("services", "user")


def test_the_clock_can_be_held(plain):
    created, rows = raw("ready")
    plain.controller.hold()
    create(plain, created, "slow")
    plain.controller.advance(1.0)
    begun = plain.get("inferenceservices", "slow", "user")
    assert ("Ready", "False", "MinimumReplicasUnavailable") in conditions(begun["status"])
    assert [p["status"]["phase"] for p in plain.list("pods", "user")] == ["Pending"]
    plain.controller.advance(60.0)
    assert ("Ready", "True", None) in conditions(plain.get("inferenceservices", "slow", "user")["status"])


def test_parts_one_by_one(plain):
    created, _ = raw("stop-and-start")
    plain.play("stop-and-start", steps=True)
    create(plain, created, "s")

    def stopped():
        plain.controller.settle()
        told = conditions(plain.get("inferenceservices", "s", "user")["status"])
        return next(status for kind, status, _ in told if kind == "Stopped")

    assert stopped() == "False"
    for value, wanted in (("true", "True"), ("false", "False")):
        plain.edit(
            "inferenceservices", "s", {"metadata": {"annotations": {"serving.kserve.io/stop": value}}}, "user"
        )
        assert stopped() == wanted


def test_a_healthy_cluster_by_itself(plain):
    created, _ = raw("ready")
    create(plain, created, "own")
    plain.controller.settle()
    first = [p["metadata"]["name"] for p in plain.list("pods", "user")]
    assert len(first) == 1 and first[0].startswith("own-predictor-")
    plain.edit(
        "inferenceservices",
        "own",
        {"spec": {"predictor": {"model": {"storageUri": "pvc://models/new"}}}},
        "user",
    )
    plain.controller.settle()
    second = [p["metadata"]["name"] for p in plain.list("pods", "user")]
    assert len(second) == 1 and second != first
    live = plain.get("inferenceservices", "own", "user")
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"] == 2
    plain.edit(
        "inferenceservices", "own", {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}, "user"
    )
    plain.controller.settle()
    assert not plain.list("pods", "user")
    assert ("Stopped", "True", None) in conditions(plain.get("inferenceservices", "own", "user")["status"])
    plain.edit(
        "inferenceservices", "own", {"metadata": {"annotations": {"serving.kserve.io/stop": "false"}}}, "user"
    )
    plain.controller.settle()
    assert len(plain.list("pods", "user")) == 1
    assert ("Ready", "True", None) in conditions(plain.get("inferenceservices", "own", "user")["status"])
