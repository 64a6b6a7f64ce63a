"""What is wrong with a service before anything is started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.names import check_service_name
from kale_serve_lab.serving.runtimes import select
from kale_serve_lab.serving.types import ArtifactRef, InferenceService

Severity = Literal["error", "warning"]

# They mean something on a cluster only; the names as ServeConfig has them.
_CLUSTER_ONLY = (
    "env_from", "requests", "limits", "annotations", "labels", "node_selector", "affinity", "tolerations", "min_replicas",
    "max_replicas", "scale_target", "scale_metric", "service_account", "batcher", "logger", "explainer", "canary",
    "deployment_mode", "storage",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (`error`: it will not start) or will not be as asked (`warning`)."""

    code: str
    severity: Severity
    field: str | None
    message: str
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in the answer to a dry run."""
        return {
            "code": self.code,
            "severity": self.severity,
            "field": self.field,
            "message": self.message,
            "fix": self.fix,
        }


def preflight(service: InferenceService, others: Iterable[InferenceService] = ()) -> list[Finding]:
    """The findings, errors first. `others` are the services that are there, by whose target nothing clashes but names."""
    findings = [*_name(service, others), *_artifacts(service), *_runtime(service), *_ignored(service)]
    return sorted(findings, key=lambda finding: finding.severity)


def _error(error: KaleServeError, field: str) -> Finding:
    return Finding(error.code, "error", field, error.message, error.hint)


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


def _artifacts(service: InferenceService) -> list[Finding]:
    if service.model is None:
        message = "There is no model to serve."
        return [
            Finding(
                "InvalidConfig", "error", "model", message, "Name a model artifact; an image needs a cluster."
            )
        ]
    findings: list[Finding] = []
    for field, artifact in (("model", service.model), ("transformer", service.transformer)):
        if artifact is None:
            continue
        wanted = "kale.Transformer" if field == "transformer" else "kale.Model"
        if artifact.type not in (wanted, wanted.replace("kale.", "system.")):
            message = f"{artifact.name}:{artifact.version} is a {artifact.type}, not a {wanted}."
            findings.append(
                Finding("InvalidRequest", "error", field, message, f"Name an artifact of type {wanted}.")
            )
        findings += _interpreter(field, artifact)
    if service.signature is None or not service.signature.input_example:
        message = "There is no sample of the input, so ready will only mean that the model has loaded."
        findings.append(
            Finding("NoSample", "warning", "model", message, "Submit the model with its training data.")
        )
    return findings


def _interpreter(field: str, artifact: ArtifactRef) -> list[Finding]:
    python = artifact.environment.get("python")
    if not python or os.access(python, os.X_OK):
        return []
    message = f"{artifact.name}:{artifact.version} was made with {python}, which is not there any more."
    return [
        Finding(
            "PreflightFailed",
            "error",
            field,
            message,
            "Make that environment again, or submit the model anew.",
        )
    ]


def _runtime(service: InferenceService) -> list[Finding]:
    if service.model is None:
        return []
    try:
        select(service.model.framework, service.protocol, service.config.runtime)
    except KaleServeError as error:
        return [_error(error, "config.runtime" if service.config.runtime else "model")]
    return []


def _ignored(service: InferenceService) -> list[Finding]:
    findings = []
    for name in _CLUSTER_ONLY:
        value = getattr(service.config, name)
        if value is not None and not _held_here(name, value):
            message = f"{name} has no effect on this machine."
            findings.append(Finding("IgnoredHere", "warning", f"config.{name}", message))
    for component in ("predictor", "transformer"):
        for name, value in (getattr(service.config, component) or {}).items():
            if name == "env" or _held_here(name, value):
                continue
            severity: Severity = "error" if name == "container" else "warning"
            message = f"{component}.{name} has no effect on this machine."
            fix = "An image of your own needs a cluster." if name == "container" else None
            findings.append(Finding("IgnoredHere", severity, f"config.{component}.{name}", message, fix))
    return findings


def _held_here(name: str, value: Any) -> bool:
    """Of the limits, that of memory is held by the local backend."""
    return name == "limits" and isinstance(value, Mapping) and value.keys() <= {"memory"}
