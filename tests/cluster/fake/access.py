"""Who asks (tokens), and what they may (RBAC-like rules)."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import threading
import time

from .statuses import forbidden, unauthorized

ANONYMOUS = "system:anonymous"
API_AUDIENCE = "https://kubernetes.default.svc"


@dataclasses.dataclass(frozen=True)
class Rule:
    allows: bool
    user: str
    verbs: frozenset[str]
    resource: str
    group: str | None
    namespace: str | None

    def holds(self, user, verb, group, resource, namespace):
        return (
            self.user in ("*", user)
            and bool(self.verbs & {"*", verb})
            and self.resource in ("*", resource)
            and self.group in (None, group)
            and self.namespace in (None, namespace)
        )


@dataclasses.dataclass
class Token:
    user: str
    expires: float | None
    audiences: tuple[str, ...] = (API_AUDIENCE,)


class Access:
    """The last rule that fits decides; without one the answer is no."""

    def __init__(self):
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._rules: list[Rule] = []

    def token(self, user, seconds=None, audiences=(API_AUDIENCE,)):
        body = {"sub": user, "aud": list(audiences), "jti": secrets.token_hex(8)}
        expires = None
        if seconds is not None:
            expires = time.time() + seconds
            body["exp"] = int(expires)
        parts = [{"alg": "RS256", "typ": "JWT"}, body]
        coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
        token = ".".join([*coded, secrets.token_urlsafe(24)])
        with self._lock:
            self._tokens[token] = Token(user, expires, tuple(audiences))
        return token

    def expire(self, token):
        with self._lock:
            self._tokens[token].expires = 0

    def expire_all(self, user):
        with self._lock:
            for token in self._tokens.values():
                if token.user == user:
                    token.expires = 0

    def rule(self, allows, verbs, resource, *, user, group=None, namespace=None):
        words = verbs.replace(",", " ").split() if isinstance(verbs, str) else verbs
        with self._lock:
            self._rules.append(Rule(allows, user, frozenset(words), resource, group, namespace))

    def user(self, authorization):
        """The user of an Authorization header; anonymous without one, 401 for a token that is unknown or over."""
        if not authorization:
            return ANONYMOUS
        scheme, _, value = authorization.partition(" ")
        with self._lock:
            token = self._tokens.get(value.strip())
        if scheme.lower() != "bearer" or token is None:
            raise unauthorized()
        if token.expires is not None and token.expires <= time.time():
            raise unauthorized()
        if API_AUDIENCE not in token.audiences:
            raise unauthorized()
        return token.user

    def may(self, user, verb, group, resource, namespace):
        with self._lock:
            rules = list(self._rules)
        for rule in reversed(rules):
            if rule.holds(user, verb, group, resource, namespace):
                return rule.allows
        return False

    def check(self, user, verb, target):
        resource = target.resource
        part = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
        namespace = target.namespace
        if resource.plural == "namespaces":
            namespace = target.name
        if self.may(user, verb, resource.group, part, namespace):
            return
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        raise forbidden(
            resource,
            f'User "{user}" cannot {verb} resource "{part}" in API group "{resource.group}" {where}',
            target.name,
        )
