"""What a real controller did in 17 scenarios, played to a daemon: what its API says of each at the end."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest
from fake_cluster import FakeCluster, recordings
from fake_cluster.fixtures import need_shared

from tests.daemon.conftest import Daemon
from tests.daemon.test_services import submit_model, submit_transformer

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import CLAIM, Predictor, volume
from through_daemon import ISVC, available, configure, follow, serve

sys.path.pop(0)

IMAGE = "registry.example/kale-serve:1"


@dataclasses.dataclass(frozen=True)
class End:
    """`before`: what is served or done first, with the sentence to wait for. `never`: states that must not be seen after `last`."""

    state: str
    sentence: str
    step: str | None = None
    stage: str = "load"
    error: bool = False
    revision: int | None = None
    before: tuple = ()
    last: object = dataclasses.field(default_factory=dict)
    never: tuple[str, ...] = ()
    calls: int = 200


def good(sentence="answers predictions", revision=1, **more):
    return End("Ready", sentence, None, "ready", revision=revision, **more)


def failed(sentence, step, stage="load", **more):
    return End("Failed", sentence, step, stage, error=True, never=("Ready",), **more)


def loading(sentence, step, stage="load"):
    return End("Loading", sentence, step, stage, never=("Ready", "Failed"))


CANARY = {
    "config": {
        "deployment_mode": "Standard",
        "canary": [{"traffic_percent": 20, "predictor": {"name": "v2"}}],
    }
}
TWO = {"config": {"min_replicas": 2, "max_replicas": 2}}
_FIRST = ({}, "answers predictions")
ENDS = {
    "canary-standard": good("80 % of them the first model, 20 % the canary v2", 2, before=(_FIRST,), last=CANARY),
    "crash-loop": failed(
        r"The predictor ends again and again \(exit 3\): Traceback: model file is broken", "Look at its log"
    ),
    "host-name-too-long": failed("is longer than 63 letters: choose a name at most 45", "45 letters", "create"),
    "missing-image": failed("The image localhost/absent:1 cannot be pulled", "image's name"),
    "missing-pvc": failed("The claim gone does not exist in the namespace default", "Make the", "schedule"),
    "model-file-missing": failed(
        "The sklearn server finds no model file at pvc://models/kale/", "Correct the storage URI", "predict", calls=404
    ),
    "never-ready-probe": loading(
        "The predictor runs, but does not answer its readiness probe: .*refused", "its log"
    ),
    "out-of-memory": failed("was killed: it needs more than its memory limit of 128Mi", "more memory"),
    "ready": good(),
    "ready-then-new-storage-uri": End(
        "Ready", r"Revision 1 serves; revision 2 failed: The predictor ends again and again \(exit 1\)", "log",
        error=True, revision=1, before=(_FIRST,), last={"config": {"annotations": {"changed": "yes"}}}, never=("Failed",),
    ),
    "s3-initializer-image-missing": failed(
        "The image kserve/storage-initializer:latest cannot be pulled: the registry registry.example does not answer",
        "registry",
    ),
    # The recorder missed KServe's last word, which its event tells of.
    "scale-to-two": good(
        revision=2, before=(_FIRST, (TWO, "Revision 1 serves while revision 2 loads")), last="says it is ready"
    ),
    "stop-and-start": good(before=(_FIRST, ("pause", "is paused: it uses nothing")), last="resume"),
    "transformer": good(last={"transformer": True}),
    "unknown-format": failed("There is no runtime for format sklearn", "another format", "create"),
    "unknown-runtime": failed("There is no runtime named kserve-mlserver", "Name one that is there", "create"),
    "unschedulable": loading("No node has 64 CPU free: 1 node is too small", "Ask for less", "schedule"),
}  # fmt: skip


@dataclasses.dataclass
class Place:
    fake: FakeCluster
    daemon: Daemon
    predictor: Predictor
    transformer: int


@pytest.fixture(scope="module")
def place(shared_home):
    need_shared()
    predictor = Predictor()
    with FakeCluster("0.20", tls=True) as fake, volume() as mounted:
        claim = {"name": CLAIM, "namespace": "default"}
        fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": {}})
        fake.backs("*", predictor.url)
        fake.logs["crash-loop-predictor-*/kserve-container/previous"] = ["Traceback: model file is broken"]
        configure(shared_home, fake.kubeconfig(shared_home / "kubeconfig"), mounted, CLAIM, image=IMAGE)
        daemon = Daemon(shared_home).start()
        try:
            available(daemon)
            submit_model(daemon)
            source = "def preprocess(inputs):\n    return inputs\n"
            yield Place(fake, daemon, predictor, submit_transformer(daemon, source)["id"])
        finally:
            daemon.stop()
            predictor.close()


def does(place, name, asked):
    """One thing that a user asks for, or KServe says."""
    if asked == "says it is ready":
        status = place.fake.get(ISVC, name)["status"]
        told = [
            {**one, "status": "False" if one["type"] == "Stopped" else "True"} for one in status["conditions"]
        ]
        place.fake.set_status(ISVC, name, {**status, "conditions": told})
    elif isinstance(asked, str):
        answer = place.daemon.call("POST", f"/api/services/{name}/{asked}?target=kserve")
        assert answer.status == 202, answer.body
    else:
        body = asked | ({"transformer": place.transformer} if "transformer" in asked else {})
        serve(place.daemon, name=name, **body)


def at(seen):
    """The stage that it is at, and how that is."""
    found = next((one for one in seen["stages"] if one["state"] in ("running", "failed")), seen["stages"][-1])
    return found["name"], found["state"]


def test_the_table_is_whole():
    need_shared()
    assert recordings.names() == sorted(ENDS)


@pytest.mark.parametrize("name", sorted(ENDS))
def test_it_ends_in_the_right_sentence(place, name):
    end, fake, daemon = ENDS[name], place.fake, place.daemon
    fake.play(name, name=name, steps=True)
    place.predictor.status = end.calls
    place.predictor.body = (
        {"error": f"Model with name {name} does not exist."} if end.calls == 404 else {"outputs": []}
    )
    for asked, sentence in end.before:
        does(place, name, asked)
        follow(daemon, name, lambda seen, sentence=sentence: sentence in seen["sentence"])
        fake.controller.settle()
    states = []
    does(place, name, end.last)
    seen = follow(
        daemon,
        name,
        lambda seen: seen["state"] == end.state and re.search(end.sentence, seen["sentence"]),
        states=states,
    )
    fake.controller.settle()

    assert not set(states) & set(end.never)
    assert (seen["ready_revision"], seen["error"] is not None) == (end.revision, end.error)
    if end.step is None:
        assert seen["next_step"] is None
    else:
        assert end.step in seen["next_step"]
    assert at(seen) == (end.stage, "failed" if end.error else "done" if end.stage == "ready" else "running")
    if name == "model-file-missing":
        conditions = {one["type"]: one["status"] for one in fake.get(ISVC, name)["status"]["conditions"]}
        assert conditions["Ready"] == "True", "KServe itself says so"
    assert daemon.call("DELETE", f"/api/services/{name}?target=kserve").status == 204
    assert fake.get(ISVC, name) is None
