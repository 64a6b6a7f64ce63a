"""Which environment a component of a service needs on this machine, if not the artifact's own interpreter. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kale_serve_lab.serving.runtimes import CUSTOM, Runtime, served
from kale_serve_lab.serving.types import ArtifactRef, ComponentName, InferenceService

# What our own model server needs of whatever interpreter it runs in.
_OURS = ("numpy", "tornado")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Need:
    """An environment as it is asked for; its name is the digest of all of this but the label.

    `pins` are the versions that the artifact was saved with, the most important first: they hold for these distributions
    wherever they come in, and are dropped with a warning where they do not resolve. `python` is what uv takes for one;
    None: any 3.11. `programs` must be on PATH.
    """

    label: str
    requirements: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    programs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """What was seen of an artifact's own interpreter: whether it runs, and which of the asked distributions it lacks."""

    there: bool = True
    missing: tuple[str, ...] = ()


def artifact_of(spec: InferenceService, component: ComponentName) -> ArtifactRef | None:
    """The artifact that a component is made from."""
    return spec.model if component == "predictor" else spec.transformer


def needed_here(spec: InferenceService, component: ComponentName, runtime: Runtime) -> tuple[str, ...]:
    """What the artifact's own interpreter must have to serve it with the built-in server."""
    if runtime.adapter or component != "predictor" or spec.model is None:
        return ()
    found = served(runtime, spec.model.framework)
    return found.requirements if found else ()


def need_of(
    spec: InferenceService, component: ComponentName, runtime: Runtime, own: Interpreter | None = None
) -> Need | None:
    """The environment to be made for a component; None: the artifact's own interpreter serves.

    `own` is what was seen of that interpreter (None: it is taken to have all); `Environments.need_of` looks.
    """
    artifact = artifact_of(spec, component)
    packages = dict(artifact.environment.get("packages") or {}) if artifact else {}
    # The predictor's runtime says nothing of a transformer, which runs in our own server unless it is the user's command.
    if runtime.adapter and (component == "predictor" or runtime.name == CUSTOM):
        found = served(runtime, artifact.framework if artifact else None)
        requirements = (*runtime.requirements, *(found.requirements if found else ()))
        if not requirements and not runtime.programs:
            return None
        return Need(
            label=" · ".join(filter(None, [runtime.name, found.format if found else None])),
            requirements=requirements,
            pins=packages if requirements else {},
            python=runtime.python,
            programs=runtime.programs,
        )
    if artifact is None or own is None or (own.there and not own.missing):
        return None
    wanted = needed_here(spec, component, runtime)
    names = {distribution(requirement) for requirement in (*wanted, *_OURS)}
    recorded = tuple(name for name in packages if distribution(name) not in names)
    return Need(
        label=f"{artifact.name} {artifact.version}",
        requirements=(*wanted, *recorded, *_OURS),
        pins=packages,
        python=_minor(artifact),
    )


def distribution(requirement: str) -> str:
    """The distribution that a requirement (`scikit-learn[extra]>=1.5`) names, spelt as all tools agree on."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else requirement


def _minor(artifact: ArtifactRef) -> str | None:
    version = re.match(r"3\.\d+", str(artifact.environment.get("python_version") or ""))
    return version[0] if version else None
