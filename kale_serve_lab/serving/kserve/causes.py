"""Why a service on a cluster is not ready, from its object, its pods, their events and the ends of their logs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kale_serve_lab.serving.kserve import facts, pods, sentences
from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.seen import Seen

StageName = Literal["create", "schedule", "load", "predict"]

# Twice the same end without having been ready in between is no accident.
ENDS = 2
# The readiness probe fails a few times while every model loads.
UNANSWERED = 6
_FRESH_MS = 10_000
_ROUTE_MS = 30_000
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_EMPTY_REASONS = (
    "",
    "MinimumReplicasUnavailable",
    "Stopped",
    "NewReplicaSetCreated",
    "ReplicaSetUpdated",
    "FoundNewReplicaSet",
)
_PASSING_STATUSES = (408, 425, 429, 502, 503, 504)


@dataclass(frozen=True)
class Cause:
    """`terminal`: it will not heal without a change. `code` is an error class's name."""

    sentence: str
    step: str
    terminal: bool
    stage: StageName = "load"
    code: str = "ModelLoadFailed"
    pod: str | None = None
    log: tuple[str, ...] = ()


def cause(seen: Seen) -> Cause | None:
    """The cause that is nearest to the root; None where nothing is wrong, or nothing is known yet."""
    found = seen.object
    if found is None:
        return None
    spec = _of_spec(seen, found)
    if spec is not None:
        return spec
    newest = pods.newest(seen.pods)
    of_pods = [why for pod in newest if (why := _of_pod(seen, pod)) is not None]
    if of_pods:
        return min(of_pods, key=lambda why: not why.terminal)
    made = _of_makers(seen, newest)
    return made or _of_conditions(seen, found)


def of_probe(seen: Seen) -> Cause | None:
    """Why the prediction that was tried failed; None where none was, or it did not.

    Answers of a server that is there (404, 500, 400) are terminal; a connection that does not come about may be a route that is
    still being made.
    """
    probe, found = seen.probe, seen.object
    if probe is None or probe.ok or found is None or probe.generation != _generation(found):
        return None
    error = probe.error or {}
    name = pods.name_of(found)
    told = sentences.shortened(error.get("message") or "it gave no answer")
    status = (error.get("details") or {}).get("status")
    log = _server_log(seen)
    if status == 404 or sentences.no_model_file(log) or error.get("code") in ("NotFound", "EndpointNotFound"):
        server, uri = _server(found), _uri(found)
        where = f" at {uri}" if uri else ""
        young = _route_is_young(seen, found)
        return Cause(
            f"The {server} server finds no model file{where}: it is up, and has no model {name}.",
            "Correct the storage URI, or publish the model anew by serving it; the server's log names what it looked for.",
            not young,
            "predict",
            "PredictFailed",
            log=log,
        )
    refused = error.get("code") in ("Unauthorized", "Forbidden")
    answered = isinstance(status, int) and status not in _PASSING_STATUSES
    hint = str(
        error.get("hint")
        or "Look at its log, try the model on the sample in the notebook, and serve it again."
    )
    if answered or refused:
        return Cause(told, hint, not refused, "predict", str(error.get("code") or "PredictFailed"), log=log)
    return Cause(
        f"{name} is up, but cannot be reached yet: {told}", hint, False, "predict", "EndpointNotReady"
    )


def _of_spec(seen: Seen, found: Mapping[str, Any]) -> Cause | None:
    """What KServe's controller refuses. It says so at once, and goes on saying so until the object changes."""
    model = (found.get("status") or {}).get("modelStatus") or {}
    info = model.get("lastFailureInfo") or {}
    name, namespace = pods.name_of(found), _namespace(found)
    terminal = _is_fresh(seen, found)
    reason, text = str(info.get("reason") or ""), str(info.get("message") or "")
    invalid = model.get("transitionStatus") == "InvalidSpec"
    for kind in ("Ready", "PredictorReady", "TransformerReady", "ExplainerReady", "IngressReady"):
        told = pods.condition(found, kind) or {}
        words = str(told.get("message") or "")
        if told.get("status") == "True" or not words:
            continue
        if "63 characters" in words or "invalid domain name" in words or "failed creating host name" in words:
            return Cause(*sentences.too_long(name, namespace, words), terminal, "create", "InvalidConfig")
        if told.get("reason") in ("ReconcileFailed", "InternalError") and not _will_pass(words):
            return Cause(
                f"KServe cannot make it: {sentences.shortened(words)}",
                "Correct what the text names, and serve it again.",
                terminal,
                "create",
                "InvalidConfig",
            )
    if invalid:
        return Cause(*_invalid(found, reason, text), terminal, "create", "InvalidConfig")
    return None


