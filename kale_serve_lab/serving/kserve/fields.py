"""What ServeConfig says of pods, checked against what Kubernetes and KServe take. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.kserve.build import ClusterAbout
from kale_serve_lab.serving.kserve.containers import (
    COMPONENT_FIELDS,
    CONTAINER_FIELDS,
    LATER_FIELDS,
    MODEL_FIELDS,
    OF_PREDICTOR_ONLY,
    OWN_FIELDS,
    component_of,
    container_of,
    own,
)
from kale_serve_lab.serving.kserve.drift import amount
from kale_serve_lab.serving.kserve.keys import camel
from kale_serve_lab.serving.types import InferenceService

# A pod that may leave its node's isolation is asked for with this annotation, and not by the way.
ALLOW_HOST = "kale-serve-lab/allow-host-access"
_COMPONENTS = ("predictor", "transformer", "explainer")
_KEY = re.compile(
    r"(?:(?P<prefix>[a-z0-9]([-a-z0-9.]*[a-z0-9])?)/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_BATCHER = {"maxBatchSize", "maxLatency", "timeout"}
_LOGGER = {"url", "mode", "metadataHeaders", "metadataAnnotations"}
_LOGGER_LATER = {"batchSize", "batchInterval", "marshallerUrl", "storage"}
_HOST = ("hostNetwork", "hostPID", "hostIPC", "privileged", "allowPrivilegeEscalation")


def of_fields(service: InferenceService, about: ClusterAbout) -> list[Finding]:
    """Names that KServe would drop, amounts that cannot be, labels that are none, and what reaches out of the pod."""
    config = service.config
    found = [*_labels("labels", config.labels), *_labels("annotations", config.annotations)]
    found += _labels("node_selector", config.node_selector)
    for component in _COMPONENTS:
        if not getattr(config, component) and component not in service.components:
            continue
        found += _unknown(service, about, component)
        found += _resources(service, component)
        found += _environment(service, component)
        found += _agents(service, about, component)
        found += _host(service, component)
    found += _host_of_defaults(service, about)
    return found


def _labels(name: str, given: Mapping[str, str] | None) -> Iterator[Finding]:
    for key, value in (given or {}).items():
        match = _KEY.fullmatch(key)
        if match is None or len(match["prefix"] or "") > 253:
            message = (
                f"{name}: {key[:80]!r} is no name of a {'label' if name != 'annotations' else 'annotation'}."
            )
            fix = "Letters, digits, '-', '_' and '.', 63 at most; a prefix of small letters with '/' may stand before."
            yield Finding("InvalidLabel", "error", f"config.{name}", message, fix)
        elif name != "annotations" and not _VALUE.fullmatch(value):
            message = f"{name}.{key}: {value[:80]!r} is no value of a label."
            fix = "Letters, digits, '-', '_' and '.', 63 at most; longer texts belong into annotations."
            yield Finding("InvalidLabel", "error", f"config.{name}", message, fix)


def _unknown(service: InferenceService, about: ClusterAbout, component: str) -> Iterator[Finding]:
    known = COMPONENT_FIELDS | CONTAINER_FIELDS | OWN_FIELDS | MODEL_FIELDS | set(LATER_FIELDS)
    if component != "predictor":
        known -= OF_PREDICTOR_ONLY
    for given in getattr(service.config, component) or {}:
        key, field = camel(str(given)), f"config.{component}.{str(given)[:80]}"
        later = LATER_FIELDS.get(key) if key in known else None
        # Between the two the dry run says it.
        if later is not None and about.features.version <= later[0]:
            (major, minor), (since_major, since_minor) = about.features.version, later[1]
            message = (
                f"KServe {major}.{minor} has no field {component}.{key}; {since_major}.{since_minor} has."
            )
            yield Finding("UnknownField", "error", field, message, "Leave it out.")
        elif key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            message = f"KServe has no field {component}.{str(given)[:80]}, and would drop it without a word."
            fix = f"Did you mean {near[0]}?" if near else "Leave it out."
            yield Finding("UnknownField", "error", field, message, fix)


def _resources(service: InferenceService, component: str) -> Iterator[Finding]:
    resources = container_of(service.config, component).get("resources") or {}
    amounts: dict[str, dict[str, Any]] = {}
    for name in ("requests", "limits"):
        for what, value in (resources.get(name) or {}).items():
            number = amount(value)
            field = _where(service, component, name)
            if number is None or number < 0:
                message = (
                    f"{component}: {name}.{what} is an amount such as 500m, 2 or 4Gi, not {value!r:.60}."
                )
                yield Finding("InvalidConfig", "error", field, message, "Write it as Kubernetes does.")
            else:
                amounts.setdefault(name, {})[what] = number
    for what, wanted in amounts.get("requests", {}).items():
        most = amounts.get("limits", {}).get(what)
        if most is not None and wanted > most:
            message = f"{component} asks for more {what} than its limit: {resources['requests'][what]} over {resources['limits'][what]}."
            fix = f"Set requests.{what} to {resources['limits'][what]} at most."
            yield Finding("RequestsOverLimits", "error", _where(service, component, "requests"), message, fix)


def _where(service: InferenceService, component: str, name: str) -> str:
    own_value = (getattr(service.config, component) or {}).get(name)
    return f"config.{name}" if own_value is None else f"config.{component}.{name}"


def _environment(service: InferenceService, component: str) -> Iterator[Finding]:
    for one in container_of(service.config, component).get("env", ()):
        name = one.get("name")
        if not isinstance(name, str) or not _ENV.fullmatch(name):
            message = f"{component}: {name!r:.80} is no name of a variable."
            fix = "Letters, digits, '_', '-' and '.', no digit first."
            yield Finding("InvalidConfig", "error", "config.env", message, fix)
        elif "value" in one and "valueFrom" in one:
            message = f"{component}: the variable {name} has a value and a valueFrom."
            yield Finding("InvalidConfig", "error", "config.env", message, "Leave one of them out.")


def _agents(service: InferenceService, about: ClusterAbout, component: str) -> Iterator[Finding]:
    given = component_of(service.config, component)
    for name, keys in (("batcher", _BATCHER), ("logger", _LOGGER)):
        value = given.get(name)
        field = f"config.{name}" if getattr(service.config, name) else f"config.{component}.{name}"
        if value is None:
            continue
        if not isinstance(value, Mapping):
            yield Finding("InvalidConfig", "error", field, f"{name} is an object.", None)
            continue
        later = _LOGGER_LATER if name == "logger" and about.features.version >= (0, 17) else set()
        for key in value:
            if key not in keys | later:
                near = difflib.get_close_matches(key, sorted(keys | later), n=1)
                fix = (
                    f"Did you mean {near[0]}?" if near else f"Its fields: {', '.join(sorted(keys | later))}."
                )
                message = f"KServe's {name} has no field {key[:80]}."
                yield Finding("UnknownField", "error", field, message, fix)
            elif name == "batcher" and (
                isinstance(value[key], bool) or not isinstance(value[key], int) or value[key] < 1
            ):
                message = f"batcher.{key} is a whole number above 0, not {value[key]!r:.60}."
                yield Finding("InvalidConfig", "error", field, message, None)
        if name == "logger" and value.get("mode") not in (None, "all", "request", "response"):
            message = f"logger.mode is all, request or response, not {value['mode']!r:.60}."
            yield Finding("InvalidConfig", "error", field, message, None)
        if name == "batcher" and service.protocol != "v1":
            message = f"KServe's batcher joins v1 requests; those of {service.protocol} pass it as they are."
            yield Finding(
                "NoEffect", "warning", field, message, "protocol_version='v1', or leave the batcher out."
            )


def _host(service: InferenceService, component: str) -> Iterator[Finding]:
    if _allowed(service):
        return
    given = {
        "component": component_of(service.config, component),
        "container": container_of(service.config, component),
        "own": {key: value for key, value in own(service.config, component).items() if key == "containers"},
    }
    for what in sorted(set(_reaching_out(given))):
        yield _refused(f"{component} asks for {what}", f"config.{component}")


def _host_of_defaults(service: InferenceService, about: ClusterAbout) -> Iterator[Finding]:
    if _allowed(service):
        return
    for one in about.pod_defaults:
        name = (one.get("metadata") or {}).get("name")
        for what in sorted(set(_reaching_out(one.get("spec")))):
            yield _refused(f"The PodDefault {name} asks for {what}", "propagate_configurations")


def _refused(what: str, field: str) -> Finding:
    message = f"{what}, which lets the pod out of its isolation on the node."
    fix = f'Leave it out; if it is meant: annotations={{"{ALLOW_HOST}": "true"}}.'
    return Finding("HostAccess", "error", field, message, fix)


def _allowed(service: InferenceService) -> bool:
    return (service.config.annotations or {}).get(ALLOW_HOST) == "true"


def _reaching_out(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "hostPath" and inner is not None:
                yield "hostPath"
            elif key in _HOST and inner is True:
                yield str(key)
            else:
                yield from _reaching_out(inner)
    elif isinstance(value, list):
        for one in value:
            yield from _reaching_out(one)
