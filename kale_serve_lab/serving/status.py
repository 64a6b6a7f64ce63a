"""What is seen, in KServe's conditions, one plain sentence and the next step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kale_serve_lab.serving.types import (
    Condition,
    ConditionStatus,
    InferenceService,
    Observed,
    ObservedRevision,
    ServiceState,
    Stage,
    StageState,
    Status,
)

_READ_LOG = "Look at the log, mend the model, and serve it again."


def status(desired: InferenceService | None, observed: Observed | None) -> Status:
    """The status of what is asked as far as it is there; both None-safe, as a service comes and goes."""
    if desired is None or observed is None:
        deleting = observed is not None
        state: ServiceState = "Deleting" if deleting else "Pending"
        sentence = "Being deleted." if deleting else "Waits for its turn."
        return Status(state, sentence, None, None, (), (), None)
    target = observed.revision(desired.revision)
    front = observed.revision(observed.front)
    serving = front is not None and front.phase == "ready"
    state, sentence, step = _words(desired, observed, target, front)
    return Status(
        state=state,
        sentence=sentence,
        next_step=step,
        ready_revision=front.number if front is not None and serving else None,
        conditions=_conditions(desired, observed, target, front),
        stages=_stages(desired, observed, target),
        error=None if target is None else target.error,
        components=observed.components,
    )


def _words(
    desired: InferenceService,
    observed: Observed,
    target: ObservedRevision | None,
    front: ObservedRevision | None,
) -> tuple[ServiceState, str, str | None]:
    name = desired.key.name
    if observed.deleting:
        return "Deleting", f"{name} is being deleted.", None
    other = front is not None and front.number != desired.revision
    if target is not None and target.phase == "failed":
        cause = _message(target.error)
        if front is not None and other and front.phase == "ready":
            return (
                "Ready",
                f"Revision {front.number} serves; revision {target.number} failed: {cause}",
                _hint(target.error),
            )
        if front is not None and other:
            return (
                "Loading",
                f"Revision {front.number} starts again; revision {target.number} failed: {cause}",
                None,
            )
        return "Failed", cause, _hint(target.error)
    preparing = target is not None and any(part.phase == "preparing" for part in target.components)
    if front is not None and other and front.phase == "ready":
        what = (
            f"the environment of revision {desired.revision} is made"
            if preparing
            else f"revision {desired.revision} loads"
        )
        return "Updating", f"Revision {front.number} serves while {what}.", None
    if target is None:
        return "Pending", f"{name} waits for its turn.", None
    if target.phase == "ready" and not other and front is not None:
        again = [
            f" Its {part.component} was restarted, last because it ended ({part.ended})."
            for part in target.components
            if part.ended
        ]
        warned = [f" {warning}" for warning in target.warnings]
        return "Ready", "".join([f"{name} answers predictions.", *again, *warned]), None
    if target.phase == "ready":
        return "Loading", f"{name} is put in its place.", None
    if target.phase == "trying":
        return "Loading", f"{name} has loaded and makes a sample prediction.", None
    if preparing:
        line = f": {target.environment}" if target.environment else "."
        return "Loading", f"The environment of {name} is being made{line}", None
    for part in target.components:
        if part.phase in ("ended", "due"):
            return "Loading", f"The {part.component} ended ({part.message}) and is started again.", None
        if part.restarts and part.phase in ("starting", "loading"):
            return (
                "Loading",
                f"The {part.component} had ended ({part.ended}) and loads again (restart {part.restarts}).",
                None,
            )
    return "Loading", f"{name} loads.", None


def _message(error: Mapping[str, Any] | None) -> str:
    return str((error or {}).get("message") or "It failed.")


def _hint(error: Mapping[str, Any] | None) -> str:
    return str((error or {}).get("hint") or _READ_LOG)


def _conditions(
    desired: InferenceService,
    observed: Observed,
    target: ObservedRevision | None,
    front: ObservedRevision | None,
) -> tuple[Condition, ...]:
    shown = front if front is not None and front.phase != "failed" else target
    found: list[Condition] = []

    def add(kind: str, state: ConditionStatus, reason: str = "", message: str = "") -> None:
        found.append(Condition(kind, state, reason, message, observed.changed_at))

    for component in desired.components:
        kind = "PredictorReady" if component == "predictor" else "TransformerReady"
        part = next((p for p in shown.components if p.component == component), None) if shown else None
        if shown is not None and shown.phase == "failed":
            add(kind, "False", str((shown.error or {}).get("code") or "Failed"), _message(shown.error))
        elif part is not None and part.phase == "loaded":
            add(kind, "True")
        else:
            add(kind, "Unknown", "Loading", part.message if part else "")
    serving = front is not None and front.phase == "ready"
    add("IngressReady", "True" if front is not None else "Unknown", "" if front is not None else "NotReady")
    if target is not None and target.phase == "failed":
        code = str((target.error or {}).get("code") or "Failed")
        add("LatestDeploymentReady", "False", code, _message(target.error))
    else:
        done = serving and observed.front == desired.revision
        add("LatestDeploymentReady", "True" if done else "Unknown", "" if done else "Loading")
    if serving:
        add("Ready", "True")
    elif target is not None and target.phase == "failed":
        add("Ready", "False", str((target.error or {}).get("code") or "Failed"), _message(target.error))
    else:
        add("Ready", "Unknown", "Loading")
    return tuple(found)


def _stages(
    desired: InferenceService, observed: Observed, target: ObservedRevision | None
) -> tuple[Stage, ...]:
    seconds = target.seconds if target is not None else {}
    names = ["create", "load", "predict", "ready"]
    made = target is not None and (target.environment is not None or "environment" in seconds)
    error = (target.error if target is not None else None) or {}
    at = error.get("details", {}).get("stage")
    if made or at == "environment":
        names.insert(0, "environment")
    failed = target is not None and target.phase == "failed"
    if failed and at not in names:
        at = "predict" if error.get("code") == "PredictFailed" else "load"
    now = names.index(at) if failed else names.index(_running(desired, target, names))
    stages = [Stage("package", "done"), Stage("store", "done")]
    for index, name in enumerate(names):
        state: StageState = "done" if index < now else "waiting"
        message = ""
        if (
            index == now
            and target is not None
            and target.phase == "ready"
            and observed.front == target.number
        ):
            state = "done"
        elif index == now:
            state = "failed" if failed else "running"
            if failed:
                message = _message(error)
            elif name == "environment" and target is not None:
                message = target.environment or ""
        stages.append(Stage(name, state, message, seconds.get(name)))
    return tuple(stages)


def _running(desired: InferenceService, target: ObservedRevision | None, names: list[str]) -> str:
    """The stage that a revision that has not failed is at, or the last."""
    if target is None or not target.components:
        return names[0]
    phases = [part.phase for part in target.components]
    if target.phase == "ready":
        return "ready"
    if "preparing" in phases:
        return "environment" if "environment" in names else "create"
    if "starting" in phases:
        return "create"
    if any(phase != "loaded" for phase in phases) or len(phases) != len(desired.components):
        return "load"
    return "predict"
