"""plan() is level-triggered: after its own actions there is nothing left to plan, whatever it started from."""

from __future__ import annotations

import random

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.plan import after, plan
from kale_serve_lab.serving.status import status
from kale_serve_lab.serving.types import (
    Action,
    ArtifactRef,
    InferenceService,
    Observed,
    ObservedComponent,
    ObservedRevision,
    ServiceKey,
)

KEY = ServiceKey("default", "iris")
REF = ArtifactRef(1, "kale.Model", "iris", "1", "u", "d", "sklearn")


def service(revision: int, transformer: bool = False) -> InferenceService:
    return InferenceService(
        KEY, revision, REF, REF if transformer else None, ServeConfig(), "kale-built-in", "v2", 0, 0
    )


def any_observed(rng: random.Random) -> Observed:
    phases = ["loading", "trying", "ready", "failed", "draining"]
    parts = ["starting", "loading", "loaded", "ended", "due", "failed"]
    revisions = []
    for number in sorted(rng.sample(range(1, 6), rng.randint(0, 4))):
        names = rng.choice([("predictor",), ("predictor", "transformer"), ("transformer",), ()])
        revisions.append(
            ObservedRevision(
                number,
                rng.choice(phases),
                tuple(ObservedComponent(name, number, phase=rng.choice(parts)) for name in names),
                error={"code": "ModelLoadFailed", "message": "m", "details": {}},
            )
        )
    front = rng.choice([None, *[revision.number for revision in revisions]])
    return Observed(KEY, tuple(revisions), front, deleting=rng.random() < 0.1)


def test_after_its_own_actions_nothing_is_left_to_plan() -> None:
    for seed in range(4_000):
        rng = random.Random(seed)
        observed = any_observed(rng)
        desired = rng.choice([None, service(rng.randint(1, 6), rng.random() < 0.5)])
        seen = observed
        for action in plan(desired, observed):
            seen = after(seen, action)
        assert plan(desired, seen) == [], (seed, desired, observed, seen)
        status(desired, seen)


def test_the_revision_that_serves_is_never_stopped_before_another_is_at_the_front() -> None:
    for seed in range(4_000):
        observed = any_observed(random.Random(seed))
        desired = service(random.Random(-seed).randint(1, 6))
        front = observed.revision(observed.front)
        if observed.deleting or front is None or front.phase != "ready":
            continue
        for action in plan(desired, observed):
            assert action != Action("stop", front.number), seed
            if action == Action("drain", front.number):
                assert observed.front != desired.revision


def test_a_failed_new_revision_leaves_the_old_one_serving_and_says_so() -> None:
    ready = ObservedRevision(1, "ready", (ObservedComponent("predictor", 1, phase="loaded"),))
    failed = ObservedRevision(
        2, "failed", error={"code": "ModelLoadFailed", "message": "No such class.", "details": {}}
    )
    observed = Observed(KEY, (ready, failed), 1)
    assert plan(service(2), observed) == []
    seen = status(service(2), observed)
    assert seen.state == "Ready"
    assert seen.ready_revision == 1
    assert "revision 2 failed: No such class." in seen.sentence
    assert {c.type: c.status for c in seen.conditions}["LatestDeploymentReady"] == "False"
    assert [s.state for s in seen.stages][:4] == ["done", "done", "done", "failed"]
