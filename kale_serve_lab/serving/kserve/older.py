"""The words while an older revision serves and the one that is asked does not yet, or never will. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from kale_serve_lab.serving.kserve import pods
from kale_serve_lab.serving.kserve.seen import Seen
from kale_serve_lab.serving.types import InferenceService, Status


def beside(
    found: Status,
    desired: InferenceService,
    served: InferenceService | None,
    templates: Collection[str],
    seen: Seen,
) -> Status:
    """`found`, the status of `desired`, where `served` is what last answered a sample, by pods of these `templates`."""
    if served is None or served.revision == desired.revision or found.ready_revision is not None:
        return found
    if found.state == "Deleting":
        return found
    if not _still_serves(seen, templates):
        return found
    number, wanted = served.revision, desired.revision
    if found.error is not None:
        said = f"Revision {number} serves; revision {wanted} failed: {found.sentence}"
        return replace(found, state="Ready", ready_revision=number, sentence=said)
    said = f"Revision {number} serves while revision {wanted} loads. {found.sentence}"
    return replace(found, state="Updating", ready_revision=number, sentence=said)


def before_it_comes(found: Status, desired: InferenceService) -> Status:
    """`found`, where what is there is still of an earlier revision: its failure is not that of `desired`."""
    if found.error is None:
        return found
    name, serves = desired.key.name, found.ready_revision
    loads = f"revision {desired.revision} of {name} is on its way"
    return replace(
        found,
        state="Loading" if serves is None else "Updating",
        sentence=f"{loads.capitalize()}." if serves is None else f"Revision {serves} serves while {loads}.",
        next_step=None,
        error=None,
        stages=tuple(
            replace(stage, state="running", message="") if stage.state == "failed" else stage
            for stage in found.stages
        ),
    )


def _still_serves(seen: Seen, templates: Collection[str]) -> bool:
    """A Service leads to every pod that is ready; where we may not see pods, KServe's word has to do."""
    if seen.object is None:
        return False
    if not seen.pods:
        unseen = any(one.endswith(" pods") for one in seen.lacks)
        return unseen and pods.holds(seen.object, "Ready")
    return any(pods.template(pod) in templates and pods.holds(pod, "Ready") for pod in seen.pods)
