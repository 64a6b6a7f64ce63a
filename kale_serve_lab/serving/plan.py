"""What is to be done next, from what is asked and what is there. Pure and level-triggered.

`plan` looks at what is, not at what happened; carrying its actions out with `after` leaves nothing to plan. What takes
time (a process that loads, a sample prediction, a wait before the next try) comes back later as another `Observed`.
"""

from __future__ import annotations

from dataclasses import replace

from kale_serve_lab.serving.types import (
    Action,
    ComponentName,
    InferenceService,
    Observed,
    ObservedComponent,
    ObservedRevision,
)


def plan(desired: InferenceService | None, observed: Observed) -> list[Action]:
    """The actions, in order. `desired` None, or `observed.deleting`, asks for nothing to be left."""
    if desired is None or observed.deleting:
        return [Action("stop", revision.number) for revision in observed.revisions]
    target = observed.revision(desired.revision)
    switching = target is not None and target.phase == "ready"
    actions: list[Action] = []
    for revision in observed.revisions:
        if revision.number == desired.revision or revision.phase == "draining":
            continue
        if revision.number != observed.front or revision.phase == "failed":
            actions.append(Action("stop", revision.number))
        elif not switching:
            # It serves until the new one is ready, so it is cared for until then.
            actions += _progress(revision)
    if target is None:
        return actions + [Action("start", desired.revision, component) for component in desired.components]
    actions += _progress(target, desired.components)
    if switching and observed.front != target.number:
        actions.append(Action("switch", target.number))
    if switching:
        actions += [
            Action("drain", revision.number)
            for revision in observed.revisions
            if revision.number == observed.front != target.number
            and revision.phase not in ("draining", "failed")
        ]
    return actions


def _progress(revision: ObservedRevision, wanted: tuple[ComponentName, ...] = ()) -> list[Action]:
    if revision.phase == "failed":
        return [Action("end", revision.number)] if revision.components else []
    if revision.phase == "draining":
        return []
    there = {component.component for component in revision.components}
    actions = [Action("start", revision.number, name) for name in wanted if name not in there]
    actions += [
        Action("restart", revision.number, component.component)
        for component in revision.components
        if component.phase == "due"
    ]
    loaded = all(component.phase == "loaded" for component in revision.components)
    if revision.phase == "loading" and loaded and not actions:
        actions.append(Action("try", revision.number))
    return actions


def after(observed: Observed, action: Action) -> Observed:
    """What is there as soon as `action` has begun."""
    number = action.revision
    if action.kind == "stop":
        left = tuple(revision for revision in observed.revisions if revision.number != number)
        return replace(observed, revisions=left, front=None if observed.front == number else observed.front)
    if action.kind == "switch":
        return replace(observed, front=number)
    revision = observed.revision(number) or ObservedRevision(number)
    if action.kind == "start" and action.component is not None:
        revision = replace(
            revision,
            phase="loading",
            components=(*revision.components, ObservedComponent(action.component, number)),
        )
    elif action.kind == "restart":
        revision = replace(
            revision,
            phase="loading",
            components=tuple(
                replace(part, phase="starting", pid=None, restarts=part.restarts + 1, tries=part.tries + 1)
                if part.component == action.component
                else part
                for part in revision.components
            ),
        )
    elif action.kind == "try":
        revision = replace(revision, phase="trying")
    elif action.kind == "drain":
        revision = replace(revision, phase="draining")
    elif action.kind == "end":
        revision = replace(revision, components=())
        observed = replace(observed, front=None if observed.front == number else observed.front)
    return with_revision(observed, revision)


def with_revision(observed: Observed, revision: ObservedRevision) -> Observed:
    """`observed` with this revision in the place of the one of its number."""
    others = [found for found in observed.revisions if found.number != revision.number]
    return replace(observed, revisions=tuple(sorted([*others, revision], key=lambda found: found.number)))
