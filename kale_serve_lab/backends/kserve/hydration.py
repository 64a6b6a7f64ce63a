"""Claims that are filled from elsewhere: made once, read back, waited for, owned by their service, and found when left over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from kale_serve_lab.backends.kserve.cluster import MERGE, Answer, Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.errors import (
    Cancelled,
    ClusterRefused,
    ClusterUnavailable,
    KaleServeError,
    NameTaken,
    NotFound,
    Timeout,
)
from kale_serve_lab.serving.kserve import volumes
from kale_serve_lab.serving.kserve.volumes import Step

_WATCH_SECONDS = 5
_PAUSE_SECONDS = 1.0
_TURNS = 5
# Another daemon may be between making a claim and applying the service that uses it.
_UNOWNED_FOR = timedelta(hours=1)
# Where neither the class nor events can be read, nobody can say whether a claim waits for its first pod.
_UNKNOWN_CLASS_SECONDS = 30.0


@dataclass(frozen=True)
class Kind:
    """A kind of objects: what it is called, its group, and the path of a namespace's collection."""

    word: str
    group: str
    resource: str
    prefix: str

    def path(self, namespace: str, name: str | None = None) -> str:
        """Of the collection, or of one object."""
        return f"{self.prefix}/namespaces/{namespace}/{self.resource}" + (f"/{name}" if name else "")


CLAIM = Kind("persistentvolumeclaim", "", "persistentvolumeclaims", "/api/v1")
SNAPSHOT = Kind(
    "volumesnapshot", volumes.SNAPSHOT_GROUP, "volumesnapshots", f"/apis/{volumes.SNAPSHOT_VERSION}"
)
SERVICE = Kind(
    "inferenceservice", "serving.kserve.io", "inferenceservices", "/apis/serving.kserve.io/v1beta1"
)


