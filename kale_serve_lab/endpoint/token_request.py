"""TokenRequest: how a short-lived token for a gateway is asked of the API server, and what it answers. Pure.

Tokens are never shown: not in a repr, not in an error.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from kale_serve_lab.errors import ClusterRefused, Forbidden, NotFound, Unauthorized

# The API server gives none for less than ten minutes.
_SECONDS: Final = 3600
# Renewed when a fifth of its life is left, as the kubelet does.
_USED: Final = 0.8


@dataclass(frozen=True)
class Token:
    """A token and when it is renewed and ends, in seconds since the epoch."""

    text: str = field(repr=False)
    renew_at: float
    ends_at: float


def path(namespace: str, account: str) -> str:
    """Where it is asked."""
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"


def request_body(audience: str) -> dict[str, Any]:
    """The TokenRequest for an audience."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": _SECONDS},
    }


def read(status: int, body: Any, namespace: str, account: str, now: float) -> Token:
    """The token of a TokenRequest's answer, or what its refusal means."""
    subject = f"serviceaccount {namespace}/{account}"
    told = body.get("status") if isinstance(body, Mapping) else None
    if status in (200, 201) and isinstance(told, Mapping) and isinstance(told.get("token"), str):
        ends = _seconds(told.get("expirationTimestamp"), now)
        return Token(told["token"], now + (ends - now) * _USED, ends)
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
    raise ClusterRefused(
        f"No token could be made for the {subject}: the API server answered {status}.",
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
