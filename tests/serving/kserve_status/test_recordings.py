"""What a real cluster did in 17 scenarios must end in the right sentence, and be told sensibly on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest

from kale_serve_lab.serving.kserve.seen import Probe
from kale_serve_lab.serving.kserve.status import status, terminal, wants_logs
from tests.serving.kserve_status.playing import last, play, probed, service


@dataclass(frozen=True)
class End:
    """How a scenario ends, with or without a prediction that was answered."""

    state: str
    sentence: str
    step: str | None = None
    terminal: bool = False
    stage: str = "load"
    probed: bool = False


_READY = End("Ready", "answers predictions", stage="ready", probed=True)
ENDS = {
    "canary-standard": replace(_READY, sentence="80 % of them the first model, 20 % the canary v2"),
    "crash-loop": End(
        "Failed", r"The predictor ends again and again \(exit 3\)", "Look at its log", terminal=True
    ),
    "host-name-too-long": End(
        "Failed",
        "longer than 63 letters: choose a name at most 45 letters long",
        "45 letters",
        True,
        "create",
    ),
    "missing-image": End("Failed", "The image localhost/absent:1 cannot be pulled", "image's name", True),
    "missing-pvc": End(
        "Failed",
        "The claim gone does not exist in the namespace default",
        "Make the Persistent",
        True,
        "schedule",
    ),
    "model-file-missing": End("Loading", "a sample is being predicted", stage="predict"),
    "never-ready-probe": End(
        "Loading", "The predictor runs, but does not answer its readiness probe: .*refused", "its log"
    ),
    "out-of-memory": End(
        "Failed",
        "The model server was killed: it needs more than its memory limit of 128Mi",
        "more memory",
        True,
    ),
    "ready": _READY,
    "ready-then-new-storage-uri": End(
        "Ready",
        r"Revision 1 serves; revision 2 failed: The predictor ends again and again \(exit 1\)",
        "log",
        True,
    ),
    "s3-initializer-image-missing": End(
        "Failed",
        "The image kserve/storage-initializer:latest cannot be pulled: the registry registry.example does not answer",
        "registry",
        True,
    ),
    "scale-to-two": _READY,
    "stop-and-start": _READY,
    "transformer": _READY,
    "unknown-format": End("Failed", "There is no runtime for format foo", "another format", True, "create"),
    "unknown-runtime": End(
        "Failed", "There is no runtime named nope", "Name one that is there", True, "create"
    ),
    "unschedulable": End(
        "Loading", "No node has 64 CPU free: 1 node is too small", "Ask for less", stage="schedule"
    ),
}
_REVISION_2 = "ready-then-new-storage-uri"
_NEVER = re.compile(
    r"MinimumReplicas|minimum availability|MissingClusterDNS|ResourceMetric|MetricsReplicas|object has been modified"
)


@pytest.mark.parametrize("name", sorted(ENDS))
def test_ends_in_the_right_sentence(name: str) -> None:
    end, seen = ENDS[name], last(name)
    asked = service(name)
    if name == _REVISION_2:
        asked, seen = service(name, 2), replace(seen, probe=Probe(ok=True, generation=1, at=seen.now))
    elif end.probed:
        seen = probed(seen)

    found = status(asked, seen)

    assert found.state == end.state
    assert re.search(end.sentence, found.sentence)
    assert terminal(seen) is end.terminal
    if end.step is not None:
        assert end.step in str(found.next_step)
    at = next((s for s in found.stages if s.state in ("running", "failed")), found.stages[-1])
    assert (at.name, at.state) == (
        end.stage,
        "failed" if end.terminal else "done" if end.stage == "ready" else "running",
    )
    assert (found.error is not None) is end.terminal
    if end.terminal:
        assert found.error is not None
        assert found.error["message"] in found.sentence
        assert found.error["hint"]


@pytest.mark.parametrize("name", sorted(ENDS))
def test_every_step_is_told_without_noise_and_without_wavering(name: str) -> None:
    failed: dict[int, str] = {}
    steps = 0
    for step in play(name):
        found = status(service(name), step.seen)
        wants_logs(step.seen)
        steps += 1
        assert found.sentence
        assert found.to_json()["stages"]
        assert found.state != "Ready", "nothing has been predicted"
        assert found.ready_revision is None
        assert not _NEVER.search(found.sentence + str(found.next_step))
        assert not any(_NEVER.search(fact.what) for fact in found.facts)
        assert terminal(step.seen) is (found.state == "Failed")
        if step.change in failed:
            assert found.state == "Failed", f"at {step.t}: {failed[step.change]} and now {found.sentence}"
        elif found.state == "Failed":
            failed[step.change] = found.sentence
    assert steps > 10


def test_a_model_that_is_not_there_is_not_ready_though_kserve_says_so() -> None:
    seen = last("model-file-missing")
    assert seen.object is not None
    assert {one["type"]: one["status"] for one in seen.object["status"]["conditions"]}["Ready"] == "True"
    refused = probed(
        seen,
        code="PredictFailed",
        message="model-file-missing is there but cannot predict its own sample: Model does not exist",
        details={"status": 404},
    )

    found = status(service("model-file-missing"), refused)

    assert found.state == "Failed"
    assert "The sklearn server finds no model file at pvc://" in found.sentence
    assert found.ready_revision is None
    assert terminal(refused)
    assert wants_logs(refused) == ((seen.pods[0]["metadata"]["name"], "kserve-container", False),)
    assert {stage.name: stage.state for stage in found.stages}["predict"] == "failed"


def test_the_earlier_revision_serves_while_the_new_one_starts() -> None:
    states = []
    for step in play(_REVISION_2):
        if step.change == 1 and not terminal(step.seen):
            seen = replace(step.seen, probe=Probe(ok=True, generation=1, at=0))
            if seen.object is not None and seen.object["metadata"]["generation"] == 2:
                states.append(status(service(_REVISION_2, 2), seen))
    assert {found.state for found in states} == {"Updating"}
    assert {found.ready_revision for found in states} == {1}
    assert all(found.sentence.startswith("Revision 1 serves while revision 2 loads.") for found in states)


def test_a_second_replica_is_an_update_and_takes_nothing_away() -> None:
    for step in play("scale-to-two"):
        seen = replace(step.seen, probe=Probe(ok=True, generation=1, at=0))
        up = any(one.get("ready") for pod in seen.pods for one in pod["status"].get("containerStatuses", ()))
        if step.change == 1 and up:
            assert status(service("scale-to-two", 2), seen).state == "Updating"
    assert len(status(service("scale-to-two"), probed(last("scale-to-two"))).components) == 2


def test_pause_and_resume() -> None:
    told = []
    for step in play("stop-and-start"):
        sentence = status(service("stop-and-start"), step.seen).sentence
        if not told or told[-1] != sentence:
            told.append(sentence)
    paused = told.index("stop-and-start is paused: it uses nothing, and answers nothing.")
    assert told[paused - 1] == "stop-and-start is being paused."
    assert told[paused + 1] == "KServe is making the pods of stop-and-start."


def test_a_row_for_each_pod() -> None:
    rows = status(service("transformer"), last("transformer")).components
    assert [(row.component, row.phase, row.node, row.revision) for row in rows] == [
        ("predictor", "loaded", "vm", 1),
        ("transformer", "loaded", "vm", 1),
    ]
    assert all(row.pod is not None and row.pid is None for row in rows)


def test_the_log_that_tells_is_asked_for_and_quoted() -> None:
    seen = last("crash-loop")
    ((pod, container, previous),) = wants_logs(seen)
    assert (container, previous) == ("kserve-container", True)
    lines = ("Traceback (most recent call last):", "ValueError: no such model", "")
    told = status(service("crash-loop"), replace(seen, logs={f"{pod}/{container}": lines}))
    assert told.sentence.endswith("(exit 3): ValueError: no such model")
    assert told.error is not None
    assert told.error["details"]["log_tail"] == list(lines)
    without = status(service("crash-loop"), replace(seen, lacks=("get pods/log",)))
    assert "`get pods/log`" in str(without.next_step)