def _invalid(found: Mapping[str, Any], reason: str, text: str) -> sentences.Words:
    model = _model(found)
    form = (model.get("modelFormat") or {}).get("name")
    protocol = model.get("protocolVersion")
    runtime = model.get("runtime")
    if reason == "NoSupportingRuntime":
        spoken = f" that speaks {protocol}" if protocol else ""
        return (
            f"There is no runtime for format {form}{spoken}: the cluster has no ServingRuntime that takes it.",
            "Take another format or protocol, or name a runtime of the cluster: `kubectl get clusterservingruntimes`.",
        )
    if reason == "RuntimeNotRecognized":
        return (
            f"There is no runtime named {runtime}: the cluster has no ServingRuntime of that name.",
            "Name one that is there: `kubectl get clusterservingruntimes,servingruntimes`.",
        )
    if reason == "RuntimeDisabled":
        return (
            f"The runtime {runtime} is disabled on the cluster.",
            "Name another, or ask who runs the cluster.",
        )
    return (
        f"KServe refuses what was asked ({reason or 'InvalidSpec'}): {sentences.shortened(text) or 'it does not say why.'}",
        "Correct serve_config, and serve it again.",
    )


def _of_pod(seen: Seen, pod: pods.Pod) -> Cause | None:
    """What keeps one pod from being ready."""
    if pods.holds(pod, "Ready"):
        return None
    name, phase = pods.name_of(pod), (pod.get("status") or {}).get("phase")
    if not pods.scheduled(pod):
        return _unscheduled(seen, pod)
    for container, initial in pods.containers(pod):
        why = _of_container(seen, pod, container, initial=initial)
        if why is not None:
            return replace(why, pod=name)
    told = pod.get("status") or {}
    if phase == "Failed":
        return Cause(
            f"The pod {name} was ended ({told.get('reason') or 'Failed'}): {sentences.shortened(told.get('message'))}",
            "A new pod takes its place; where that goes on, ask for other resources.",
            False,
            pod=name,
        )
    return _of_events(seen, pod)


def _unscheduled(seen: Seen, pod: pods.Pod) -> Cause | None:
    """Not terminal but for a claim that is not there: a node may come free, or be added, at any time."""
    told = pods.condition(pod, "PodScheduled") or {}
    text = str(told.get("message") or "") if told.get("status") == "False" else ""
    if not text:
        event = next(facts.of(seen.events, "Pod", pods.name_of(pod), "FailedScheduling"), None)
        text = facts.message(event) if event is not None else ""
    if not text:
        return None
    namespace = str((pod.get("metadata") or {}).get("namespace") or "")
    sentence, step = sentences.unschedulable(text, pods.requests(pod), pods.claims(pod), namespace)
    missing = "persistentvolumeclaim" in text and "not found" in text
    return Cause(sentence, step, missing, "schedule", pod=pods.name_of(pod))


def _of_container(seen: Seen, pod: pods.Pod, container: Mapping[str, Any], *, initial: bool) -> Cause | None:
    waiting = pods.state(container, "waiting") or {}
    reason, text = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    name = str(container.get("name"))
    if reason in _PULL:
        return _unpullable(seen, pod, container, reason, text)
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        sentence, step = _config(text, str((pod.get("metadata") or {}).get("namespace") or ""), name)
        return Cause(sentence, step, terminal=True)
    end = pods.last_end(container)
    if end is None or container.get("ready") or (initial and end.get("exitCode") == 0):
        return None
    return _ended(seen, pod, container, end, initial=initial)


def _unpullable(seen: Seen, pod: pods.Pod, container: Mapping[str, Any], reason: str, text: str) -> Cause:
    """Terminal once the kubelet backs off: it has tried, and what it pulls does not change by waiting."""
    name, container_name = pods.name_of(pod), str(container.get("name"))
    image = str(pods.spec_of(pod, container_name).get("image") or container.get("image") or "")
    events = list(facts.of(seen.events, "Pod", name, "Failed", "BackOff", "InspectFailed"))
    if "failed to" not in text.lower():
        failed = next(
            (
                facts.message(e)
                for e in events
                if "ailed to pull image" in facts.message(e) and image in facts.message(e)
            ),
            "",
        )
        text = failed or (text if "rpc error" in text else "")
    account = (pod.get("spec") or {}).get("serviceAccountName")
    sentence, step, passing = sentences.unpullable(
        image, f"{'' if reason in _PULL[:2] else reason} {text}".strip(), account
    )
    backed_off = reason != "ErrImagePull" or any(
        "BackOff" in facts.message(e) or e.get("reason") == "BackOff" for e in events
    )
    return Cause(sentence, step, backed_off and not passing)


