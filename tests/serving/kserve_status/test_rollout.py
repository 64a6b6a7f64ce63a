"""Which pods are a revision's, and when KServe's word is of it."""

from __future__ import annotations

from typing import Any

import pytest

from kale_serve_lab.serving.kserve import marks, plan, pods

READY = [{"type": "Ready", "status": "True"}]
MADE = "2026-11-23T03:00:00Z"


def pod(name: str, revision: int | None = None, *, ready: bool = True, **labels: str) -> dict[str, Any]:
    annotations = {} if revision is None else {marks.REVISION: str(revision)}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": MADE,
            "annotations": annotations,
            "labels": {"component": "predictor", **labels},
        },
        "status": {"conditions": READY if ready else []},
    }


def service(revision: int, generation: int, observed: int, **status: Any) -> dict[str, Any]:
    annotations = {marks.REVISION: str(revision)}
    return {
        "metadata": {"name": "iris", "generation": generation, "annotations": annotations},
        "spec": {},
        "status": {"conditions": READY, "observedGeneration": observed, **status},
    }


def names(found: list[pods.Pod]) -> list[str]:
    return [pods.name_of(one) for one in found]


def test_of_two_made_in_one_second_the_later_revision_is_the_newest() -> None:
    old = pod("z", 1, app="a", **{"pod-template-hash": "f"})
    new = pod("a", 2, app="a", **{"pod-template-hash": "0"})
    assert names(pods.newest([old, new])) == ["a"]


def test_a_canary_hides_no_pod_of_the_main_ones() -> None:
    main = pod("main", 1, app="isvc.iris-predictor", **{"pod-template-hash": "1"})
    canary = pod("canary", 2, app="isvc.iris-v2-predictor", **{"pod-template-hash": "2"})
    assert names(pods.newest([main, canary])) == ["main", "canary"]


def test_knatives_revisions_are_of_one_maker() -> None:
    of = "iris-predictor"
    found = [
        pod(f"p{number}", number, app=f"{of}-0000{number}", **{
            "serving.knative.dev/configuration": of, "serving.knative.dev/revision": f"{of}-0000{number}"})
        for number in (1, 2)
    ]  # fmt: skip
    assert names(pods.newest(found)) == ["p2"]


@pytest.mark.parametrize(
    ("found", "ready"),
    [
        pytest.param([pod("old", 1)], False, id="former-pods-only"),
        pytest.param([pod("new", 2)], True, id="its-own"),
        pytest.param([pod("new", 2, ready=False)], False, id="its-own-loads"),
        pytest.param([pod("silent")], True, id="pods-that-say-nothing"),
        pytest.param([], True, id="scaled-to-zero"),
    ],
)
def test_ready_by_the_pods_of_this_revision(found: list[dict[str, Any]], ready: bool) -> None:
    assert plan.is_ready(service(2, 1, 1), found) is ready


@pytest.mark.parametrize(
    ("told", "ready"), [({}, False), ({"ready": True}, True), ({"ready": True, "trafficPercent": 5}, False)]
)
def test_with_a_canary_the_canary_tells_of_the_generation(told: dict[str, Any], ready: bool) -> None:
    there = service(2, 2, 1, canaryStatuses=[{"name": "v2", "trafficPercent": 20, **told}])
    assert not plan.is_ready(there, [])
    there["spec"] = {"canary": [{"trafficPercent": 20, "predictor": {"name": "v2"}}]}
    assert plan.is_ready(there, []) is ready
