"""All that can be said against a service before KServe sees it. Pure.

KServe and its webhooks accept many wrong objects in silence; what they would do with them is said here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kale_serve_lab.errors import InvalidRequest, KaleServeError
from kale_serve_lab.serving.config import PROTOCOLS
from kale_serve_lab.serving.findings import Finding, Severity, error_finding, of_artifacts, two_transformers
from kale_serve_lab.serving.kserve.build import ClusterAbout, is_ours, wanted_mode
from kale_serve_lab.serving.kserve.canary import names
from kale_serve_lab.serving.kserve.containers import own, user_container
from kale_serve_lab.serving.kserve.fields import of_fields
from kale_serve_lab.serving.kserve.layout import why_not as unreadable
from kale_serve_lab.serving.kserve.modes import of_canary, of_mode
from kale_serve_lab.serving.kserve.propagation import LEFT_OUT
from kale_serve_lab.serving.kserve.told import LONGEST_BYTES, left_out_bytes
from kale_serve_lab.serving.kserve.versions import skewed
from kale_serve_lab.serving.kserve.volumes import is_rok, parse_rok
from kale_serve_lab.serving.names import MAX_LABEL, check_service_name
from kale_serve_lab.serving.runtimes import CUSTOM, Runtime, served, why_not
from kale_serve_lab.serving.types import InferenceService

_SCHEMES = (
    "gs", "s3", "pvc", "file", "http", "https", "hdfs", "webhdfs", "oci", "oci+native", "oci+fetch", "hf", "model-registry",
)  # fmt: skip
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.DOTALL)


def preflight(
    service: InferenceService,
    runtime: Runtime | None,
    about: ClusterAbout,
    there: Iterable[Mapping[str, Any]] = (),
    listing: Sequence[str] | None = None,
    rows: Sequence[Runtime] = (),
) -> list[Finding]:
    """The findings, errors first.

    `there` are the InferenceServices of the namespace, `listing` the files of the model's artifact (None: not looked at), `rows`
    the runtimes that the cluster has; `runtime` is None where it has none of the service's.
    """
    findings = [
        *_name(service, about),
        *of_artifacts(service),
        *two_transformers(service),
        *_runtime(service, runtime, listing, rows),
        *_images(service, about),
        *of_mode(service, about, there),
        *of_canary(service, about),
        *_explainer(service),
        *_storage(service),
        *of_fields(service, about),
        *_untold(service),
        *_left_out(about),
    ]
    return sorted(findings, key=lambda finding: finding.severity)


def _name(service: InferenceService, about: ClusterAbout) -> list[Finding]:
    name = service.key.name
    try:
        check_service_name(name, service.key.namespace)
    except KaleServeError as error:
        return [error_finding(error, "name")]
    mode = wanted_mode(service, about)
    for text, what in _derived(service, mode):
        if len(text) > MAX_LABEL:
            message = (
                f"KServe makes the {what} {text} of it, with {len(text)} characters; {MAX_LABEL} are allowed."
            )
            fix = f"A name of {len(name) - (len(text) - MAX_LABEL)} characters fits."
            # In the other mode it would make other names.
            severity: Severity = "error" if mode is not None else "warning"
            return [Finding("InvalidName", severity, "name", message, fix)]
    return []


def _derived(service: InferenceService, mode: str | None) -> list[tuple[str, str]]:
    """What KServe makes of the name, the longest first, and what it is; all that it may make where the mode is not known."""
    name, namespace = service.key.name, service.key.namespace
    parts = [*service.components, *(("explainer",) if service.config.explainer else ())]
    found = []
    for part in parts:
        if mode != "Knative":
            found += [(f"{name}-{part}-{namespace}", "host name"), (f"isvc.{name}-{part}", "label")]
        if mode != "Standard":
            found.append((f"{name}-{part}-00001", "revision"))
    if service.config.canary and mode != "Knative":
        found += [(f"isvc.{name}-{one}-predictor", "label") for one in names(service.config.canary)]
    return sorted(found, key=lambda one: -len(one[0]))


def _runtime(
    service: InferenceService, runtime: Runtime | None, listing: Sequence[str] | None, rows: Sequence[Runtime]
) -> list[Finding]:
    if user_container(service.config, "predictor"):
        found = []
        if service.protocol == "grpc-v1":
            found.append(_grpc_v1("Your own container"))
        if service.config.runtime is not None:
            message = f"predictor.container takes the place of the runtime {service.config.runtime}."
            found.append(Finding("IgnoredHere", "warning", "config.runtime", message))
        return found
    model = service.model
    if model is None:
        return []
    if not model.framework:
        message = (
            f"{model.name}:{model.version} does not say its format, and KServe chooses the server by it."
        )
        return [Finding("UnsupportedModel", "error", "model", message, "Submit it with its model_type.")]
    if runtime is None:
        return [_not_there(service, model.framework, rows)]
    reason = why_not(runtime, model.framework, service.protocol)
    if reason is not None and runtime.name != CUSTOM:
        fix = "Choose another protocol_version, or leave it out."
        return [Finding("UnsupportedModel", "error", "config.protocol_version", reason, fix)]
    if is_ours(service):
        return [_grpc_v1("Our server")] if service.protocol == "grpc-v1" else []
    wrong = _version(service, runtime, model.framework)
    if wrong is not None:
        return [wrong]
    reason = unreadable(listing, model.framework, runtime.name) if listing is not None else None
    if reason is not None:
        fix = "ServeConfig(runtime='kale-built-in') serves it with our own image."
        return [Finding("UnreadableModel", "error", "config.runtime", reason, fix)]
    return [
        Finding(
            "VersionSkew",
            "warning",
            "config.runtime",
            f"{model.name}:{model.version} was {words}.",
            "If it does not load, train it with that version, or use ServeConfig(runtime='kale-built-in').",
        )
        for words in skewed(model, runtime)
    ]


def _not_there(service: InferenceService, model_format: str, rows: Sequence[Runtime]) -> Finding:
    """The cluster has no such runtime: KServe would wait for it without a word, or say NoSupportingRuntime."""
    serving = [row.name for row in rows if why_not(row, model_format, service.protocol) is None]
    spoken = [one for one in PROTOCOLS if any(why_not(row, model_format, one) is None for row in rows)]
    if service.runtime:
        message = f"The cluster has no runtime {service.runtime[:100]!r}."
        fix = "Leave runtime out: the one that KServe would choose is named then."
        if serving:
            fix = f"{model_format} over {service.protocol} is served there by {', '.join(serving)}; or leave runtime out."
        return Finding("UnknownRuntime", "error", "config.runtime", message, fix)
    message = f"No runtime of the cluster takes {model_format} over {service.protocol} by itself."
    if serving:
        fix = f"Name one: ServeConfig(runtime={serving[-1]!r})."
    elif spoken:
        fix = f"It is served over {', '.join(spoken)}: ServeConfig(protocol_version={spoken[0]!r})."
    else:
        fix = "Ask whoever looks after the cluster for a ServingRuntime of that format, or name an image of your own."
    return Finding("UnsupportedModel", "error", "config.protocol_version", message, fix)


def _version(service: InferenceService, runtime: Runtime, model_format: str) -> Finding | None:
    """A version of the format that is asked for must be one that the runtime lists, word for word."""
    given = own(service.config, "predictor").get("modelFormat")
    asked = given.get("version") if isinstance(given, Mapping) else None
    row = served(runtime, model_format)
    if asked is None or row is None or not row.versions or str(asked) in row.versions:
        return None
    message = f"{runtime.name} lists {model_format} {', '.join(row.versions)}, and not {str(asked)[:40]}."
    fix = "Leave the version out, or write one of these."
    return Finding("UnsupportedModel", "error", "config.predictor.model_format", message, fix)


def _grpc_v1(whose: str) -> Finding:
    message = f"{whose} does not speak grpc-v1, which is TensorFlow Serving's own."
    return Finding("UnsupportedModel", "error", "config.protocol_version", message, "Use grpc-v2, v1 or v2.")


def _images(service: InferenceService, about: ClusterAbout) -> list[Finding]:
    found = []
    for component in ("predictor", "transformer", "explainer"):
        container = user_container(service.config, component)
        if container and not container.get("image"):
            message = f"{component}.container has no image, and a cluster runs nothing else."
            field = f"config.{component}.container"
            found.append(
                Finding("NoImage", "error", field, message, "Name the image that holds your command.")
            )
    ours = [
        name
        for name, needed in (
            ("predictor", is_ours(service) and service.model is not None),
            (
                "transformer",
                service.transformer is not None and not user_container(service.config, "transformer"),
            ),
        )
        if needed
    ]
    if ours and not about.image:
        message = f"The {' and the '.join(ours)} needs an image of our server, and none is set."
        fix = "kale-serve cluster set --image REGISTRY/NAME:TAG (docs/cluster.md says how to make it)."
        field = "model" if ours[0] == "predictor" else "transformer"
        found.append(Finding("NoImage", "error", field, message, fix))
    return found


def _explainer(service: InferenceService) -> list[Finding]:
    if service.config.explainer is None:
        return []
    found = []
    if not user_container(service.config, "explainer"):
        message = "The explainer has no container; KServe has no explainers of its own for what Kale serves."
        fix = 'explainer={"container": {"image": "…"}}'
        found.append(Finding("NoImage", "error", "config.explainer", message, fix))
    if service.protocol != "v1":
        message = f"Explanations are asked by v1 only (:explain), and this service speaks {service.protocol}."
        fix = "protocol_version='v1', or leave the explainer out."
        found.append(Finding("ExplainOverV2", "error", "config.protocol_version", message, fix))
    return found


def _storage(service: InferenceService) -> list[Finding]:
    """A storageUri that KServe takes and cannot fetch."""
    asked: list[tuple[str, Any]] = []
    storage = service.config.storage or {}
    if "uri" in storage:
        asked.append(("config.storage.uri", storage["uri"]))
    canary = service.config.canary
    for one in [canary] if isinstance(canary, Mapping) else canary or ():
        own = one.get("predictor") if isinstance(one, Mapping) else None
        if isinstance(own, Mapping):
            asked += [("config.canary", own[key]) for key in ("storage_uri", "storageUri") if key in own]
    found = []
    for field, uri in asked:
        if field == "config.storage.uri" and is_rok(uri):
            found += _rok(service, field, uri)
            continue
        match = _URI.fullmatch(uri) if isinstance(uri, str) else None
        if match is not None and match[1] in _SCHEMES and not match[2].startswith("/"):
            continue
        if match is None:
            message = f"{uri!r:.120} is no storageUri: KServe would accept it, and find no model."
        elif match[1] in _SCHEMES:
            message = f"{uri!r:.120} names no bucket, claim or host."
        else:
            message = f"KServe fetches nothing by {match[1]}://."
        fix = f"Schemes: {', '.join(_SCHEMES)}."
        if match is not None and match[1] == "file":
            continue
        found.append(Finding("InvalidStorageUri", "error", field, message, fix))
    return found


def _rok(service: InferenceService, field: str, uri: str) -> list[Finding]:
    """Rok fills a claim for the model that Kale knows."""
    if service.model is None:
        fix = "Name the model artifact whose files these are."
        return [Finding("InvalidStorageUri", "error", field, "An address of Rok needs a model.", fix)]
    try:
        parse_rok(uri)
    except InvalidRequest as error:
        return [Finding("InvalidStorageUri", "error", field, error.message, error.hint or "")]
    return []


def _untold(service: InferenceService) -> list[Finding]:
    """Signatures that do not fit into the variable by which our server is told of them."""
    found = []
    ours = {"model": service.model if is_ours(service) else None}
    if not user_container(service.config, "transformer"):
        ours["transformer"] = service.transformer
    for field, artifact in ours.items():
        size = left_out_bytes(service, artifact)
        if artifact is not None and size:
            message = (
                f"The signature of {artifact.name}:{artifact.version} has {size // 1000} kB, and {LONGEST_BYTES // 1000} kB "
                "fit: the server checks no column names and types, and does not tell them."
            )
            fix = "Most of it are categories or names of columns: submit it with a shorter signature."
            found.append(Finding("SignatureLeftOut", "warning", field, message, fix))
    return found


def _left_out(about: ClusterAbout) -> list[Finding]:
    found = []
    for one in about.pod_defaults:
        names = [name for name in LEFT_OUT if (one.get("spec") or {}).get(name)]
        if names:
            name = (one.get("metadata") or {}).get("name")
            message = f"Of the PodDefault {name} {', '.join(names)} is left out: a model server would not start with it."
            found.append(Finding("PodDefaultInPart", "warning", "propagate_configurations", message))
    return found
