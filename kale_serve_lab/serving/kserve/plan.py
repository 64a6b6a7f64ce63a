"""What is to be done next for a service on a cluster, from how far we are and what is there. Pure and level-triggered.

`next_step` looks at what is, not at what happened: a daemon that is started again goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kale_serve_lab.serving.kserve import marks, pods
from kale_serve_lab.serving.kserve.marks import generation_of

# publish: files to where the cluster reads them; apply: the object; adopt: what belongs to it gets it as owner;
# probe: a real prediction; remove: the object and all that is its; forget: our record.
Step = Literal["publish", "apply", "adopt", "probe", "remove", "forget", "rest"]


@dataclass(frozen=True)
class Progress:
    """How far we are with a service; all of it is durable. Numbers are revisions, but for `probed`, which is a generation.

    `uid` is that of the object that we made, `generation` what the API server answered to the last apply.
    """

    asked: int
    placed: int = 0
    applied: int = 0
    adopted: int = 0
    uid: str | None = None
    generation: int | None = None
    probed: int | None = None
    paused: bool = False
    deleting: bool = False
    failed: bool = False


def next_step(
    progress: Progress, there: Mapping[str, Any] | None, found: Iterable[Mapping[str, Any]]
) -> Step:
    """The step. `there` is the object, None where the cluster has none; `found` are the pods of the service."""
    if progress.deleting:
        return "remove" if progress.applied or ours(there, progress.uid) else "forget"
    if progress.failed:
        return "rest"
    if progress.placed != progress.asked:
        return "publish"
    if progress.applied != progress.asked:
        return "apply"
    if progress.adopted != progress.asked:
        return "adopt"
    if there is None or progress.paused or not ours(there, progress.uid):
        # Deleted or replaced by somebody else: that is told, and not undone unasked.
        return "rest"
    if is_ready(there, found) and progress.probed != generation_of(there):
        return "probe"
    return "rest"


def ours(there: Mapping[str, Any] | None, uid: str | None) -> bool:
    """Whether the object is the one that we made."""
    return there is not None and uid is not None and (there.get("metadata") or {}).get("uid") == uid


def is_ready(there: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether KServe says so of this generation, and the newest pods (of `found`) say so too.

    In the Standard mode an older pod keeps the condition Ready while the new one starts, or is not even there.
    """
    if not pods.holds(there, "Ready") or not _observed(there):
        return False
    newest = pods.newest(found)
    return not earlier(newest, marks.revision_of(there)) and all(pods.holds(pod, "Ready") for pod in newest)


def earlier(newest: Iterable[Mapping[str, Any]], revision: int) -> bool:
    """Whether a component has pods of earlier revisions only. KServe passes our annotation on; pods without it say nothing."""
    latest: dict[str, int] = {}
    for pod in newest:
        if named := marks.revision_of(pod):
            component = pods.component_of(pod)
            latest[component] = max(named, latest.get(component, 0))
    return any(named < revision for named in latest.values())


def _observed(there: Mapping[str, Any]) -> bool:
    """Whether what KServe says is of this generation.

    With a canary in the Standard mode `observedGeneration` stays behind for good: there the canaries themselves tell.
    """
    status, canaries = there.get("status") or {}, (there.get("spec") or {}).get("canary")
    if isinstance(canaries, list) and canaries:
        up = [
            (one.get("name"), one.get("trafficPercent"))
            for one in status.get("canaryStatuses") or ()
            if one.get("ready")
        ]
        return all(
            ((one.get("predictor") or {}).get("name"), one.get("trafficPercent")) in up for one in canaries
        )
    seen = status.get("observedGeneration")
    return seen is None or int(seen) >= generation_of(there)
