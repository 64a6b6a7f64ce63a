"""Causes that no recording holds, made by hand as Kubernetes and KServe write them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kale_serve_lab.serving.kserve.older import before_it_comes
from kale_serve_lab.serving.kserve.seen import Probe, Publishing, Seen
from kale_serve_lab.serving.kserve.status import status, terminal, wants_logs
from kale_serve_lab.serving.types import Address
from tests.serving.kserve_status.playing import last, service

NAME = "iris"
POD = "iris-predictor-1-a"
THEN = "2026-11-22T14:00:00Z"
THEN_MS = 1_795_356_000_000
URI = "s3://models/iris"


def conditions(*true: str, **false: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": THEN} for kind in true] + [
        {"type": kind, "status": "False", "reason": "MinimumReplicasUnavailable", "message": text}
        for kind, text in false.items()
    ]


def isvc(*told: dict[str, Any], generation: int = 1, annotations: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": NAME,
            "namespace": "team",
            "generation": generation,
            "creationTimestamp": THEN,
            "annotations": annotations or {},
        },
        "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": URI}}},
        "status": {"conditions": list(told), "observedGeneration": generation, **more},
    }


def pod(
    *, name: str = POD, ready: bool = False, node: str | None = "n1", hash_: str = "1", **told: Any
) -> dict[str, Any]:
    asked = {
        "image": "registry.example/iris:1",
        "resources": {"requests": {"memory": "16Gi"}, "limits": {"memory": "200Mi"}},
    }
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "creationTimestamp": told.pop("made", THEN),
            "labels": {"component": "predictor", "pod-template-hash": hash_},
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "kserve-container", **asked}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "models"}}],
        },
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False"},
                *told.pop("conditions", ()),
            ],
            **told,
        },
    }


def container(
    state: dict[str, Any], *, name: str = "kserve-container", restarts: int = 0, last: Any = None
) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}


def event(reason: str, message: str, *, kind: str = "Pod", name: str = POD, count: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.{reason}"},
        "involvedObject": {"kind": kind, "name": name},
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": THEN,
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Error", **more}}


UNREADY = conditions(Ready="Deployment does not have minimum availability.")
BOTO = (
    "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden",
)


def seen(*pods: dict[str, Any], events: Any = (), **more: Any) -> Seen:
    return Seen(object=isvc(*UNREADY), pods=pods, events=tuple(events), now=THEN_MS + 60_000, **more)


def unscheduled(message: str) -> Seen:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return seen(pod(node=None, conditions=[told]))


def initializer(*log: str, code: int = 1) -> Seen:
    status_ = container(waiting("CrashLoopBackOff"), name="storage-initializer", restarts=2, last=ended(code))
    return seen(pod(initContainerStatuses=[status_]), logs={f"{POD}/storage-initializer": log})


def pulling(reason: str, message: str, *events: dict[str, Any]) -> Seen:
    return seen(pod(containerStatuses=[container(waiting(reason, message))]), events=events)


BACKOFF = event("BackOff", 'Back-off pulling image "registry.example/iris:1"')
CASES: dict[str, tuple[Seen, str, str, bool]] = {
    "no memory": (
        unscheduled("0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."),
        "No node has 16 GiB free: 3 nodes are too small or too full.",
        "Ask for less",
        False,
    ),
    "a taint and too small": (
        unscheduled(
            "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: true}, 2 Insufficient memory. preemption: no."
        ),
        "No node has 16 GiB free: 2 nodes are too small or too full, 1 node has the taint gpu: true, which the pod does not tolerate.",
        "Ask for less",
        False,
    ),
    "node selector": (
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."),
        "No node takes the pod: 2 nodes do not match the node selector or affinity.",
        "node_selector",
        False,
    ),
    "claim pending": (
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        "The claim models has no volume yet.",
        "describe pvc models",
        False,
    ),
    "unknown scheduler text": (
        unscheduled("0/1 nodes are available: 1 the moon is full."),
        "No node takes the pod: 1 node: the moon is full.",
        "node that fits",
        False,
    ),
    "bucket refuses": (
        initializer(*BOTO),
        f"The bucket refused the key: {URI} cannot be read.",
        "Secret",
        True,
    ),
    "no bucket": (
        initializer("An error occurred (NoSuchBucket) when calling the ListObjects operation"),
        f"The bucket of {URI} does not exist.",
        "bucket",
        True,
    ),
    "no key": (
        initializer("botocore.exceptions.NoCredentialsError: Unable to locate credentials"),
        f"The bucket was given no key: {URI} cannot be read.",
        "service account",
        True,
    ),
    "nothing there": (
        initializer(f"RuntimeError: Failed to fetch model. No model found in {URI}."),
        f"There is no model at {URI}.",
        "storage URI",
        True,
    ),
    "initializer, unknown": (
        initializer("Traceback", "ZeroDivisionError: division by zero"),
        f"The model cannot be fetched from {URI}: ZeroDivisionError: division by zero",
        "log",
        True,
    ),
    "image wants a login": (
        pulling("ErrImagePull", "failed to pull: 401 Unauthorized", BACKOFF),
        "The image registry.example/iris:1 cannot be pulled: its registry wants a login (a pull secret).",
        "pull secret in the service account default",
        True,
    ),
    "image is not there, first try": (
        pulling("ErrImagePull", "rpc error: code = NotFound desc = failed to resolve reference: not found"),
        "The image registry.example/iris:1 cannot be pulled (it does not exist, or needs a pull secret).",
        "name and tag",
        False,
    ),
    "image is not there, backed off": (
        pulling(
            "ImagePullBackOff",
            'Back-off pulling image "registry.example/iris:1"',
            event(
                "Failed",
                'Failed to pull image "registry.example/iris:1": failed to resolve: manifest unknown',
            ),
        ),
        "The image registry.example/iris:1 cannot be pulled (it does not exist, or needs a pull secret).",
        "name and tag",
        True,
    ),
    "too many pulls": (
        pulling("ImagePullBackOff", "failed to pull: toomanyrequests: rate exceeded", BACKOFF),
        "The image registry.example/iris:1 cannot be pulled: its registry has had too many requests.",
        "by itself",
        False,
    ),
    "secret of env": (
        pulling("CreateContainerConfigError", 'secret "keys" not found'),
        "The Secret keys does not exist in the namespace team.",
        "Make it there",
        True,
    ),
    "secret of a volume": (
        seen(
            pod(containerStatuses=[container(waiting("ContainerCreating"))]),
            events=[
                event("FailedMount", 'MountVolume.SetUp failed for volume "s" : secret "keys" not found')
            ],
        ),
        "The Secret keys does not exist in the namespace team.",
        "get secrets",
        False,
    ),
    "killed": (
        seen(
            pod(
                containerStatuses=[
                    container(waiting("CrashLoopBackOff"), restarts=3, last=ended(137, reason="OOMKilled"))
                ]
            )
        ),
        "The model server was killed: it needs more than its memory limit of 200Mi.",
        "more memory",
        True,
    ),
    "ended once": (
        seen(pod(containerStatuses=[container({"running": {}}, restarts=1, last=ended(1))])),
        "The predictor ended and is started again (exit 1).",
        "log",
        False,
    ),
    "termination message": (
        seen(
            pod(containerStatuses=[container(ended(3, message="ModelLoadFailed: it is broken"), restarts=1)])
        ),
        "The predictor ends again and again (exit 3): ModelLoadFailed: it is broken",
        "log",
        True,
    ),
    "quota": (
        seen(
            events=[
                event(
                    "FailedCreate",
                    'Error creating: pods "x" is forbidden: exceeded quota: small, requested: limits.memory=16Gi, '
                    "used: limits.memory=1Gi, limited: limits.memory=8Gi",
                    kind="ReplicaSet",
                    name="iris-predictor-1",
                )
            ]
        ),
        "The quota small of the namespace team is used up: limits.memory=16Gi is asked for, limits.memory=1Gi is used of limits.memory=8Gi.",
        "larger quota",
        False,
    ),
    "service account": (
        seen(
            events=[
                event(
                    "FailedCreate",
                    'Error creating: pods "x" is forbidden: error looking up service account team/kale: serviceaccount "kale" not found',
                    kind="ReplicaSet",
                    name="iris-predictor-1",
                )
            ]
        ),
        "The service account kale does not exist in the namespace team.",
        "Make it",
        False,
    ),
    "node not ready": (
        seen(pod(), events=[event("NodeNotReady", "Node is not ready")]),
        "The node n1 is not ready: the predictor on it does not answer.",
        "Wait",
        False,
    ),
    "evicted": (
        seen(
            pod()
            | {"status": {"phase": "Failed", "reason": "Evicted", "message": "low on ephemeral-storage"}}
        ),
        f"The pod {POD} was ended (Evicted): low on ephemeral-storage",
        "new pod",
        False,
    ),
    "unknown condition": (
        Seen(
            object=isvc(
                {"type": "IngressReady", "status": "False", "reason": "Odd", "message": "the gate is shut"}
            ),
            now=THEN_MS,
        ),
        "KServe says (Odd): the gate is shut",
        "text names",
        False,
    ),
    "unknown container trouble": (
        pulling("CreateContainerError", "the hamster sleeps"),
        "The container kserve-container cannot be started: the hamster sleeps",
        "command",
        True,
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_cause_in_words(case: str) -> None:
    what, sentence, step, ends = CASES[case]
    found = status(service(NAME, namespace="team"), what)
    assert found.sentence == sentence
    assert step in str(found.next_step)
    assert terminal(what) is ends
    assert found.state == ("Failed" if ends else "Loading")
    assert found.ready_revision is None


@pytest.mark.parametrize(
    "reason", ["MissingClusterDNS", "FailedGetResourceMetric", "FailedComputeMetricsReplicas"]
)
def test_noise_is_no_cause(reason: str) -> None:
    what = seen(pod(containerStatuses=[container({"running": {}})]), events=[event(reason, "odd", count=99)])
    found = status(service(NAME), what)
    assert found.sentence == "iris loads."
    assert found.facts == ()


def ready(**more: Any) -> Seen:
    found = isvc(*conditions("Ready", "PredictorReady", "IngressReady", "LatestDeploymentReady"), **more)
    probe = Probe(ok=True, generation=found["metadata"]["generation"], at=THEN_MS)
    return Seen(object=found, pods=(pod(ready=True),), probe=probe, now=THEN_MS)


def test_ready_needs_a_prediction_of_this_generation() -> None:
    assert status(service(NAME), ready()).state == "Ready"
    assert status(service(NAME), ready()).ready_revision == 1
    old = replace(ready(generation=2), probe=Probe(ok=True, generation=1, at=0))
    assert status(service(NAME, 2), old).state == "Updating"
    assert status(service(NAME, 2), old).ready_revision == 1
    assert status(service(NAME), replace(ready(), probe=None)).state == "Loading"


def test_a_service_of_others_is_ready_as_kserve_says_and_that_is_said() -> None:
    found = status(None, replace(ready(), probe=None, tried=False))
    assert (found.state, found.ready_revision) == ("Ready", 0)
    assert found.sentence == "KServe says that iris is ready; Kale has not tried it."


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (
            {"code": "PredictFailed", "message": "iris raised", "details": {"status": 500}},
            "Failed",
            "iris raised",
        ),
        (
            {"code": "EndpointNotReady", "message": "connection refused", "details": {}},
            "Loading",
            "cannot be reached yet",
        ),
        (
            {"code": "UpstreamFailed", "message": "no upstream", "details": {"status": 503}},
            "Loading",
            "no upstream",
        ),
        (
            {"code": "Forbidden", "message": "the gateway refused", "details": {"status": 403}},
            "Loading",
            "the gateway",
        ),
    ],
    ids=["500", "refused", "503", "403"],
)
def test_a_prediction_that_failed(error: dict[str, Any], state: str, words: str) -> None:
    what = replace(ready(), probe=Probe(ok=False, generation=1, at=THEN_MS, error=error))
    found = status(service(NAME), what)
    assert found.state == state
    assert words in found.sentence
    assert found.ready_revision is None
    assert terminal(what) is (state == "Failed")


def test_a_gateway_that_does_not_know_the_route_yet_is_waited_for() -> None:
    error = {"code": "PredictFailed", "message": "not found", "details": {"status": 404}}
    probe = Probe(
        ok=False, generation=1, at=THEN_MS, error=error, address=Address("external", "http://x.test")
    )
    assert not terminal(replace(ready(), probe=probe, now=THEN_MS + 5_000))
    assert terminal(replace(ready(), probe=probe, now=THEN_MS + 50_000))


def test_knative_traffic_between_two_revisions() -> None:
    traffic = [
        {"latestRevision": True, "percent": 20, "revisionName": "iris-predictor-00002"},
        {"latestRevision": False, "percent": 80, "revisionName": "iris-predictor-00001", "tag": "prev"},
    ]
    what = replace(ready(components={"predictor": {"traffic": traffic}}), pods=())
    assert status(service(NAME), what).sentence == (
        "iris answers predictions. 20 % of them iris-predictor-00002 (the newest), 80 % of them iris-predictor-00001 (the former)."
    )


def test_knative_revision_that_failed_is_quoted_while_the_former_serves() -> None:
    told = {
        "type": "LatestDeploymentReady",
        "status": "False",
        "reason": "RevisionFailed",
        "message": 'Revision "iris-predictor-00002" failed with message: Container failed with: it broke',
    }
    found = isvc(*conditions("Ready"), told, generation=2)
    what = Seen(object=found, probe=Probe(ok=True, generation=1, at=0), now=THEN_MS)
    words = status(service(NAME, 2), what)
    assert words.state == "Updating"
    assert words.sentence.startswith("Revision 1 serves while revision 2 loads.")
    assert "it broke" in words.sentence


def test_publishing_is_told_in_megabytes() -> None:
    what = Seen(publishing=Publishing(12_000_000, 40_000_000, "iris 1"), now=THEN_MS)
    found = status(service(NAME), what)
    assert found.sentence == "iris 1 is being sent to the cluster's store: 12.0 of 40.0 MB."
    assert [(s.name, s.state) for s in found.stages][:3] == [
        ("package", "done"),
        ("store", "running"),
        ("create", "waiting"),
    ]


def test_stale_keeps_what_was_seen_and_says_so() -> None:
    found = status(service(NAME), replace(ready(), stale_since=THEN_MS))
    assert (found.state, found.stale_since) == ("Ready", THEN_MS)
    assert found.sentence == "The cluster does not answer; seen last: iris answers predictions."
    assert "cluster check" in str(found.next_step)


def test_drift_is_told_and_changes_no_state() -> None:
    found = status(service(NAME), replace(ready(), drift=("spec.predictor.minReplicas",)))
    assert found.state == "Ready"
    assert found.sentence.endswith("Others have changed `spec.predictor.minReplicas`.")
    assert "overwrite=True" in str(found.next_step)
    assert found.drift == ("spec.predictor.minReplicas",)


def test_our_own_failure_is_the_cause() -> None:
    failed = {
        "code": "ClusterRefused",
        "message": "The webhook answered 500: runtime error: invalid memory address",
        "hint": "Give it a predictor.",
        "details": {},
    }
    alone = status(service(NAME), Seen(failed=failed))
    assert (alone.state, alone.sentence, alone.next_step) == ("Failed", failed["message"], failed["hint"])
    assert alone.error == failed
    assert terminal(Seen(failed=failed))
    beside = status(
        service(NAME, 2), replace(ready(annotations={"kale-serve-lab/revision": "1"}), failed=failed)
    )
    assert beside.state == "Ready"
    assert beside.ready_revision == 1
    assert beside.sentence == f"Revision 1 serves; revision 2 failed: {failed['message']}"


def test_deleted_behind_our_back_and_being_deleted() -> None:
    gone = {
        "code": "NotFound",
        "message": "iris was deleted on the cluster by somebody else.",
        "hint": "Serve it again.",
    }
    assert status(service(NAME), Seen(failed=gone)).state == "Failed"
    leaving = replace(ready(), deleting=True)
    assert status(service(NAME), leaving).sentence == "iris is being deleted."
    assert status(service(NAME), leaving).ready_revision is None
    assert wants_logs(leaving) == ()


def test_what_may_not_be_seen_is_asked_for() -> None:
    found = status(service(NAME), seen(lacks=("list pods", "list events")))
    assert (
        found.next_step
        == "To say more, Kale needs the right to `list pods`, `list events` in this namespace."
    )


def test_a_refusal_of_the_former_spec_is_not_taken_for_one_of_the_new() -> None:
    told = {"lastFailureInfo": {"reason": "NoSupportingRuntime"}, "transitionStatus": "InvalidSpec"}
    found = isvc(generation=2, modelStatus=told)
    found["metadata"]["managedFields"] = [{"manager": "kale-serve-lab", "time": THEN}]
    assert not terminal(Seen(object=found, now=THEN_MS + 1_000))
    assert terminal(Seen(object=found, now=THEN_MS + 60_000))


def test_a_pod_that_was_restarted_long_ago_and_is_ready_is_well() -> None:
    up = pod(
        ready=True,
        containerStatuses=[{**container({"running": {}}, restarts=7, last=ended(1)), "ready": True}],
    )
    found = status(service(NAME), replace(ready(), pods=(up,)))
    assert found.sentence == "iris answers predictions."
    assert (found.components[0].restarts, found.components[0].ended) == (7, "exit 1")


@pytest.mark.parametrize(
    "odd",
    [{}, {"metadata": {}}, {"metadata": {"name": "x"}, "status": {"conditions": "?"}}],
    ids=["empty", "bare", "text"],
)
def test_odd_objects_raise_nothing(odd: dict[str, Any]) -> None:
    what = Seen(object=odd, pods=({}, odd), events=({}, odd))
    assert status(service(NAME), what).sentence
    assert not terminal(what)
    assert wants_logs(what) == ()


def test_an_earlier_revisions_failure_is_no_stage_of_the_one_on_its_way() -> None:
    failed = status(service("missing-image"), last("missing-image"))
    assert any(stage.state == "failed" for stage in failed.stages)
    found = before_it_comes(failed, service("missing-image", 2))
    assert (found.state, found.error, found.next_step) == ("Loading", None, None)
    assert not any(stage.state == "failed" for stage in found.stages)


def test_what_is_paused_has_not_failed() -> None:
    seen = last("missing-image")
    assert seen.object is not None
    metadata = {**seen.object["metadata"], "annotations": {"serving.kserve.io/stop": "true"}}
    found = status(service("missing-image"), replace(seen, object={**seen.object, "metadata": metadata}))
    assert (found.paused, found.error) == (True, None)
    assert "is being paused" in found.sentence
