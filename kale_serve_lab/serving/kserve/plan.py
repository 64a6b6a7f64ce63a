"""What is to be done next for a service on a cluster, from how far we are and what is there. Pure and level-triggered.

`next_step` looks at what is, not at what happened: a daemon that is started again goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# publish: files to where the cluster reads them; apply: the object; adopt: what belongs to it gets it as owner;
# probe: a real prediction; remove: the object and all that is its; forget: our record.
Step = Literal["publish", "apply", "adopt", "probe", "remove", "forget", "rest"]

REVISION = "kale-serve-lab/revision"
MANAGED_BY = "app.kubernetes.io/managed-by"
FIELD_MANAGER = "kale-serve-lab"
STOP = "serving.kserve.io/stop"


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


def next_step(progress: Progress, there: Mapping[str, Any] | None, pods: Iterable[Mapping[str, Any]]) -> Step:
    """The step. `there` is the object, None where the cluster has none; `pods` are those of the service."""
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
    if is_ready(there, pods) and progress.probed != generation_of(there):
        return "probe"
    return "rest"


def ours(there: Mapping[str, Any] | None, uid: str | None) -> bool:
    """Whether the object is the one that we made."""
    return there is not None and uid is not None and (there.get("metadata") or {}).get("uid") == uid


def is_managed(there: Mapping[str, Any] | None) -> bool:
    """Whether Kale has made the object, here or elsewhere."""
    labels = ((there or {}).get("metadata") or {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == FIELD_MANAGER)


def revision_of(there: Mapping[str, Any]) -> int:
    """The revision that the object says it is; 0 where it says none."""
    value = ((there.get("metadata") or {}).get("annotations") or {}).get(REVISION)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else 0


def generation_of(there: Mapping[str, Any]) -> int:
    """Which version of the spec this is."""
    return int((there.get("metadata") or {}).get("generation") or 0)


def is_ready(there: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> bool:
    """Whether KServe says so of this generation, and the newest pods say so too.

    In the Standard mode an older pod keeps the condition Ready while the new one starts.
    """
    status = there.get("status") or {}
    seen = status.get("observedGeneration")
    if seen is not None and int(seen) < generation_of(there):
        return False
    if not has(status.get("conditions"), "Ready"):
        return False
    return all(has((pod.get("status") or {}).get("conditions"), "Ready") for pod in newest(pods))


def newest(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each component the pods made from its newest template."""
    by_component: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        metadata = pod.get("metadata") or {}
        if metadata.get("deletionTimestamp"):
            continue
        component = str((metadata.get("labels") or {}).get("component") or "")
        by_component.setdefault(component, []).append(pod)
    found: list[Mapping[str, Any]] = []
    for group in by_component.values():
        latest = max(group, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
        found += [pod for pod in group if template_of(pod) == template_of(latest)]
    return found


def template_of(pod: Mapping[str, Any]) -> str:
    """What names the pod's template, which is another one for each change of what runs."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return str(labels.get("pod-template-hash") or labels.get("serving.knative.dev/revision") or "")


def has(conditions: Any, kind: str) -> bool:
    """Whether a condition is True."""
    return isinstance(conditions, list) and any(
        isinstance(one, Mapping) and one.get("type") == kind and one.get("status") == "True"
        for one in conditions
    )
