"""What the deployment mode allows: which there are, what changes it, what works in one of them only. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.kserve.build import DEPLOYMENT_MODE, ClusterAbout, wanted_mode
from kale_serve_lab.serving.kserve.canary import entries, percent_of
from kale_serve_lab.serving.kserve.containers import component_of
from kale_serve_lab.serving.kserve.features import MODE_NAMES, mode_of
from kale_serve_lab.serving.kserve.keys import camel
from kale_serve_lab.serving.types import InferenceService

_FIELD = "config.deployment_mode"
_OF_PODS = ("cpu", "memory")
_OF_REQUESTS = ("concurrency", "rps")
# Knative's own annotation, by which its services scale as Deployments do.
_KNATIVE_CLASS = "autoscaling.knative.dev/class"
_BY_PODS = "hpa.autoscaling.knative.dev"


def of_mode(
    service: InferenceService, about: ClusterAbout, there: Iterable[Mapping[str, Any]]
) -> list[Finding]:
    """The mode itself, and the scaling that it allows."""
    config = service.config
    annotated = (config.annotations or {}).get(DEPLOYMENT_MODE)
    for asked, field in ((config.deployment_mode, _FIELD), (annotated, "config.annotations")):
        if asked is not None and mode_of(asked) is None:
            message = (
                f"KServe has no deployment mode {asked[:60]!r}; it would take the name, and its default mode."
            )
            fix = f"Modes: {', '.join(MODE_NAMES)} (the older names are RawDeployment and Serverless)."
            return [Finding("UnknownMode", "error", field, message, fix)]
    found = []
    if annotated and config.deployment_mode and mode_of(annotated) != mode_of(config.deployment_mode):
        message = f"deployment_mode is {config.deployment_mode}, and the annotation says {annotated}."
        found.append(Finding("InvalidConfig", "error", _FIELD, message, "Leave the annotation out."))
    mode = wanted_mode(service, about)
    if mode is not None and about.modes and mode not in about.modes:
        message = f"The cluster has no {mode} mode: Knative is not installed there."
        found.append(
            Finding("ModeMissing", "error", _FIELD, message, f"deployment_mode={about.modes[0]!r} works.")
        )
    live = next((one for one in there if _named(one) == (service.key.namespace, service.key.name)), None)
    before = _mode_of_object(live) if live is not None else None
    if before is not None and mode is not None and before != mode:
        message = f"{service.key.name} is there in {before} mode, which cannot change."
        fix = f"deployment_mode={before!r}, another name, or delete it first."
        found.append(Finding("ModeChanged", "error", _FIELD, message, fix))
    return found + of_scaling(service, mode)


def of_scaling(service: InferenceService, mode: str | None) -> list[Finding]:
    """What a component scales by. Knative's autoscaler counts requests, Standard's pod autoscaler CPU and memory."""
    config, found = service.config, []
    by_pods = mode == "Standard" or (config.annotations or {}).get(_KNATIVE_CLASS) == _BY_PODS
    for component in ("predictor", "transformer", "explainer"):
        given = component_of(config, component)
        metric = given.get("scaleMetric")
        if metric is not None:
            field = _field_of(config, component, "scale_metric")
            if metric not in (*_OF_PODS, *_OF_REQUESTS):
                message = f"KServe does not scale by {str(metric)[:60]!r}."
                fix = "scale_metric is cpu, memory, concurrency or rps."
                found.append(Finding("InvalidConfig", "error", field, message, fix))
            elif mode == "Standard" and metric in _OF_REQUESTS:
                message = f"scale_metric {metric} has no effect in Standard mode."
                fix = "Use cpu or memory, or deployment_mode='Knative'."
                found.append(Finding("NoEffect", "warning", field, message, fix))
            elif mode == "Knative" and metric in (_OF_REQUESTS if by_pods else _OF_PODS):
                usual = "cpu or memory" if by_pods else "concurrency or rps"
                message = f"KServe refuses scale_metric {metric} in Knative mode" + (
                    f" with {_BY_PODS}." if by_pods else "."
                )
                fix = f"Use {usual}" + ("." if by_pods else ", or deployment_mode='Standard'.")
                found.append(Finding("InvalidConfig", "error", field, message, fix))
        if mode == "Knative" and not by_pods and "deploymentStrategy" in given:
            message = (
                f"KServe refuses {component}.deploymentStrategy in Knative mode: there is no Deployment."
            )
            fix = "Leave it out, or deployment_mode='Standard'."
            field = f"config.{component}.deployment_strategy"
            found.append(Finding("InvalidConfig", "error", field, message, fix))
    if mode == "Standard" and config.min_replicas == 0:
        message = "Standard mode does not scale to zero: one replica stays."
        fix = "deployment_mode='Knative' scales to zero; pausing the service ends its pods in either mode."
        found.append(Finding("NoEffect", "warning", "config.min_replicas", message, fix))
    return found


def _field_of(config: ServeConfig, component: str, name: str) -> str:
    own_dict = getattr(config, component) or {}
    return f"config.{component}.{name}" if {name, camel(name)} & set(own_dict) else f"config.{name}"


def of_canary(service: InferenceService, about: ClusterAbout) -> list[Finding]:
    """Where a canary would have no effect, and shares that cannot be."""
    direct = [
        name
        for name in ("canary_traffic_percent", "canaryTrafficPercent")
        if name in (service.config.predictor or {})
    ]
    mode, field = wanted_mode(service, about), "config.canary"
    found = []
    if direct and mode == "Standard":
        message = "canaryTrafficPercent has no effect in Standard mode."
        found.append(
            Finding(
                "NoEffect", "error", f"config.predictor.{direct[0]}", message, "Use ServeConfig(canary=…)."
            )
        )
    if direct:
        found += _share((service.config.predictor or {})[direct[0]], f"config.predictor.{direct[0]}")
    if not service.config.canary:
        return found
    if mode is None:
        message = "A canary is another object in each mode, and the cluster's default mode is not known."
        fix = "Say it: deployment_mode='Standard' or 'Knative'."
        return [*found, Finding("UnknownMode", "error", _FIELD, message, fix)]
    if mode == "Standard" and not about.features.canary_list:
        message = f"KServe {_text(about)} has no canaries in Standard mode; 0.20 has."
        fix = "Leave the canary out, or use deployment_mode='Knative'."
        return [*found, Finding("NoEffect", "error", field, message, fix)]
    given = service.config.canary
    for one in [given] if isinstance(given, Mapping) else given:
        if isinstance(one, Mapping) and not isinstance(one.get("predictor") or {}, Mapping):
            message = f"A canary's predictor is an object with what differs, not {one['predictor']!r:.60}."
            return [*found, Finding("InvalidConfig", "error", field, message, 'Such as {"name": "v2"}.')]
    listed = entries(given)
    if mode == "Knative" and (len(listed) > 1 or any("predictor" in one for one in listed)):
        message = "In Knative mode the canary is the newest revision: one share, and no predictor of its own."
        fix = 'canary={"traffic_percent": 10}'
        found.append(Finding("InvalidConfig", "error", field, message, fix))
    shares = [percent_of(one) for one in listed]
    for share in shares:
        found += _share(share, field)
    whole = [share for share in shares if isinstance(share, int)]
    if len(whole) > 1 and sum(whole) > 100:
        message = f"The canaries' shares make {sum(whole)} percent."
        found.append(Finding("InvalidConfig", "error", field, message, "Together they are 100 at most."))
    names = [(one.get("predictor") or {}).get("name") or one.get("name") for one in listed]
    named = [name for name in names if name]
    if len(set(named)) != len(named):
        message = "Two canaries have the same name."
        found.append(
            Finding("InvalidConfig", "error", field, message, "Give each predictor a name of its own.")
        )
    return found


def _share(share: Any, field: str) -> list[Finding]:
    if isinstance(share, int) and not isinstance(share, bool) and 0 <= share <= 100:
        return []
    message = f"A canary's share is a whole number of percent from 0 to 100, not {share!r:.60}."
    return [Finding("InvalidConfig", "error", field, message, 'Such as {"traffic_percent": 10}.')]


def _named(found: Mapping[str, Any]) -> tuple[Any, Any]:
    metadata = found.get("metadata") or {}
    return metadata.get("namespace"), metadata.get("name")


def _mode_of_object(found: Mapping[str, Any]) -> str | None:
    """What KServe decided counts; before that, what the annotation asks for."""
    decided = (found.get("status") or {}).get("deploymentMode")
    annotated = ((found.get("metadata") or {}).get("annotations") or {}).get(DEPLOYMENT_MODE)
    return mode_of(decided) or mode_of(annotated)


def _text(about: ClusterAbout) -> str:
    major, minor = about.features.version
    return f"{major}.{minor}"
