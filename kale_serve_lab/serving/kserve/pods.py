"""A service's pods as KServe makes them: which component, which template, which container is how. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from kale_serve_lab.serving.kserve.marks import REVISION
from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.sentences import amount
from kale_serve_lab.serving.types import ComponentName

Pod = Mapping[str, Any]
SERVER = "kserve-container"
_KNATIVE_CONFIGURATION = "serving.knative.dev/configuration"


def name_of(found: Mapping[str, Any]) -> str:
    """An object's name."""
    return str((found.get("metadata") or {}).get("name") or "")


def component_of(pod: Pod) -> ComponentName:
    """What KServe labels it with; by its name where there is no label."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    label = labels.get("component")
    if not label:
        label = "transformer" if "-transformer-" in name_of(pod) else "predictor"
    return cast("ComponentName", str(label))


def revision_of(pod: Pod) -> int | None:
    """The revision that its annotation names, if any."""
    value = ((pod.get("metadata") or {}).get("annotations") or {}).get(REVISION)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else None


def going(pod: Pod) -> bool:
    """Whether it is being deleted."""
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def newest(pods: Iterable[Pod]) -> list[Pod]:
    """Of each Deployment (a canary has one of its own) or Knative Service the pods of the newest template that are to stay."""
    groups: dict[tuple[str, str], list[Pod]] = {}
    for pod in pods:
        if not going(pod):
            labels = (pod.get("metadata") or {}).get("labels") or {}
            # Knative's `app` is another one for each revision.
            maker = labels.get(_KNATIVE_CONFIGURATION) or labels.get("app")
            groups.setdefault((component_of(pod), str(maker)), []).append(pod)
    found: list[Pod] = []
    for group in groups.values():
        # Kubernetes tells whole seconds.
        latest = max(group, key=lambda pod: (revision_of(pod) or 0, _made(pod), name_of(pod)))
        found += [pod for pod in group if template(pod) == template(latest)]
    return found


def template(pod: Pod) -> str:
    """What tells one rollout's pods from another's."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return str(labels.get("serving.knative.dev/revision") or labels.get("pod-template-hash") or "")


def condition(found: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A condition of an object's status by its type."""
    conditions = (found.get("status") or {}).get("conditions")
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, Mapping) and one.get("type") == kind:
            return one
    return None


def holds(found: Mapping[str, Any], kind: str) -> bool:
    """Whether that condition is True."""
    return (condition(found, kind) or {}).get("status") == "True"


def scheduled(pod: Pod) -> bool:
    """Whether it has a node."""
    return bool((pod.get("spec") or {}).get("nodeName")) or holds(pod, "PodScheduled")


def containers(pod: Pod) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The statuses of its containers, those that come first in time first, with whether each is an init container."""
    status = pod.get("status") or {}
    for key, initial in (("initContainerStatuses", True), ("containerStatuses", False)):
        for one in status.get(key) or ():
            if isinstance(one, Mapping):
                yield one, initial


def state(container: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Its state of this kind ("waiting", "running", "terminated"), None where it is in another."""
    found = (container.get("state") or {}).get(kind)
    return found if isinstance(found, Mapping) else None


def last_end(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How it last ended, now or before it was started again."""
    found = state(container, "terminated") or (container.get("lastState") or {}).get("terminated")
    return found if isinstance(found, Mapping) else None


def ends(container: Mapping[str, Any]) -> int:
    """How often it has ended, as far as is told."""
    restarts = int(container.get("restartCount") or 0)
    waits = (state(container, "waiting") or {}).get("reason") == "CrashLoopBackOff"
    return restarts + (1 if state(container, "terminated") is not None or waits else 0)


def spec_of(pod: Pod, container: str) -> Mapping[str, Any]:
    """What was asked of a container."""
    spec = pod.get("spec") or {}
    for key in ("containers", "initContainers"):
        for one in spec.get(key) or ():
            if isinstance(one, Mapping) and one.get("name") == container:
                return one
    return {}


def requests(pod: Pod) -> dict[str, str]:
    """What its largest container asks for, by resource."""
    most: dict[str, str] = {}
    for container in (pod.get("spec") or {}).get("containers") or ():
        for resource, asked in ((container.get("resources") or {}).get("requests") or {}).items():
            if amount(asked) >= amount(most.get(resource)):
                most[resource] = str(asked)
    return most


def claims(pod: Pod) -> tuple[str, ...]:
    """The volume claims that it mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return tuple(
        str(claim["claimName"]) for one in volumes if (claim := one.get("persistentVolumeClaim")) is not None
    )


def _made(pod: Pod) -> int:
    return milliseconds((pod.get("metadata") or {}).get("creationTimestamp"))
