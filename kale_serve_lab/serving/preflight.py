"""What is wrong with a service before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.findings import Finding, of_artifacts, two_transformers
from kale_serve_lab.serving.findings import error_finding as _error
from kale_serve_lab.serving.names import check_service_name
from kale_serve_lab.serving.need import Interpreter, Need, distribution, module_of, recorded_packages
from kale_serve_lab.serving.runtimes import RUNTIMES, Runtime, select, served
from kale_serve_lab.serving.skew import skew
from kale_serve_lab.serving.types import ArtifactRef, ComponentName, InferenceService

# They mean something on a cluster only; the names as ServeConfig has them.
_CLUSTER_ONLY = (
    "env_from", "requests", "limits", "annotations", "labels", "node_selector", "affinity", "tolerations", "min_replicas",
    "max_replicas", "scale_target", "scale_metric", "service_account", "batcher", "logger", "explainer", "canary",
    "deployment_mode", "storage",
)  # fmt: skip

_READ_OF_CONTAINER = ("name", "image", "command", "args", "env")


@dataclass(frozen=True)
class Prepared:
    """What was seen on the machine of that which one component runs in.

    `need`: the environment that is asked for, None for the artifact's own interpreter. `packages` are the versions there
    (None: not made yet, or not known), `refused` why it cannot be made at all. `lacks_grpc`: gRPC is asked of an interpreter without it.
    """

    need: Need | None = None
    packages: Mapping[str, str] | None = None
    refused: KaleServeError | None = None
    lacks_grpc: bool = False
    own: Interpreter | None = None


@dataclass(frozen=True)
class Around:
    """What a service is checked against: the table with the user's rows, the files that are none, and what was seen."""

    runtimes: tuple[Runtime, ...] = RUNTIMES
    problems: tuple[KaleServeError, ...] = ()
    prepared: Mapping[ComponentName, Prepared] = field(default_factory=dict)


_NOTHING_SEEN = Around()


def preflight(
    service: InferenceService, others: Iterable[InferenceService] = (), around: Around = _NOTHING_SEEN
) -> list[Finding]:
    """The findings, errors first. `others` are the services that are there, by whose target nothing clashes but names."""
    findings = [
        *_name(service, others),
        *of_artifacts(service),
        *_runtime(service, around),
        *_prepared(service, around),
        *_ignored(service),
        *(Finding("RuntimeUnreadable", "warning", None, one.message, one.hint) for one in around.problems),
    ]
    return sorted(findings, key=lambda finding: finding.severity)


def _name(service: InferenceService, others: Iterable[InferenceService]) -> list[Finding]:
    try:
        check_service_name(service.key.name, service.key.namespace)
    except KaleServeError as error:
        return [_error(error, "name")]
    newer = [other for other in others if other.key == service.key and other.revision >= service.revision]
    if newer:
        message = f"{service.key.name} is at revision {newer[0].revision} already."
        return [
            Finding("NameTaken", "error", "name", message, "Ask for its next revision, or delete it first.")
        ]
    return []


def _runtime(service: InferenceService, around: Around) -> list[Finding]:
    container = service.config.container("predictor")
    if container is not None:
        findings = _container("predictor", container)
        if service.config.runtime is not None:
            message = f"predictor.container takes the place of the runtime {service.config.runtime}."
            findings.append(Finding("IgnoredHere", "warning", "config.runtime", message))
    elif service.model is not None:
        findings = _selected(service, service.model, around)
    else:
        findings = []
    container = service.config.container("transformer")
    if container is not None:
        findings += _container("transformer", container)
        findings += two_transformers(service)
    return findings


def _selected(service: InferenceService, model: ArtifactRef, around: Around) -> list[Finding]:
    asked = service.config
    try:
        runtime = select(model.framework, service.protocol, asked.runtime, around.runtimes)
    except KaleServeError as error:
        if asked.runtime is None:
            return [_error(error, "config.protocol_version" if asked.protocol_version else "model")]
        known = next((row for row in around.runtimes if row.name == asked.runtime), None)
        protocol = known is not None and served(known, model.framework) is not None
        return [_error(error, "config.protocol_version" if protocol else "config.runtime")]
    findings = []
    if runtime.adapter == "command" and not runtime.command:
        message = f"{runtime.name} ({runtime.source}) names an image and no command, and an image does not run here."
        fix = "Give its first container the command that starts it on this machine."
        findings.append(Finding("NoCommand", "error", "config.runtime", message, fix))
    if runtime.ignored:
        listed = ", ".join(runtime.ignored)
        message = f"{runtime.name} ({runtime.source}): {listed} has no effect on this machine."
        findings.append(Finding("IgnoredHere", "warning", "config.runtime", message))
    return findings


