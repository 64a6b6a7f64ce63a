"""A service's pods as rows: one a pod, with how it is in a few words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kale_serve_lab.serving.kserve import pods, sentences
from kale_serve_lab.serving.kserve.causes import Cause
from kale_serve_lab.serving.types import ComponentPhase, ObservedComponent


def rows(
    found: tuple[pods.Pod, ...], revision: int, causes: Mapping[str, Cause]
) -> tuple[ObservedComponent, ...]:
    """The newest pods are of `revision` unless they say another; older ones of what they say, or the one before."""
    newest = {pods.name_of(pod) for pod in pods.newest(found)}
    return tuple(
        _row(
            pod,
            revision if pods.name_of(pod) in newest else max(revision - 1, 0),
            causes.get(pods.name_of(pod)),
        )
        for pod in sorted(found, key=lambda pod: (pods.component_of(pod), pods.name_of(pod)))
    )


def _row(pod: pods.Pod, revision: int, why: Cause | None) -> ObservedComponent:
    own = pods.revision_of(pod)
    containers = list(pods.containers(pod))
    restarts = sum(int(one.get("restartCount") or 0) for one, _ in containers)
    ended = next((end for one, initial in containers if not initial and (end := pods.last_end(one))), None)
    phase, message = _phase(pod)
    if why is not None and not pods.going(pod):
        phase, message = ("failed" if why.terminal else phase), why.sentence
    return ObservedComponent(
        component=pods.component_of(pod),
        revision=revision if own is None else own,
        phase=phase,
        message=message,
        restarts=restarts,
        tries=restarts,
        ended="" if ended is None else sentences.exit_words(ended.get("exitCode"), ended.get("signal")),
        pod=pods.name_of(pod),
        node=(pod.get("spec") or {}).get("nodeName"),
    )


def _phase(pod: pods.Pod) -> tuple[ComponentPhase, str]:
    if pods.going(pod):
        return "ended", "It is being stopped."
    if pods.holds(pod, "Ready"):
        return "loaded", ""
    if not pods.scheduled(pod):
        return "starting", "It waits for a node."
    for container, initial in pods.containers(pod):
        if initial and pods.state(container, "running") is not None:
            return "starting", "The model is being fetched."
        if not initial and pods.state(container, "terminated") is not None:
            return "ended", "It ended."
        if not initial and (pods.state(container, "waiting") or {}).get("reason") == "CrashLoopBackOff":
            return "due", "It waits for its turn to be started again."
        if not initial and pods.state(container, "running") is not None and not container.get("ready"):
            return "loading", "It loads."
    return "starting", "Its container is being started."
