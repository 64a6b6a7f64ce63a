"""Short-lived tokens for the ingress gateway: TokenRequest with its audience, kept, renewed before they end.

A ServiceAccount's own token opens the API server and nothing else; what is sent to a gateway is good for that gateway only.
Tokens are never written, logged or shown.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from kale_serve_lab.errors import Forbidden, KaleServeError, NotFound, Unauthorized

ISTIO: Final = "istio-ingressgateway.istio-system.svc.cluster.local"
# The API server gives no token for less than ten minutes.
_SECONDS: Final = 3600
# Renewed when a fifth of its life is left, as the kubelet does.
_USED: Final = 0.8


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> Any: ...


class Requests(Protocol):
    """What of `Cluster` is needed here."""

    def request(self, method: str, path: str, *, body: Any = None) -> _Answer:
        """As `Cluster.request`."""


@dataclass(frozen=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float
    ends_at: float


class Tokens:
    """Tokens of one ServiceAccount for one audience, by namespace; safe to share between threads."""

    def __init__(
        self,
        cluster: Requests,
        *,
        audience: str,
        service_account: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._audience = audience
        self._account = service_account
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Token] = {}

    def token(self, namespace: str) -> str:
        """A token that is good now. Raises `Forbidden` (the right is missing), `NotFound`, `Unauthorized`, `KaleServeError`."""
        with self._lock:
            now = self._clock()
            kept = self._kept.get(namespace)
            if kept is not None and now < kept.renew_at:
                return kept.text
            try:
                made = self._request(namespace, now)
            except KaleServeError:
                # What is left of it is good, while the API server is away.
                if kept is not None and now < kept.ends_at:
                    return kept.text
                raise
            self._kept[namespace] = made
            return made.text

    def forget(self, namespace: str) -> None:
        """The gateway has refused it: ask for a new one next time."""
        with self._lock:
            self._kept.pop(namespace, None)

    def _request(self, namespace: str, now: float) -> _Token:
        answer = self._cluster.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{self._account}/token",
            body=request_body(self._audience),
        )
        return read(answer.status, answer.body, namespace, self._account, now)


def request_body(audience: str) -> dict[str, Any]:
    """The TokenRequest for an audience."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": _SECONDS},
    }


def read(status: int, body: Any, namespace: str, account: str, now: float) -> _Token:
    """The token of a TokenRequest's answer, or what its refusal means."""
    subject = f"serviceaccount {namespace}/{account}"
    told = body.get("status") if isinstance(body, Mapping) else None
    if status in (200, 201) and isinstance(told, Mapping) and isinstance(told.get("token"), str):
        ends = _seconds(told.get("expirationTimestamp"), now)
        return _Token(told["token"], now + (ends - now) * _USED, ends)
    if status == 403:
        raise Forbidden(
            f"No token may be made for the {subject}, which the cluster's gateway asks for.",
            subject=subject,
            hint='Ask for the rule: apiGroups [""], resources ["serviceaccounts/token"], verbs ["create"].',
        )
    if status == 404:
        raise NotFound(
            f"There is no {subject}, whose token the cluster's gateway asks for.",
            subject=subject,
            hint="Name one that is there: kale-serve cluster set --token-account NAME.",
        )
    if status == 401:
        raise Unauthorized(
            "The API server does not know the credentials of the connection.",
            subject=subject,
            hint="Log in to the cluster again; kale-serve cluster check tells whether it works.",
        )
    raise KaleServeError(
        f"No token could be made for the {subject}: the API server answered {status}.",
        code="ClusterRefused",
        subject=subject,
        hint="kale-serve cluster check tells what else it refuses.",
    )


def account_of(token: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount that a token says it is of; None for any other token. Nothing is verified."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    subject = claims.get("sub") if isinstance(claims, dict) else None
    if not isinstance(subject, str):
        return None
    kind, _, rest = subject.partition("serviceaccount:")
    namespace, _, name = rest.partition(":")
    return (namespace, name) if kind == "system:" and namespace and name else None


def _seconds(text: Any, now: float) -> float:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return now + 600
