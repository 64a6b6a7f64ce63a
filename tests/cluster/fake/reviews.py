"""Answers that are made and not kept: TokenRequest and SelfSubjectAccessReview."""

from __future__ import annotations

import datetime as dt

from . import statuses
from .kinds import named
from .store import now

ACCOUNTS = named("serviceaccounts")


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
