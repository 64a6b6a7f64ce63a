"""What is no plain object: logs, token requests, access reviews, bindings of claims and snapshots, the proxy to a Service."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import fnmatch
import http.client
import re
import socket
import urllib.parse

from . import statuses
from .kinds import SNAPSHOT, named
from .store import now

PODS, CLAIMS = named("pods"), named("persistentvolumeclaims")
SERVICES, ACCOUNTS, SNAPSHOTS = named("services"), named("serviceaccounts"), named("volumesnapshots")


class Logs:
    """`logs["name-predictor-*/kserve-container"] = ["line", …]`: by "pod/container", a pattern; the last that fits counts.

    `logs.append(key, line)` reaches those who follow. `previous` logs stand under "pod/container/previous".
    """

    def __init__(self, store):
        self.store = store
        self._lines: dict[str, list[str]] = {}

    def __setitem__(self, key, lines):
        with self.store.lock:
            self._lines.pop(key, None)
            self._lines[key] = list(lines)
            self.store.changed.notify_all()

    def __getitem__(self, key):
        return self._lines[key]

    def append(self, key, *lines):
        with self.store.lock:
            self._lines.setdefault(key, []).extend(lines)
            self.store.changed.notify_all()

    def of(self, pod, container, *, previous=False):
        """The lines, a list that may grow; None where the container has none."""
        wanted = f"{pod}/{container}" + ("/previous" if previous else "")
        for key in reversed(list(self._lines)):
            if key == wanted or fnmatch.fnmatchcase(wanted, key):
                return self._lines[key]
        return None


def read_log(store, logs, closing, handler, target, query):
    """`GET pods/NAME/log`: tailLines, limitBytes, previous, follow."""
    pod = store.get(PODS, target.namespace, target.name)
    if pod is None:
        raise statuses.not_found(PODS, target.name)
    spec = pod.get("spec") or {}
    names = [c["name"] for c in spec.get("containers") or ()]
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    container = query.get("container") or (names[0] if len(names) == 1 else None)
    if container is None:
        raise statuses.bad_request(
            f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
        )
    if (names or inits) and container not in names + inits:
        raise statuses.bad_request(f"container {container} is not valid for pod {target.name}")
    previous = query.get("previous") == "true"
    lines = logs.of(target.name, container, previous=previous)
    state = next(
        (
            s
            for key in ("containerStatuses", "initContainerStatuses")
            for s in (pod.get("status") or {}).get(key) or ()
            if s["name"] == container
        ),
        {},
    )
    waiting = (state.get("state") or {}).get("waiting")
    if lines is None and previous:
        raise statuses.bad_request(
            f'previous terminated container "{container}" in pod "{target.name}" not found'
        )
    if lines is None and waiting and not state.get("restartCount"):
        told = (
            "is waiting to start: trying and failing to pull image"
            if "Image" in waiting.get("reason", "")
            else f"is waiting to start: {waiting.get('reason')}"
        )
        raise statuses.bad_request(f'container "{container}" in pod "{target.name}" {told}')
    lines = [] if lines is None else lines
    first = 0
    if query.get("tailLines"):
        first = max(0, len(lines) - int(query["tailLines"]))
    if query.get("follow") != "true":
        body = "".join(f"{line}\n" for line in lines[first:]).encode()
        if query.get("limitBytes"):
            body = body[: int(query["limitBytes"])]
        handler.send(200, [("Content-Type", "text/plain")], body)
        return
    handler.start_stream("text/plain")
    sent = first
    uid = pod["metadata"]["uid"]
    while True:
        with store.lock:
            while len(lines) <= sent:
                live = store.get(PODS, target.namespace, target.name)
                if closing() or live is None or live["metadata"]["uid"] != uid:
                    break
                if handler.gone():
                    handler.close_connection = True
                    return
                found = logs.of(target.name, container, previous=previous)
                if found is not None and found is not lines:
                    lines = found
                    continue
                store.changed.wait(1.0)
            else:
                new, sent = lines[sent:], len(lines)
                text = "".join(f"{line}\n" for line in new).encode()
                live = True
        if not live or closing():
            handler.end_stream()
            return
        handler.chunk(text)


def token_request(store, access, target, body):
    """`POST serviceaccounts/NAME/token`: a token that holds for its audiences until it expires."""
    account = store.get(ACCOUNTS, target.namespace, target.name)
    if account is None:
        raise statuses.not_found(ACCOUNTS, target.name)
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or 3600
    if seconds < 600:
        raise statuses.Refused(
            422, "Invalid",
            f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: {seconds}: may not '
            "specify a duration less than 10 minutes",
            details={"group": "authentication.k8s.io", "kind": "TokenRequest",
                     "causes": [{"reason": "FieldValueInvalid", "field": "spec.expirationSeconds",
                                 "message": f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"}]},
        )  # fmt: skip
    audiences = spec.get("audiences") or ["https://kubernetes.default.svc"]
    user = f"system:serviceaccount:{target.namespace}:{target.name}"
    ends = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": target.name,
            "namespace": target.namespace,
            "uid": account["metadata"]["uid"],
            "creationTimestamp": now(),
        },
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {
            "token": access.token(user, seconds, tuple(audiences)),
            "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def review(access, user, body):
    """SelfSubjectAccessReview."""
    asked = (body.get("spec") or {}).get("resourceAttributes") or {}
    part = asked.get("resource", "*")
    if asked.get("subresource"):
        part += "/" + asked["subresource"]
    allowed = access.may(
        user, asked.get("verb", "*"), asked.get("group", ""), part, asked.get("namespace") or None
    )
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {"resourceAttributes": asked},
        "status": {"allowed": allowed},
    }


def default_core(resource, new, old):
    """What the API server itself fills in for its own kinds, and drops."""
    if resource is CLAIMS and old is None:
        spec = dict(new.get("spec") or {})
        source = spec.get("dataSource")
        if source and not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
            del spec["dataSource"]
        elif source and "dataSourceRef" not in spec:
            spec["dataSourceRef"] = copy.deepcopy(source)
        elif (
            "dataSourceRef" in spec
            and "dataSource" not in spec
            and not spec["dataSourceRef"].get("namespace")
        ):
            spec["dataSource"] = copy.deepcopy(spec["dataSourceRef"])
        spec.setdefault("volumeMode", "Filesystem")
        metadata = {**new["metadata"]}
        if "kubernetes.io/pvc-protection" not in metadata.get("finalizers", ()):
            metadata["finalizers"] = [*metadata.get("finalizers", ()), "kubernetes.io/pvc-protection"]
        return {**new, "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
    if resource is named("secrets"):
        import base64

        data = dict(new.get("data") or {})
        for key, value in (new.get("stringData") or {}).items():
            data[key] = base64.b64encode(value.encode()).decode()
        new = {k: v for k, v in new.items() if k != "stringData"}
        return {**new, "data": data, "type": new.get("type") or "Opaque"}
    if resource is SERVICES:
        spec = {"type": "ClusterIP", "sessionAffinity": "None", **(new.get("spec") or {})}
        return {**new, "spec": spec, "status": new.get("status") or {"loadBalancer": {}}}
    if resource is PODS and old is None:
        return {**new, "status": new.get("status") or {"phase": "Pending", "qosClass": "BestEffort"}}
    return new


class Storage:
    """Binds claims and makes snapshots ready; `binds`/`snapshots`: True, or False to wait for `bind()`/`ready()`."""

    def __init__(self, store, api):
        self.store = store
        self.api = api
        self.binds = True
        self.snapshots = True
        self.restore_size: str | None = None
        self.snapshot_error: str | None = None

    def written(self, resource, obj):
        if resource is CLAIMS:
            if obj["metadata"].get("deletionTimestamp"):
                self.api.lift(CLAIMS, obj, "kubernetes.io/pvc-protection")
            elif self.binds:
                self.bind(obj["metadata"]["namespace"], obj["metadata"]["name"])
        elif resource is SNAPSHOTS and not obj["metadata"].get("deletionTimestamp"):
            if self.snapshot_error:
                self.fail(obj["metadata"]["namespace"], obj["metadata"]["name"], self.snapshot_error)
            elif self.snapshots:
                self.ready(obj["metadata"]["namespace"], obj["metadata"]["name"])
            self._waiting_claims(obj["metadata"]["namespace"])

    def bind(self, namespace, name):
        """Bound, unless it waits for a snapshot that is not ready or not there."""
        with self.store.lock:
            claim = self.store.get(CLAIMS, namespace, name)
            if claim is None or claim.get("status", {}).get("phase") == "Bound":
                return
            source = claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource")
            size = claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1Gi")
            if source and source.get("apiGroup") == SNAPSHOT:
                snapshot = self.store.get(SNAPSHOTS, namespace, source["name"])
                if snapshot is None or not (snapshot.get("status") or {}).get("readyToUse"):
                    return
                restore = snapshot["status"].get("restoreSize")
                if restore and number(size) < number(restore):
                    return
            spec = {**claim["spec"], "volumeName": f"pvc-{claim['metadata']['uid']}"}
            status = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": {"storage": size}}
            self.store.put(CLAIMS, {**claim, "spec": spec, "status": status})

    def _waiting_claims(self, namespace):
        if self.binds:
            for (place, name), _ in list(self.store.all(CLAIMS).items()):
                if place == namespace:
                    self.bind(namespace, name)

    def ready(self, namespace, name, restore_size=None):
        with self.store.lock:
            snapshot = self.store.get(SNAPSHOTS, namespace, name)
            if snapshot is None or (snapshot.get("status") or {}).get("readyToUse"):
                return
            claim = self.store.get(
                CLAIMS, namespace, (snapshot["spec"].get("source") or {}).get("persistentVolumeClaimName")
            )
            if claim is None:
                return
            size = restore_size or self.restore_size or claim["spec"]["resources"]["requests"]["storage"]
            status = {
                "boundVolumeSnapshotContentName": f"snapcontent-{snapshot['metadata']['uid']}",
                "creationTime": now(),
                "readyToUse": True,
                "restoreSize": size,
            }
            self.store.put(SNAPSHOTS, {**snapshot, "status": status})
            self._waiting_claims(namespace)

    def fail(self, namespace, name, message):
        with self.store.lock:
            snapshot = self.store.get(SNAPSHOTS, namespace, name)
            status = {"readyToUse": False, "error": {"message": message, "time": now()}}
            self.store.put(SNAPSHOTS, {**snapshot, "status": status})


def number(quantity):
    """A Kubernetes quantity as a number."""
    match = re.fullmatch(r"([+-]?[0-9.]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?", str(quantity))
    value, unit = float(match[1]), match[2] or ""
    if unit == "m":
        return value / 1000
    if unit[:1] in ("e", "E") and unit[1:]:
        if unit == "Ei":
            return value * 2**60
        return value * 10 ** int(unit[1:])
    if unit.endswith("i"):
        return value * 1024 ** ("KMGTPE".index(unit[0]) + 1)
    return value * (1000 ** ("kMGTPE".index(unit) + 1) if unit else 1)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Backs:
    """Which real server stands behind a Service: `backs("iris-predictor", "http://127.0.0.1:8080")`, or a socket's path."""

    def __init__(self):
        self._targets: dict[tuple[str, str], str] = {}

    def __call__(self, service, address, namespace="*"):
        self._targets[(namespace, service)] = str(address)

    def remove(self, service, namespace="*"):
        self._targets.pop((namespace, service), None)

    def of(self, namespace, service):
        for (place, pattern), address in reversed(list(self._targets.items())):
            if place in ("*", namespace) and fnmatch.fnmatchcase(service, pattern):
                return address
        return None

    def proxy(self, store, handler, target, raw_rest, query, body):
        """`…/services/[scheme:]NAME[:PORT]/proxy/…`, as the API server relays it."""
        parts = target.name.split(":")
        name, port = (
            (parts[1], parts[2]) if len(parts) == 3 else (parts[0], parts[1] if len(parts) > 1 else "")
        )
        if store.get(SERVICES, target.namespace, name) is None:
            raise statuses.not_found(SERVICES, name)
        address = self.of(target.namespace, name)
        if address is None:
            raise statuses.unavailable(
                f'no endpoints available for service "{name}:{port}"'
                if port
                else f'no endpoints available for service "{name}"'
            )
        base = ""
        if address.startswith("http"):
            parsed = urllib.parse.urlsplit(address)
            connection = http.client.HTTPConnection(parsed.hostname, parsed.port or 80, timeout=60)
            base = parsed.path.rstrip("/")
        else:
            connection = _UnixConnection(address, 60)
        dropped = {
            "host",
            "authorization",
            "connection",
            "transfer-encoding",
            "content-length",
            "accept-encoding",
        }
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in dropped}
        headers["X-Forwarded-Uri"] = handler.path
        path = f"{base}/{raw_rest}" + (f"?{query}" if query else "")
        try:
            with contextlib.closing(connection):
                connection.request(handler.command, path, body or None, headers)
                answer = connection.getresponse()
                data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise statuses.unavailable(
                f"error trying to reach service: dial tcp {address}: connect: {error}"
            ) from None
        skipped = {"connection", "transfer-encoding", "content-length", "keep-alive"}
        handler.send(
            answer.status, [(k, v) for k, v in answer.getheaders() if k.lower() not in skipped], data
        )
