"""How far a service on a cluster is on its way to Ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from kale_serve_lab.serving.kserve import marks, plan, pods
from kale_serve_lab.serving.kserve.causes import Cause
from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.seen import Seen
from kale_serve_lab.serving.types import Stage, StageState

Name = Literal["package", "store", "create", "schedule", "load", "predict", "ready"]
NAMES: Final[tuple[Name, ...]] = ("package", "store", "create", "schedule", "load", "predict", "ready")


def applied(seen: Seen, revision: int) -> bool:
    """Whether the object on the cluster is of this revision; one that names none is taken for it."""
    if seen.object is None or seen.publishing is not None:
        return False
    there = marks.revision_of(seen.object)
    return there in (0, revision) or there > revision


def probed(seen: Seen) -> bool:
    """Whether a prediction by this generation of the object has been answered."""
    probe = seen.probe
    return bool(
        probe is not None
        and probe.ok
        and seen.object is not None
        and probe.generation == marks.generation_of(seen.object)
    )


def at(seen: Seen, revision: int) -> Name:
    """The stage that it is at; "ready" is reached when it is the last."""
    found = seen.object
    if not applied(seen, revision) or found is None:
        return "store" if seen.publishing is not None or found is None else "create"
    newest = pods.newest(seen.pods)
    pods_up = all(pods.holds(pod, "Ready") for pod in newest)
    up = pods_up and pods.holds(found, "Ready")
    # An answer and its pods outweigh KServe's own word, which comes later.
    if probed(seen) and (up or (newest and pods_up)):
        return "ready"
    if up and plan.is_ready(found, newest):
        return "predict" if seen.tried else "ready"
    if not newest:
        # A service that has scaled to zero has none, and is up.
        return "load" if pods.holds(found, "Ready") else "create"
    if not all(pods.scheduled(pod) for pod in newest):
        return "schedule"
    return "load"


def stages(seen: Seen, revision: int, why: Cause | None, failed: str | None) -> tuple[Stage, ...]:
    """All of them. `why` stands in the way; `failed` is the sentence of what has ended it, None while it goes on."""
    now = at(seen, revision)
    if failed is not None and why is not None:
        now = why.stage
    number = NAMES.index(now)
    took = _seconds(seen)
    found = []
    for index, name in enumerate(NAMES):
        state: StageState = "done" if index < number else "waiting"
        message = ""
        if index == number:
            state = "failed" if failed is not None else "done" if name == "ready" else "running"
            message = failed or (why.sentence if why is not None and state == "running" else "")
            if name == "store" and seen.publishing is not None and not message:
                message = publishing_words(seen)
        found.append(Stage(name, state, message, took.get(name) if state == "done" else None))
    return tuple(found)


def publishing_words(seen: Seen) -> str:
    """How far the upload is."""
    going = seen.publishing
    assert going is not None
    what = going.message or "The model"
    if not going.total:
        return f"{what} is being sent to the cluster's store."
    return f"{what} is being sent to the cluster's store: {_megabytes(going.done)} of {_megabytes(going.total)} MB."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _seconds(seen: Seen) -> dict[str, float]:
    """By what the objects say; Kubernetes tells whole seconds. Of a first revision only is it known when it was asked for."""
    newest = pods.newest(seen.pods)
    made = [milliseconds((pod.get("metadata") or {}).get("creationTimestamp")) for pod in newest]
    placed = [_since(pod, "PodScheduled") for pod in newest]
    ready = [_since(pod, "Ready") for pod in newest]
    took: dict[str, float] = {}
    created = milliseconds(((seen.object or {}).get("metadata") or {}).get("creationTimestamp"))
    annotations = ((seen.object or {}).get("metadata") or {}).get("annotations") or {}
    # One that was paused has its first pods behind it.
    first = (
        seen.object is not None and marks.generation_of(seen.object) <= 1 and marks.STOP not in annotations
    )
    if first and created and made and all(made):
        took["create"] = _between([created], made)
    if made and all(made) and placed and all(placed):
        took["schedule"] = _between(made, placed)
        if all(ready):
            took["load"] = _between(placed, ready)
    return took


def _since(pod: Mapping[str, Any], kind: str) -> int:
    told = pods.condition(pod, kind) or {}
    return milliseconds(told.get("lastTransitionTime")) if told.get("status") == "True" else 0


def _between(begin: Sequence[int], end: Sequence[int]) -> float:
    return max(0.0, (max(end) - max(begin)) / 1000)
