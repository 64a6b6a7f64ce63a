"""Where services can be: this machine, and the cluster that is configured. A cluster comes and goes without the rest noticing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from kale_serve_lab.backends.protocol import Backend
from kale_serve_lab.errors import ClusterUnavailable, EndpointNotFound, InvalidConfig, KaleServeError
from kale_serve_lab.serving import names
from kale_serve_lab.serving.types import ServiceKey

_log = logging.getLogger(__name__)
# A configuration file has no event that asyncio could await on every system.
LOOK_SECONDS = 1.0


class Source(Protocol):
    """Where a cluster's configuration comes from."""

    target: str

    def stamp(self) -> object:
        """Equal as long as the configuration is the same; cheap."""

    def make(self) -> Backend | None:
        """A backend by the present configuration, not started; None: no cluster is configured. Raises `InvalidConfig`."""

    def is_default(self) -> bool:
        """Whether serve() goes there when nothing is said."""


class Targets:
    """The backends by name. `changed` and `came` are told the target, `came` once a backend has been made."""

    def __init__(self, local: Backend, source: Source | None = None) -> None:
        self._local, self._source = local, source
        self._cluster: Backend | None = None
        self._stamp: object = None
        self._problem: KaleServeError | None = None
        self._looking: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._changed: Callable[[str, ServiceKey], None] = lambda *_: None
        self._came: Callable[[str], None] = lambda _: None

    async def start(self, changed: Callable[[str, ServiceKey], None], came: Callable[[str], None]) -> None:
        """Start what there is; an error of a cluster's configuration is kept for `listing`."""
        self._changed, self._came = changed, came
        await self._local.start(lambda key: changed(self._local.target, key))
        if self._source is not None:
            await self.look()
            self._looking = asyncio.create_task(self._follow())

    @property
    def local(self) -> Backend:
        """The backend of this machine."""
        return self._local

    @property
    def default(self) -> str:
        """Where a service goes when nothing is said."""
        if self._cluster is not None and self._source is not None and self._source.is_default():
            return self._cluster.target
        return self._local.target

    def all(self) -> list[Backend]:
        """Those that are there, this machine first."""
        return [self._local, *([self._cluster] if self._cluster is not None else [])]

    def get(self, target: str | None) -> Backend:
        """The backend of this name (None: the default). Raises `InvalidConfig`, or `ClusterUnavailable` where none is configured."""
        wanted = target or self.default
        for backend in self.all():
            if backend.target == wanted:
                return backend
        if self._source is not None and wanted == self._source.target:
            raise self._problem or ClusterUnavailable(
                "No cluster is configured.",
                subject=wanted,
                hint="`kale-serve cluster set --context NAME` says which one is meant.",
            )
        known = [self._local.target, *([self._source.target] if self._source is not None else [])]
        raise InvalidConfig(
            f"There is no target {wanted[:100]!r}.", subject="target", hint=f"Use: {', '.join(known)}"
        )

    def meant(self, name: Any, namespace: str | None, target: str | None) -> tuple[Backend, ServiceKey]:
        """The service that is meant: without a target the local one if there is one, else the cluster's.

        Raises `InvalidName` and `EndpointNotFound`.
        """
        backends = [self.get(target)] if target else self.all()
        for backend in backends:
            key = key_of(name, namespace or backend.namespace)
            if backend.desired(key) is not None:
                return backend, key
        raise EndpointNotFound(
            f"There is no endpoint {name}{self._where(target, namespace)}.",
            subject=str(name),
            hint="`kale-serve status` shows what there is.",
        )

    def _where(self, target: str | None, namespace: str | None) -> str:
        # Where only one place can be meant it is not named.
        if target is None and namespace is None and self._cluster is None:
            return ""
        places = [
            f"{backend.target} ({namespace or backend.namespace})"
            for backend in self.all()
            if target in (None, backend.target)
        ]
        return f" on {' or '.join(places)}"

    def listing(self) -> dict[str, Any]:
        """The answer to `GET /api/targets`."""
        items = [{**backend.about(), "configured": True} for backend in self.all()]
        if self._cluster is None and self._source is not None:
            try:
                self.get(self._source.target)
            except KaleServeError as error:
                items.append(
                    {**_unavailable(self._source.target, error), "configured": self._problem is not None}
                )
        return {"default": self.default, "items": items}

    async def look(self) -> None:
        """Make the cluster's backend, make it anew or let it go, where its configuration has changed."""
        source = self._source
        if source is None or source.stamp() == self._stamp:
            return
        async with self._one_at_a_time:
            stamp = source.stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            before, self._cluster, self._problem = self._cluster, None, None
            if before is not None:
                gone = before.keys()
                await before.close(stop_services=False)
                for key in gone:
                    self._changed(before.target, key)
            try:
                made = source.make()
            except KaleServeError as error:
                self._problem = error
                _log.warning("The configured cluster cannot be used: %s", error)
                return
            if made is not None:
                await made.start(lambda key: self._changed(source.target, key))
                self._cluster = made
                self._came(made.target)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:
                _log.exception("The cluster's configuration could not be taken over.")

    async def close(self, *, stop_services: bool) -> None:
        """Let go of all."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with contextlib.suppress(Exception):
                await cluster.close(stop_services=stop_services)
        await self._local.close(stop_services=stop_services)


def key_of(name: Any, namespace: Any) -> ServiceKey:
    """The key; raises `InvalidName`."""
    return ServiceKey(namespace, names.check_service_name(name, namespace))


def _unavailable(target: str, error: KaleServeError) -> dict[str, Any]:
    return {
        "name": target,
        "title": "Kubernetes",
        "available": False,
        "reason": error.message,
        "hint": error.hint,
        "namespace": None,
        "context": None,
        "server": None,
        "kserve_version": None,
        "modes": [],
        "store": None,
        "stale_since": None,
        "rights": [],
    }