def _config(text: str, namespace: str, container: str) -> sentences.Words:
    if "not found" in text or "couldn't find key" in text:
        sentence, step = sentences.unmountable(text, namespace)
        if not sentence.startswith("A volume"):
            return sentence, step
    return (
        f"The container {container} cannot be started: {sentences.shortened(text)}",
        "Correct its command, env or what they name in serve_config.",
    )


def _ended(
    seen: Seen, pod: pods.Pod, container: Mapping[str, Any], end: Mapping[str, Any], *, initial: bool
) -> Cause:
    component, name = pods.component_of(pod), str(container.get("name"))
    log = tuple(seen.logs.get(f"{pods.name_of(pod)}/{name}") or ())
    terminal = pods.ends(container) >= ENDS
    if initial and name in ("storage-initializer", "modelcar-init"):
        uri = _uri(seen.object or {})
        told = sentences.storage([*log, str(end.get("message") or "")], uri)
        line = sentences.last_line(log) or sentences.shortened(end.get("message"))
        words = told or (
            f"The model cannot be fetched from {uri or 'its storage URI'}{f': {line}' if line else ''}",
            _read(seen),
        )
        return Cause(*words, terminal, log=log)
    limit = ((pods.spec_of(pod, name).get("resources") or {}).get("limits") or {}).get("memory")
    if end.get("reason") == "OOMKilled":
        what = "The model server" if component == "predictor" else f"The {component}"
        than = f"its memory limit of {limit}" if limit else "the node has"
        return Cause(
            f"{what} was killed: it needs more than {than}.",
            "Ask for more memory in serve_config's resources, and serve it again.",
            terminal,
            log=log,
        )
    line = sentences.last_line(log) or sentences.last_line(str(end.get("message") or "").splitlines())
    if component == "predictor" and sentences.no_model_file(log):
        return Cause(
            f"The {_server(seen.object or {})} server finds no model file at {_uri(seen.object or {}) or 'its storage URI'}: {line}",
            "Correct the storage URI, or publish the model anew by serving it.",
            terminal,
            log=log,
        )
    whose = component if name == pods.SERVER else f"{component}'s container {name}"
    again = "ends again and again" if terminal else "ended and is started again"
    code = sentences.exit_words(end.get("exitCode"), end.get("signal"))
    return Cause(
        f"The {whose} {again} ({code}){f': {line}' if line else '.'}",
        _read(seen),
        terminal,
        log=log,
    )


def _read(seen: Seen) -> str:
    if "get pods/log" in seen.lacks:
        return "Its log would say why: ask for the right `get pods/log` in this namespace."
    return "Look at its log, mend the model or the image, and serve it again."


def _of_events(seen: Seen, pod: pods.Pod) -> Cause | None:
    """What events tell of a pod whose containers say nothing. It is tried again by the node itself, so none is terminal."""
    name, namespace = pods.name_of(pod), str((pod.get("metadata") or {}).get("namespace") or "")
    component = pods.component_of(pod)
    started = any(pods.state(one, "running") for one, initial in pods.containers(pod) if not initial)
    if (pod.get("status") or {}).get("reason") == "NodeLost" or any(
        facts.of(seen.events, "Pod", name, "NodeNotReady")
    ):
        node = (pod.get("spec") or {}).get("nodeName") or "of its pod"
        return Cause(
            f"The node {node} is not ready: the {component} on it does not answer.",
            "Wait until the node is back or the pod is moved, or ask who runs the cluster.",
            terminal=False,
            pod=name,
        )
    if not started:
        for event in facts.of(seen.events, "Pod", name, "FailedMount", "FailedAttachVolume"):
            return Cause(*sentences.unmountable(facts.message(event), namespace), terminal=False, pod=name)
        for event in facts.of(seen.events, "Pod", name, "FailedCreatePodSandBox", "NetworkNotReady"):
            return Cause(
                f"The node cannot start the pod: {sentences.shortened(facts.message(event))}",
                "It is tried again by itself; where that goes on, ask who runs the cluster.",
                terminal=False,
                pod=name,
            )
        return None
    unhealthy = [
        event
        for event in facts.of(seen.events, "Pod", name, "Unhealthy")
        if "eadiness" in facts.message(event) or "tartup" in facts.message(event)
    ]
    if sum(facts.count(event) for event in unhealthy) >= UNANSWERED:
        said = facts.message(unhealthy[0]).partition("probe failed: ")[2] or facts.message(unhealthy[0])
        return Cause(
            f"The {component} runs, but does not answer its readiness probe: {sentences.shortened(said)}",
            "It may still load; else check its port and its log.",
            terminal=False,
            pod=name,
            log=tuple(seen.logs.get(f"{name}/{pods.SERVER}") or ()),
        )
    return None


