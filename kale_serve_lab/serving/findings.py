"""One thing that can be said against a service before it is started; shared by the checks of this machine and of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.types import ArtifactRef, InferenceService

Severity = Literal["error", "warning"]


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


def error_finding(error: KaleServeError, field: str | None) -> Finding:
    """The finding that one of our errors makes."""
    return Finding(error.code, "error", field, error.message, error.hint)


def of_artifacts(service: InferenceService) -> list[Finding]:
    """Whether there is something to serve, of the right types, and with a sample to try it with."""
    findings: list[Finding] = []
    if service.model is None and service.config.container("predictor") is None:
        message = "There is no model to serve."
        fix = "Name a model artifact, or give predictor.container a command of your own."
        return [Finding("InvalidConfig", "error", "model", message, fix)]
    given: Mapping[str, ArtifactRef | None] = {"model": service.model, "transformer": service.transformer}
    for field_name, artifact in given.items():
        if artifact is None:
            continue
        wanted = "kale.Transformer" if field_name == "transformer" else "kale.Model"
        if artifact.type not in (wanted, wanted.replace("kale.", "system.")):
            message = f"{artifact.name}:{artifact.version} is a {artifact.type}, not a {wanted}."
            fix = f"Name an artifact of type {wanted}."
            findings.append(Finding("InvalidRequest", "error", field_name, message, fix))
    if service.signature is None or not service.signature.input_example:
        message = "There is no sample of the input, so ready will only mean that the model has loaded."
        findings.append(
            Finding("NoSample", "warning", "model", message, "Submit the model with its training data.")
        )
    return findings


def two_transformers(service: InferenceService) -> list[Finding]:
    """A transformer is an artifact or the user's own container, not both."""
    if service.transformer is None or service.config.container("transformer") is None:
        return []
    message = "There are two transformers, an artifact and transformer.container."
    field = "config.transformer.container"
    return [Finding("InvalidConfig", "error", field, message, "Leave one of them out.")]
