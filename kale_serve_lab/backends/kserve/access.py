"""Which rights we have, asked of the API server itself, and what lacks without each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kale_serve_lab.backends.kserve import resources as kinds
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of, right_hint
from kale_serve_lab.backends.kserve.resources import ACCESS_REVIEWS, Resource
from kale_serve_lab.backends.kserve.settings import StoreSettings
from kale_serve_lab.serving.findings import Finding

_AT_ONCE = 4


@dataclass(frozen=True)
class Right:
    """A verb on a kind. `needed`: nothing can be served without it; else `without` says what is lost."""

    verb: str
    resource: Resource
    without: str
    sub: str | None = None
    needed: bool = False

    @property
    def name(self) -> str:
        """As in a Role: `pods/log`."""
        return f"{self.resource.plural}/{self.sub}" if self.sub else self.resource.plural


@dataclass(frozen=True)
class Checked:
    """`allowed` None: the API server does not say, so it is tried and seen."""

    right: Right
    allowed: bool | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in `rights` of `GET /api/targets`."""
        right = self.right
        return {
            "verb": right.verb,
            "resource": f"{right.name}.{right.resource.group}" if right.resource.group else right.name,
            "allowed": self.allowed,
            "needed": right.needed,
            "without": right.without,
        }


_ISVC = kinds.INFERENCE_SERVICES
_RIGHTS = (
    *(
        Right(verb, _ISVC, f"services cannot be {done}", needed=True)
        for verb, done in (
            ("get", "read"),
            ("list", "listed"),
            ("watch", "watched"),
            ("create", "made"),
            ("patch", "changed"),
            ("delete", "deleted"),
        )
    ),
    *(Right(verb, kinds.PODS, "why a service does not start stays unknown") for verb in ("list", "watch")),
    Right("get", kinds.PODS, "logs are not shown", sub="log"),
    *(Right(verb, kinds.EVENTS, "why a pod does not start stays unknown") for verb in ("list", "watch")),
    Right("list", kinds.SERVING_RUNTIMES, "the namespace's own runtimes are not known"),
    Right(
        "list",
        kinds.CLUSTER_SERVING_RUNTIMES,
        "the cluster's runtimes are not known, and taken as KServe ships them",
    ),
    Right("create", kinds.SERVICES, "predictions cannot go through the API server", sub="proxy"),
    Right("get", kinds.SERVICES, "health checks cannot go through the API server", sub="proxy"),
    Right("list", kinds.POD_DEFAULTS, "PodDefaults cannot be passed on to services"),
)
_CLAIM = tuple(
    Right(verb, kinds.CLAIMS, f"the volume of the store cannot be {done}", needed=True)
    for verb, done in (("get", "checked"),)
)
_SNAPSHOT = (
    *(
        Right(verb, kinds.CLAIMS, f"volumes made from snapshots cannot be {done}", needed=True)
        for verb, done in (
            ("create", "made"),
            ("list", "found again"),
            ("patch", "handed to their service"),
            ("delete", "removed"),
        )
    ),
    *(
        Right(verb, kinds.SNAPSHOTS, f"snapshots cannot be {done}", needed=True)
        for verb, done in (
            ("create", "made"),
            ("get", "waited for"),
            ("list", "found again"),
            ("patch", "handed to their service"),
            ("delete", "removed"),
        )
    ),
)
_TOKENS = (Right("create", kinds.SERVICE_ACCOUNTS, "no token can be made for the gateway", sub="token"),)


def rights_of(store: StoreSettings | None, *, tokens: bool = False) -> tuple[Right, ...]:
    """What is used with this store; `tokens`: a gateway asks for them."""
    kind = store.kind if store is not None else None
    return (
        *_RIGHTS,
        *(_CLAIM if kind in {"pvc", "snapshot"} else ()),
        *(_SNAPSHOT if kind == "snapshot" else ()),
        *(_TOKENS if tokens else ()),
    )


class Rights:
    """Asks for rights by SelfSubjectAccessReview, and remembers the answers for a while. Thread-safe; call it in a thread."""

    def __init__(self, cluster: Cluster, rights: Sequence[Right], seconds: float = 60.0) -> None:
        self._cluster = cluster
        self._rights = tuple(rights)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, tuple[Checked, ...]]] = {}

    def checked(self, namespace: str, *, fresh: bool = False) -> tuple[Checked, ...]:
        """Each right, in order. Raises `ClusterUnavailable` and `Unauthorized`."""
        with self._lock:
            at, known = self._known.get(namespace, (0.0, ()))
            if known and not fresh and time.monotonic() - at < self._seconds:
                return known
            found = self._ask(namespace)
            self._known[namespace] = (time.monotonic(), found)
            return found

    def findings(self, namespace: str) -> list[Finding]:
        """An error for each needed right that lacks, a warning for each other one."""
        return [finding(one, namespace) for one in self.checked(namespace) if one.allowed is False]

    def _ask(self, namespace: str) -> tuple[Checked, ...]:
        first, *others = self._rights
        checked = [self._one(first, namespace)]
        if checked[0].allowed is None:
            # Asking itself is forbidden: the others would be told the same.
            return (*checked, *(Checked(one, None, checked[0].reason) for one in others))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rights") as pool:
            return (*checked, *pool.map(lambda one: self._one(one, namespace), others))

    def _one(self, right: Right, namespace: str) -> Checked:
        attributes = {
            "verb": right.verb,
            "group": right.resource.group,
            "resource": right.resource.plural,
            **({"subresource": right.sub} if right.sub else {}),
            **({"namespace": namespace} if right.resource.namespaced else {}),
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._cluster.request("POST", ACCESS_REVIEWS.path(None), body=body, timeout=10.0)
        if not answer.ok:
            error = errors_of(answer, "create", "selfsubjectaccessreviews")
            if answer.status == 401:
                raise error
            return Checked(right, None, error.message)
        status = answer.json.get("status")
        allowed = status.get("allowed") if isinstance(status, dict) else None
        return Checked(right, allowed if isinstance(allowed, bool) else None)


def finding(checked: Checked, namespace: str) -> Finding:
    """A right that lacks, for the form and for `kale-serve cluster check`."""
    right = checked.right
    place = namespace if right.resource.namespaced else None
    where = f" in namespace {place}" if place else ""
    return Finding(
        "RightMissing",
        "error" if right.needed else "warning",
        None,
        f"You may not {right.verb} {right.name}{where}: {right.without}.",
        right_hint(right.verb, right.resource.group, right.name, place),
    )