def _of_makers(seen: Seen, newest: list[pods.Pod]) -> Cause | None:
    """What keeps Deployments and ReplicaSets from making pods. A quota may be freed, so it is not terminal."""
    found = seen.object or {}
    if newest or _is_ready(found):
        return None
    for kind in ("ReplicaSet", "Deployment", "InferenceService"):
        reasons = (
            ("FailedCreate", "ReplicaSetCreateError") if kind != "InferenceService" else ("InternalError",)
        )
        for event in facts.of(seen.events, kind, None, *reasons):
            text = facts.message(event)
            if kind == "InferenceService" and (_will_pass(text) or not _is_fresh(seen, found)):
                continue
            sentence, step = sentences.not_made(text, _namespace(found))
            if "failed creating host name" in text:
                sentence, step = sentences.too_long(pods.name_of(found), _namespace(found), text)
            elif kind == "InferenceService" and sentence.startswith("Its pods"):
                sentence = f"KServe cannot make it: {sentences.shortened(text)}"
            return Cause(sentence, step, terminal=False, stage="create")
    return None


def _of_conditions(seen: Seen, found: Mapping[str, Any]) -> Cause | None:
    """What KServe or Knative says itself, quoted."""
    status = found.get("status") or {}
    told = status.get("modelStatus") or {}
    info = told.get("lastFailureInfo") or {}
    states = told.get("states") or {}
    if states.get("targetModelState") == "FailedToLoad" and info.get("message"):
        return Cause(
            f"The model cannot be loaded ({info.get('reason') or 'FailedToLoad'}): {sentences.last_line(str(info['message']).splitlines())}",
            _read(seen),
            terminal=True,
        )
    for kind in (
        "Ready",
        "PredictorReady",
        "TransformerReady",
        "ExplainerReady",
        "LatestDeploymentReady",
        "IngressReady",
    ):
        one = pods.condition(found, kind) or {}
        reason, text = str(one.get("reason") or ""), str(one.get("message") or "")
        if one.get("status") == "False" and text and reason not in _EMPTY_REASONS and not _will_pass(text):
            if reason == "ProgressDeadlineExceeded":
                continue
            return Cause(
                f"KServe says ({reason}): {sentences.shortened(text)}",
                "Look at its pods' logs, and mend what the text names.",
                terminal=False,
                stage="create" if kind == "IngressReady" else "load",
            )
    return None


def _is_fresh(seen: Seen, found: Mapping[str, Any]) -> bool:
    """Whether what KServe says is of this spec: after a change it goes on saying the former for a moment."""
    metadata = found.get("metadata") or {}
    changes = [
        milliseconds(one.get("time"))
        for one in metadata.get("managedFields") or ()
        if not one.get("subresource")
    ]
    if _generation(found) <= 1 or not changes:
        return True
    changed = max(changes)
    events = facts.of(seen.events, "InferenceService", pods.name_of(found), "InternalError")
    return any(facts.when(event) > changed for event in events) or seen.now - changed > _FRESH_MS


def _route_is_young(seen: Seen, found: Mapping[str, Any]) -> bool:
    """A gateway answers 404 too while it does not know the service yet."""
    probe = seen.probe
    if probe is None or probe.address is None or probe.address.kind != "external":
        return False
    since = milliseconds((pods.condition(found, "Ready") or {}).get("lastTransitionTime"))
    return bool(since) and seen.now - since < _ROUTE_MS


def _will_pass(text: str) -> bool:
    return (
        "the object has been modified" in text
        or "is not ready, requeue" in text
        or "context canceled" in text
    )


def _server_log(seen: Seen) -> tuple[str, ...]:
    for pod in pods.newest(seen.pods):
        if pods.component_of(pod) == "predictor":
            found = seen.logs.get(f"{pods.name_of(pod)}/{pods.SERVER}")
            if found:
                return tuple(found)
    return ()


def _model(found: Mapping[str, Any]) -> Mapping[str, Any]:
    predictor = (found.get("spec") or {}).get("predictor") or {}
    model = predictor.get("model")
    return model if isinstance(model, Mapping) else {}


def _uri(found: Mapping[str, Any]) -> str | None:
    predictor = (found.get("spec") or {}).get("predictor") or {}
    for one in (_model(found), *(value for value in predictor.values() if isinstance(value, Mapping))):
        for key in ("storageUri", "storageURI"):
            if isinstance(one.get(key), str):
                return str(one[key])
    return None


def _server(found: Mapping[str, Any]) -> str:
    return str((_model(found).get("modelFormat") or {}).get("name") or "model")


def _is_ready(found: Mapping[str, Any]) -> bool:
    return pods.holds(found, "Ready")


def _namespace(found: Mapping[str, Any]) -> str:
    return str((found.get("metadata") or {}).get("namespace") or "")


def _generation(found: Mapping[str, Any]) -> int:
    return int((found.get("metadata") or {}).get("generation") or 0)