class Objects:
    """The calls for the objects of one namespace, each with its errors."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        cancelled: Callable[[], bool] = lambda: False,
        *,
        seconds: float = 600.0,
        patience: float = 20.0,
    ) -> None:
        """`seconds` is how long an object is waited for; `patience` how long it may say that it failed."""
        self.namespace = namespace
        self._cluster = cluster
        self._cancelled = cancelled
        self._seconds = seconds
        self._patience = patience

    def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """One object; None where there is none."""
        answer = self._cluster.request("GET", kind.path(self.namespace, name))
        if answer.status == 404 and (answer.json.get("details") or {}).get("name"):
            return None
        return self._read(answer, "get", kind, name)

    def ours(self, kind: Kind, service: str | None = None) -> list[dict[str, Any]]:
        """What we have made here, of one service or of all; none where the cluster does not know the kind."""
        wanted = [f"{key}={value}" for key, value in volumes.MANAGED.items()]
        if service is None:
            wanted.append(volumes.SERVICE_LABEL)
        else:
            label = volumes.labels(service, "", "")[volumes.SERVICE_LABEL]
            wanted.append(f"{volumes.SERVICE_LABEL}={label}")
        return self.all(kind, ",".join(wanted))

    def all(self, kind: Kind, selector: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind."""
        found: list[dict[str, Any]] = []
        more: str | None = None
        while True:
            query = {"limit": 500, "continue": more, "labelSelector": selector}
            answer = self._cluster.request("GET", kind.path(self.namespace), query=query)
            if answer.status == 404:
                return []
            page = self._read(answer, "list", kind, None)
            found += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found

    def create(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make an object; None where one of its name is there."""
        name = str(body["metadata"]["name"])
        answer = self._cluster.request(
            "POST", kind.path(self.namespace), query={"fieldValidation": "Strict"}, body=body
        )
        if answer.status == 409:
            return None
        return self._read(answer, "create", kind, name)

    def delete(self, kind: Kind, name: str, uid: str | None = None) -> None:
        """Remove an object (this very one, with its `uid`); one that is gone is no error."""
        body = {"preconditions": {"uid": uid}} if uid else None
        answer = self._cluster.request("DELETE", kind.path(self.namespace, name), body=body)
        if not answer.ok and answer.status not in {404, 409}:
            raise self._error(answer, "delete", kind, name)

    def own(self, kind: Kind, found: Mapping[str, Any], service: str, uid: str) -> None:
        """Make the service the object's owner."""
        name = str(found["metadata"]["name"])
        now: Mapping[str, Any] | None = found
        for _ in range(_TURNS):
            if now is None or volumes.owned_by(now, uid):
                return
            metadata = {
                "resourceVersion": now["metadata"].get("resourceVersion"),
                "ownerReferences": volumes.owners_with(now, service, uid),
            }
            answer = self._cluster.request(
                "PATCH", kind.path(self.namespace, name), body={"metadata": metadata}, content_type=MERGE
            )
            if answer.ok or answer.status == 404:
                return
            if answer.status != 409:
                raise self._error(answer, "patch", kind, name)
            now = self.find(kind, name)
        raise self._error(answer, "patch", kind, name)

    def wait(self, kind: Kind, name: str, step: Callable[[Mapping[str, Any]], Step]) -> dict[str, Any]:
        """Watch an object until its step is `ready`. Raises its own word when it fails, `Timeout`, `NotFound`, `Cancelled`."""
        end = time.monotonic() + self._seconds
        failed_at: float | None = None
        last = Step("waiting")
        seen: dict[str, Any] | None = None
        while True:
            self._check(kind, name)
            if seen is None:
                seen = self.find(kind, name)
                if seen is None:
                    raise self._gone(kind, name)
            last = step(seen)
            now = time.monotonic()
            if last.state == "ready":
                return seen
            failed_at = (failed_at or now) if last.state == "failed" else None
            if failed_at is not None and now - failed_at >= self._patience:
                raise self._failed(kind, name, last.message)
            if now >= end:
                raise Timeout(
                    f"{kind.word} {self.namespace}/{name} was not ready after {self._seconds:.0f} s."
                    + (f" It says: {last.message}" if last.message else ""),
                    subject=f"{kind.word} {self.namespace}/{name}",
                    hint=f"`kubectl describe {kind.word} {name} -n {self.namespace}` shows its events.",
                )
            seen = self._next(kind, name, seen)

    def wait_gone(self, kind: Kind, name: str) -> None:
        """Wait until an object that is being deleted has gone. Raises `Timeout`, `Cancelled`."""
        end = time.monotonic() + self._seconds
        while (found := self.find(kind, name)) is not None:
            self._check(kind, name)
            if time.monotonic() >= end:
                raise Timeout(
                    f"{kind.word} {self.namespace}/{name} is being deleted, and was still there after {self._seconds:.0f} s.",
                    subject=f"{kind.word} {self.namespace}/{name}",
                    hint="A pod may still use it: stop that first.",
                )
            try:
                self._next(kind, name, found)
            except NotFound:
                return

    def waits_for_pod(self, found: Mapping[str, Any]) -> bool | None:
        """Whether a claim's class binds only when a pod comes; None where that cannot be read."""
        named = (found.get("spec") or {}).get("storageClassName")
        base = "/apis/storage.k8s.io/v1/storageclasses"
        if named:
            answer = self._cluster.request("GET", f"{base}/{named}")
            if answer.status == 404:
                raise NotFound(
                    f"The cluster has no storage class {named}.",
                    subject=f"storageclass {named}",
                    hint="`kubectl get storageclass` lists them; set the store's storage_class.",
                )
            if answer.ok:
                return volumes.waits_for_first_pod(answer.json)
        else:
            answer = self._cluster.request("GET", base)
            if answer.ok:
                default = volumes.default_class(answer.json.get("items") or [])
                return default is not None and volumes.waits_for_first_pod(default)
        return None

    def said(self, name: str) -> tuple[bool, str]:
        """What a claim's events say: whether it waits for its first pod, and the newest warning."""
        answer = self._cluster.request(
            "GET",
            f"/api/v1/namespaces/{self.namespace}/events",
            query={"fieldSelector": f"involvedObject.name={name}", "limit": 100},
        )
        return volumes.said_by_events(answer.json.get("items") or [], name) if answer.ok else (False, "")

    def _next(self, kind: Kind, name: str, seen: Mapping[str, Any]) -> dict[str, Any] | None:
        """The object after its next change; None where it must be read anew."""
        query = {
            "watch": True,
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": seen["metadata"].get("resourceVersion"),
            "timeoutSeconds": _WATCH_SECONDS,
        }
        try:
            lines = self._cluster.lines(kind.path(self.namespace), query, _WATCH_SECONDS * 4.0)
        except ClusterUnavailable:
            time.sleep(_PAUSE_SECONDS)
            return None
        try:
            if not lines.answer.ok:
                # Without the right to watch, and where history is too old, it is read again.
                time.sleep(_PAUSE_SECONDS)
                return None
            for line in lines:
                event = json.loads(line)
                if event.get("type") == "DELETED":
                    raise self._gone(kind, name)
                if event.get("type") in {"ADDED", "MODIFIED"}:
                    return dict(event["object"])
                if event.get("type") == "ERROR":
                    return None
        except (ClusterUnavailable, ValueError):
            time.sleep(_PAUSE_SECONDS)
        finally:
            lines.close()
        return None

    def _check(self, kind: Kind, name: str) -> None:
        if self._cancelled():
            raise Cancelled(
                f"Waiting for {kind.word} {self.namespace}/{name} was stopped.",
                subject=f"{kind.word} {self.namespace}/{name}",
            )

    def _read(self, answer: Answer, verb: str, kind: Kind, name: str | None) -> dict[str, Any]:
        if not answer.ok:
            raise self._error(answer, verb, kind, name)
        return answer.json

    def _error(self, answer: Answer, verb: str, kind: Kind, name: str | None) -> KaleServeError:
        what = (
            f"{kind.word} {self.namespace}/{name}"
            if name is not None
            else f"{kind.resource} {self.namespace}"
        )
        return errors_of(answer, verb, what, group=kind.group, resource=kind.resource)

    def _gone(self, kind: Kind, name: str) -> NotFound:
        return NotFound(
            f"{kind.word} {self.namespace}/{name} was deleted while we waited for it.",
            subject=f"{kind.word} {self.namespace}/{name}",
            hint="Serve again.",
        )

    def _failed(self, kind: Kind, name: str, message: str) -> ClusterRefused:
        return ClusterRefused(
            f"{kind.word} {self.namespace}/{name} failed: {message}",
            subject=f"{kind.word} {self.namespace}/{name}",
            hint="The storage driver says this: check the snapshot class and the storage class, and ask whoever looks after storage.",
            details={"reason": "storage"},
        )


def ensure_claim(
    objects: Objects, service: str, body: Mapping[str, Any], is_right: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any]:
    """Make a claim, read it back, and wait until it is bound, or as far as it gets without a pod.

    One that is there with the same source is taken. Raises `ClusterRefused` (and deletes the claim) where the API server
    did not keep its source: it would be an empty volume. `NameTaken` for somebody else's.
    """
    name = str(body["metadata"]["name"])
    found = _make(objects, CLAIM, service, body, is_right)
    if not is_right(found):
        objects.delete(CLAIM, name, found["metadata"].get("uid"))
        raise ClusterRefused(
            f"The cluster dropped what persistentvolumeclaim {objects.namespace}/{name} is to be filled from: the volume would be empty.",
            subject=f"persistentvolumeclaim {objects.namespace}/{name}",
            hint="Its storage has no CSI driver that restores snapshots, or the cluster is older than Kubernetes 1.24. "
            "Use a bucket, or a shared claim. The claim has been deleted.",
        )
    waits = objects.waits_for_pod(found)
    since = time.monotonic()

    def step(claim: Mapping[str, Any]) -> Step:
        plain = volumes.claim_step(claim, waits_for_pod=bool(waits))
        if plain.state != "waiting":
            return plain
        for_pod, warning = objects.said(name)
        if for_pod or (waits is None and time.monotonic() - since > _UNKNOWN_CLASS_SECONDS):
            return Step("ready", "It is bound once a pod uses it.")
        return Step("waiting", warning)

    return objects.wait(CLAIM, name, step)


def ensure_snapshot(objects: Objects, service: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make a VolumeSnapshot and wait until it can be used. One that is there is taken, unless it has failed."""
    name = str(body["metadata"]["name"])
    claim = body["spec"]["source"]["persistentVolumeClaimName"]

    def is_right(found: Mapping[str, Any]) -> bool:
        source = ((found.get("spec") or {}).get("source") or {}).get("persistentVolumeClaimName")
        return bool(source == claim) and volumes.snapshot_step(found).state != "failed"

    _make(objects, SNAPSHOT, service, body, is_right)
    return objects.wait(SNAPSHOT, name, volumes.snapshot_step)


def adopt(objects: Objects, service: str, uid: str) -> None:
    """After the InferenceService has been applied: it owns our claims and snapshots of its name, so that they go with it."""
    for kind in (CLAIM, SNAPSHOT):
        for found in objects.ours(kind, service):
            if volumes.is_ours(found, service) and not volumes.is_going(found):
                objects.own(kind, found, service, uid)


def sweep(objects: Objects, now: datetime | None = None) -> list[str]:
    """Remove claims and snapshots of ours that no InferenceService of the namespace uses; what was removed."""
    before = ((now or datetime.now(timezone.utc)) - _UNOWNED_FOR).strftime("%Y-%m-%dT%H:%M:%SZ")
    there = {kind: objects.ours(kind) for kind in (CLAIM, SNAPSHOT)}
    if not any(there.values()):
        return []
    # Read after them: a service that came meanwhile is seen.
    services = objects.all(SERVICE)
    removed = []
    for kind, found in there.items():
        uids = {one["metadata"]["name"]: one["metadata"].get("uid") for one in found}
        for name in volumes.leftovers(found, services, before):
            objects.delete(kind, name, uids[name])
            removed.append(f"{kind.word} {objects.namespace}/{name}")
    return removed


def _make(
    objects: Objects,
    kind: Kind,
    service: str,
    body: Mapping[str, Any],
    is_right: Callable[[Mapping[str, Any]], bool],
) -> dict[str, Any]:
    name = str(body["metadata"]["name"])
    for _ in range(_TURNS):
        if objects.create(kind, body) is not None:
            made = objects.find(kind, name)
            if made is not None:
                return made
            continue
        found = objects.find(kind, name)
        if found is None:
            continue
        if not volumes.is_ours(found, service):
            raise NameTaken(
                f"{kind.word} {objects.namespace}/{name} is there already, and is not ours.",
                subject=f"{kind.word} {objects.namespace}/{name}",
                hint="Remove it, or serve under another name.",
            )
        if not volumes.is_going(found):
            if is_right(found) and not _is_orphan(objects, found, service):
                return found
            objects.delete(kind, name, found["metadata"].get("uid"))
        objects.wait_gone(kind, name)
    raise Timeout(
        f"{kind.word} {objects.namespace}/{name} comes and goes.",
        subject=f"{kind.word} {objects.namespace}/{name}",
        hint="Somebody else makes and deletes it: look who does.",
    )


def _is_orphan(objects: Objects, found: Mapping[str, Any], service: str) -> bool:
    """Whether it belonged to a service that is gone: the cluster will delete it by itself, and soon."""
    owners = [one.get("uid") for one in found["metadata"].get("ownerReferences") or ()]
    if not owners:
        return False
    now = objects.find(SERVICE, service)
    return now is None or now["metadata"].get("uid") not in owners
