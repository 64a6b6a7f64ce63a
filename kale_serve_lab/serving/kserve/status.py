"""What is seen of a service on a cluster, as a state, one plain sentence and the next step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from kale_serve_lab.serving.kserve import causes, pod_rows, pods, stages
from kale_serve_lab.serving.kserve.causes import Cause
from kale_serve_lab.serving.kserve.facts import facts
from kale_serve_lab.serving.kserve.marks import STOP, revision_of
from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.seen import Seen
from kale_serve_lab.serving.types import Condition, ConditionStatus, InferenceService, ServiceState, Status

_Words = tuple[ServiceState, str, str | None]
_LOG_LINES = 20


def status(desired: InferenceService | None, seen: Seen) -> Status:
    """The status; `desired` is None for a service that Kale did not make. Never raises for what a cluster may hold."""
    revision = _revision(desired, seen)
    name = _name(desired, seen)
    why = _why(seen)
    state, sentence, step = _words(name, revision, seen, why)
    if _paused(seen):
        why = None
    failed = why.sentence if why is not None and why.terminal and state != "Deleting" else None
    ready = _ready_revision(seen, revision, state)
    if state in ("Ready", "Updating") and seen.drift:
        sentence += f" Others have changed {_listed(seen.drift)}."
        step = step or "serve(…, overwrite=True) takes it back."
    if seen.stale_since is not None:
        sentence = f"The cluster does not answer; seen last: {sentence}"
        step = "`kale-serve cluster check` says why it does not answer."
    return Status(
        state=state,
        sentence=sentence,
        next_step=step,
        ready_revision=ready,
        conditions=_conditions(seen),
        stages=stages.stages(seen, revision, why, failed),
        error=_error(seen, name, why) if failed is not None else None,
        components=pod_rows.rows(
            seen.pods, revision, {} if why is None or why.pod is None else {why.pod: why}
        ),
        stale_since=seen.stale_since,
        drift=seen.drift,
        facts=facts(seen.events),
        paused=_paused(seen),
    )


def terminal(seen: Seen) -> bool:
    """Whether waiting cannot help, so that `serve(wait=True)` stops at once.

    What we ourselves failed at: nobody tries it again. An unknown format, runtime or anything else that KServe's controller
    refuses, and a host name that is too long: it says the same until the object changes. An image that cannot be pulled once
    the kubelet backs off (not where the registry only has too many requests), a container that cannot be started or configured, a claim that
    does not exist: they need a hand. A container that has ended twice, out of memory or else: once may be an accident.
    A prediction that the server itself refused.

    Not: a pod that fits no node, a quota, a volume not mounted yet, a node that is not ready, an unanswered readiness probe, a
    connection refused: others' doing may heal these. They are said, and waited for.
    """
    why = _why(seen)
    return why is not None and why.terminal and not _leaving(seen)


def wants_logs(seen: Seen) -> tuple[tuple[str, str, bool], ...]:
    """Which logs would tell the cause: (pod, container, whether of the run before the present one)."""
    if seen.object is None or _leaving(seen) or _paused(seen):
        return ()
    wanted = []
    unanswered = causes.cause(seen)
    refused = seen.probe is not None and not seen.probe.ok
    for pod in pods.newest(seen.pods):
        name = pods.name_of(pod)
        for container, _ in pods.containers(pod):
            if container.get("ready") and not refused:
                continue
            end = pods.last_end(container)
            if end is not None and end.get("exitCode") not in (0, None) and not container.get("ready"):
                wanted.append((name, str(container["name"]), pods.state(container, "terminated") is None))
            elif pods.state(container, "running") is not None and (
                refused or (unanswered is not None and unanswered.pod == name)
            ):
                wanted.append((name, str(container["name"]), False))
    return tuple(wanted)


def _words(name: str, revision: int, seen: Seen, why: Cause | None) -> _Words:
    if _leaving(seen):
        return "Deleting", f"{name} is being deleted.", None
    if _paused(seen):
        words = "is being paused" if seen.pods else "is paused: it uses nothing, and answers nothing"
        return "Pending", f"{name} {words}.", "Resume it to predict again."
    now = stages.at(seen, revision)
    if now == "ready" and seen.failed is None:
        return _ready(name, seen, why)
    if _serves(seen):
        return _beside(name, revision, seen, why)
    if why is not None:
        return ("Failed" if why.terminal else "Loading"), why.sentence, why.step
    if seen.publishing is not None:
        return "Loading", stages.publishing_words(seen), None
    if seen.object is None:
        return "Pending", f"{name} waits for its turn.", None
    return "Loading", _loading(name, seen, now), _lacking(seen)


def _ready(name: str, seen: Seen, why: Cause | None) -> _Words:
    found = seen.object or {}
    traffic = _traffic(found)
    if not stages.probed(seen):
        return "Ready", f"KServe says that {name} is ready; Kale has not tried it.{traffic}", None
    if why is not None:
        return "Ready", f"{name} answers predictions. {why.sentence}{traffic}", why.step
    return "Ready", f"{name} answers predictions.{traffic}", None


def _beside(name: str, revision: int, seen: Seen, why: Cause | None) -> _Words:
    """Something serves while something else does not yet."""
    if _partly(seen, revision):
        newest = pods.newest(seen.pods)
        up = sum(pods.holds(pod, "Ready") for pod in newest)
        many = f", with {up} of {len(newest)} pods" if up < len(newest) else ""
        more = f" {why.sentence}" if why is not None else ""
        return "Ready", f"{name} answers predictions{many}.{more}", why.step if why is not None else None
    earlier = _earlier(seen, revision)
    first = f"Revision {earlier}" if earlier else "The earlier revision"
    if why is not None and why.terminal:
        return "Ready", f"{first} serves; revision {revision} failed: {why.sentence}", why.step
    if why is not None:
        return "Updating", f"{first} serves while revision {revision} loads. {why.sentence}", why.step
    if seen.publishing is not None:
        return "Updating", f"{first} serves. {stages.publishing_words(seen)}", None
    return "Updating", f"{first} serves while revision {revision} loads.", None


def _loading(name: str, seen: Seen, now: stages.Name) -> str:
    if now == "predict":
        return f"KServe says that {name} is ready; a sample is being predicted."
    if now == "create":
        return f"KServe is making the pods of {name}."
    if now == "schedule":
        return f"{name} waits for a node."
    for pod in pods.newest(seen.pods):
        for container, initial in pods.containers(pod):
            if initial and pods.state(container, "running") is not None:
                return f"The model of {name} is being fetched."
            if not initial and pods.state(container, "waiting") is not None:
                return f"The container of the {pods.component_of(pod)} is being started."
    return f"{name} loads."


def _lacking(seen: Seen) -> str | None:
    if not seen.lacks:
        return None
    return f"To say more, Kale needs the right to {_listed(seen.lacks)} in this namespace."


def _why(seen: Seen) -> Cause | None:
    """Our own failure first, then the cluster's, then the prediction's."""
    if seen.failed is not None:
        told = seen.failed
        at = str((told.get("details") or {}).get("stage") or "")
        stage = cast("causes.StageName", at if at in ("create", "schedule", "load", "predict") else "create")
        return Cause(
            str(told.get("message") or "It failed."),
            str(told.get("hint") or "Serve it again."),
            terminal=True,
            stage=stage,
            code=str(told.get("code") or "KaleServeError"),
        )
    return causes.cause(seen) or causes.of_probe(seen)


def _serves(seen: Seen) -> bool:
    """Whether predictions are answered by something: one has been, and each component has a pod that is ready."""
    found, probe = seen.object, seen.probe
    if found is None or probe is None or not probe.ok:
        return False
    there = [pod for pod in seen.pods if not pods.going(pod)]
    if not there:
        return pods.holds(found, "Ready")
    kinds = {pods.component_of(pod) for pod in there}
    return all(
        any(pods.component_of(pod) == kind and pods.holds(pod, "Ready") for pod in there) for kind in kinds
    )


def _partly(seen: Seen, revision: int) -> bool:
    """Whether this revision has answered, and some of its pods are up though not all."""
    newest = pods.newest(seen.pods)
    return (
        seen.failed is None
        and stages.probed(seen)
        and stages.applied(seen, revision)
        and (not newest or any(pods.holds(pod, "Ready") for pod in newest))
    )


def _ready_revision(seen: Seen, revision: int, state: ServiceState) -> int | None:
    if state == "Deleting" or _paused(seen):
        return None
    if stages.at(seen, revision) == "ready" and seen.failed is None:
        return revision
    if not _serves(seen):
        return None
    return revision if _partly(seen, revision) else _earlier(seen, revision)


def _earlier(seen: Seen, revision: int) -> int | None:
    """The revision that serves while `revision` does not; None where nothing tells."""
    told = [
        number
        for pod in seen.pods
        if pods.holds(pod, "Ready") and (number := pods.revision_of(pod)) is not None and number < revision
    ]
    if told:
        return max(told)
    there = revision_of(seen.object) if seen.object is not None else 0
    if 0 < there < revision:
        return there
    return revision - 1 if revision > 1 else None


def _traffic(found: Mapping[str, Any]) -> str:
    """Who gets how much, where more than one does."""
    status = found.get("status") or {}
    canaries = [one for one in status.get("canaryStatuses") or () if one.get("trafficPercent") is not None]
    if canaries:
        rest = 100 - sum(int(one["trafficPercent"]) for one in canaries)
        parts = [f"{rest} % of them the first model"]
        parts += [
            f"{one['trafficPercent']} % the canary {one.get('name')}{'' if one.get('ready', True) else ' (not ready)'}"
            for one in canaries
        ]
        return f" {', '.join(parts)}."
    shares = [
        one
        for one in ((status.get("components") or {}).get("predictor") or {}).get("traffic") or ()
        if one.get("percent")
    ]
    if len(shares) < 2:
        return ""
    told = [
        f"{one['percent']} % of them {one.get('revisionName')}"
        + (
            " (the former)"
            if one.get("tag") == "prev"
            else " (the newest)"
            if one.get("latestRevision")
            else ""
        )
        for one in shares
    ]
    return f" {', '.join(told)}."


def _conditions(seen: Seen) -> tuple[Condition, ...]:
    told = ((seen.object or {}).get("status") or {}).get("conditions")
    return tuple(
        Condition(
            str(one.get("type")),
            cast(
                "ConditionStatus", one.get("status") if one.get("status") in ("True", "False") else "Unknown"
            ),
            str(one.get("reason") or ""),
            str(one.get("message") or ""),
            milliseconds(one.get("lastTransitionTime")),
        )
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, Mapping)
    )


def _error(seen: Seen, name: str, why: Cause | None) -> Mapping[str, Any] | None:
    if seen.failed is not None:
        return seen.failed
    if why is None:
        return None
    details: dict[str, Any] = {"stage": why.stage}
    if why.pod:
        details["pod"] = why.pod
    if why.log:
        details["log_tail"] = list(why.log[-_LOG_LINES:])
    return {"code": why.code, "message": why.sentence, "subject": name, "hint": why.step, "details": details}


def _revision(desired: InferenceService | None, seen: Seen) -> int:
    if desired is not None:
        return desired.revision
    return revision_of(seen.object) if seen.object is not None else 0


def _name(desired: InferenceService | None, seen: Seen) -> str:
    return desired.key.name if desired is not None else pods.name_of(seen.object or {}) or "The service"


def _leaving(seen: Seen) -> bool:
    return seen.deleting or bool(((seen.object or {}).get("metadata") or {}).get("deletionTimestamp"))


def _paused(seen: Seen) -> bool:
    annotations = ((seen.object or {}).get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(STOP)).lower() == "true" and seen.failed is None


def _listed(what: tuple[str, ...]) -> str:
    return ", ".join(f"`{one}`" for one in what[:3]) + (f" and {len(what) - 3} more" if len(what) > 3 else "")
