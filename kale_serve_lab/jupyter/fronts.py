"""Which socket answers for an endpoint: the daemon's word, kept until its state changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.errors import EndpointNotFound, EndpointNotReady, UpstreamFailed

MAX_KEPT = 1000


@dataclass(frozen=True)
class Front:
    """Where an endpoint answers; `base` stands before /v1 or /v2 there."""

    socket: str
    sentence: str
    base: str = ""


class Fronts:
    """Endpoints by target, namespace and name. What is kept outlives the daemon, as the endpoints do."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._kept: dict[tuple[str | None, str, str], Front] = {}

    async def find(self, namespace: str, name: str, target: str | None = None) -> Front:
        """The endpoint of a checked name; without a target the local one if there is one. Raises `EndpointNotFound`, `DaemonUnavailable` or the daemon's other errors."""
        key = (target, namespace, name)
        if (kept := self._kept.get(key)) is not None:
            return kept
        query = f"namespace={namespace}" + ("" if target is None else f"&target={target}")
        service = await self._client.request("GET", f"/api/services/{name}?{query}")
        if not isinstance(service, dict) or not isinstance(service.get("socket"), str):
            raise UpstreamFailed("The Kale Serve daemon's answer names no socket.", subject=name)
        if service.get("namespace", namespace) != namespace or service.get("target", target) not in (
            target,
            *(("local", "kserve") if target is None else ()),
        ):
            raise EndpointNotFound(f"There is no endpoint {name} in the namespace {namespace}.", subject=name)
        front = Front(service["socket"], str(service.get("sentence") or ""), str(service.get("base") or ""))
        if service.get("ready_revision") is None:
            return front
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = front
        return front

    def forget(self, namespace: str, name: str) -> None:
        """Ask again next time, whatever its target: a new one may now be meant where none is named."""
        for target in (None, "local", "kserve"):
            self._kept.pop((target, namespace, name), None)

    def on_event(self, event: dict[str, Any]) -> None:
        """Forget an endpoint that has changed."""
        if event.get("kind") == "service":
            self.forget(str(event.get("namespace") or "default"), str(event.get("name")))


def not_ready(front: Front, name: str) -> EndpointNotReady:
    """Nobody listens at its socket."""
    return EndpointNotReady(
        f"The endpoint {name} does not answer predictions now. {front.sentence}".rstrip(),
        subject=name,
        hint="Wait until it is ready, or read its log.",
    )