def _container(component: str, container: Mapping[str, Any]) -> list[Finding]:
    where = f"config.{component}.container"
    findings = []
    if not container.get("command"):
        message = f"{component}.container has no command, and an image does not run on this machine."
        fix = 'Give it the command that starts it here, such as ["python", "server.py"].'
        findings.append(Finding("NoCommand", "error", where, message, fix))
    for name in container:
        if name not in _READ_OF_CONTAINER:
            message = f"{component}.container.{name} has no effect on this machine."
            findings.append(Finding("IgnoredHere", "warning", f"{where}.{str(name)[:80]}", message))
    return findings


def _prepared(service: InferenceService, around: Around) -> list[Finding]:
    findings: list[Finding] = []
    for component, seen in around.prepared.items():
        artifact = service.model if component == "predictor" else service.transformer
        runtime = next((row for row in around.runtimes if row.name == service.runtime), None)
        if seen.refused is not None:
            findings.append(_error(seen.refused, "environment"))
        elif seen.need is not None and seen.need.requirements and seen.packages is None:
            findings.append(_to_be_made(seen.need, runtime))
        if artifact is None:
            continue
        if seen.own is not None and seen.need is not None:
            findings.append(_not_its_own(artifact, seen.own, seen.need, component))
        if seen.lacks_grpc:
            python = artifact.environment.get("python") or "the interpreter"
            message = (
                f"{artifact.name}:{artifact.version} is served by {python}, which has no grpcio for gRPC."
            )
            fix = f"Install it there: {python} -m pip install grpcio"
            findings.append(Finding("GrpcMissing", "error", "config.protocol_version", message, fix))
        there = _pinned(seen.need) if seen.packages is None else seen.packages
        for words in skew(recorded_packages(artifact), there):
            message = f"{artifact.name}:{artifact.version} was {words}."
            fix = "Most models load all the same; if this one does not, train or serve it with the same version."
            findings.append(Finding("VersionSkew", "warning", "environment", message, fix))
    return findings


def _to_be_made(need: Need, runtime: Runtime | None) -> Finding:
    size = runtime.size if runtime is not None and runtime.adapter else None
    about = "" if size is None else f" of about {size / 1e9:.1f} GB"
    message = f"An environment{about} is made first, for {need.label}; it is kept for the next time."
    return Finding("EnvironmentToMake", "warning", "environment", message)


def _not_its_own(artifact: ArtifactRef, own: Interpreter, need: Need, component: ComponentName) -> Finding:
    python = artifact.environment.get("python") or "The daemon's interpreter"
    field_name = "model" if component == "predictor" else component
    if own.there:
        names = [distribution(one) for one in need.requirements if module_of(one) in own.missing]
        lacking = " ".join(dict.fromkeys(names))
        message = (
            f"{python} has no {lacking}, so another environment serves {artifact.name}:{artifact.version}."
        )
        fix = f"To serve it there: {python} -m pip install {lacking}"
        return Finding("PackageMissing", "warning", field_name, message, fix)
    message = f"{artifact.name}:{artifact.version} was made with {python}, which is not there any more."
    fix = "An environment with the recorded versions takes its place."
    return Finding("InterpreterGone", "warning", field_name, message, fix)


def _pinned(need: Need | None) -> dict[str, str]:
    """The versions that are certain before an environment is made."""
    exact = (
        [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9.]*)(?:\.\*)?", one) for one in need.requirements]
        if need
        else []
    )
    return {found[1]: found[2] for found in exact if found}


def _ignored(service: InferenceService) -> list[Finding]:
    findings = []
    for name in _CLUSTER_ONLY:
        value = getattr(service.config, name)
        if value is not None and not _held_here(name, value):
            message = f"{name} has no effect on this machine."
            findings.append(Finding("IgnoredHere", "warning", f"config.{name}", message))
    for component in ("predictor", "transformer"):
        for name, value in (getattr(service.config, component) or {}).items():
            if name in ("env", "container") or _held_here(name, value):
                continue
            message = f"{component}.{name} has no effect on this machine."
            findings.append(Finding("IgnoredHere", "warning", f"config.{component}.{name}", message))
    return findings


def _held_here(name: str, value: Any) -> bool:
    """Of the limits, that of memory is held by the local backend."""
    return name == "limits" and isinstance(value, Mapping) and value.keys() <= {"memory"}
