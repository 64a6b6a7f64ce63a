"""Short-lived tokens for the ingress gateway: TokenRequest with its audience, kept, renewed before they end.

A ServiceAccount's own token opens the API server and nothing else; what is sent to a gateway is good for that gateway only.
Tokens are never written, logged or shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from kale_serve_lab.endpoint.token_request import Token, path, read, request_body
from kale_serve_lab.errors import KaleServeError


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> Any: ...


class Requests(Protocol):
    """What of `Cluster` is needed here."""

    def request(self, method: str, path: str, *, body: Any = None) -> _Answer:
        """As `Cluster.request`."""


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
        self._kept: dict[str, Token] = {}

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

    def _request(self, namespace: str, now: float) -> Token:
        answer = self._cluster.request(
            "POST",
            path(namespace, self._account),
            body=request_body(self._audience),
        )
        return read(answer.status, answer.body, namespace, self._account, now)
