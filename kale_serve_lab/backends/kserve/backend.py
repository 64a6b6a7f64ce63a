"""The backend `kserve`: one `ClusterService` for each service of ours, and a view of all that the namespaces hold.

The truth is the cluster's objects. What we have asked for and how far we are with it is in the records, so that services
are told also while no API server answers, and go on with the next daemon.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.backends.kserve import applying, logs, removing
from kale_serve_lab.backends.kserve import record as records
from kale_serve_lab.backends.kserve.around import BACKOFF_SECONDS, Around, Publishing
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.connection import Connected, until_found
from kale_serve_lab.backends.kserve.features_read import text, title
from kale_serve_lab.backends.kserve.news import News, Statuses
from kale_serve_lab.backends.kserve.preparing import Preparing
from kale_serve_lab.backends.kserve.record import Record
from kale_serve_lab.backends.kserve.rows import ROWS, ClusterRows
from kale_serve_lab.backends.kserve.service import ClusterService
from kale_serve_lab.backends.kserve.settings import Settings, in_pod
from kale_serve_lab.backends.kserve.tailing import Tailing
from kale_serve_lab.backends.kserve.view import NamespaceView, View
from kale_serve_lab.backends.kserve.watches import Watches
from kale_serve_lab.backends.kserve.way import Ways
from kale_serve_lab.errors import ClusterUnavailable, Conflict, EndpointNotFound, KaleServeError
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.kserve import marks, plan
from kale_serve_lab.serving.kserve.addresses import addresses
from kale_serve_lab.serving.kserve.build import to_yaml
from kale_serve_lab.serving.kserve.drift import drift
from kale_serve_lab.serving.kserve.older import before_it_comes, beside
from kale_serve_lab.serving.kserve.reading import service_of
from kale_serve_lab.serving.kserve.seen import Seen
from kale_serve_lab.serving.kserve.status import status
from kale_serve_lab.serving.runtimes import Runtime
from kale_serve_lab.serving.types import Address, InferenceService, Reach, ServiceKey, Status, protocol_of


class KServeBackend:
    """`Backend` on the cluster of `settings`. `data` is the data directory; to be used in one event loop."""

    target = "kserve"

    def __init__(
        self,
        data: Path,
        settings: Settings,
        publishing: Publishing,
        *,
        backoff: tuple[float, ...] = BACKOFF_SECONDS,
    ) -> None:
        self._folder = data / "clusters" / self.target
        self._settings, self._publishing, self._backoff = settings, publishing, backoff
        self._identity = f"{settings.kubeconfig or ''}#{settings.context or ''}"
        self._services: dict[ServiceKey, ClusterService] = {}
        self._namespaces: dict[str, NamespaceView] = {}
        self._changed: Callable[[ServiceKey], None] = lambda _: None
        self._news, self._statuses = News(self._hand_on), Statuses()
        self._connecting: asyncio.Task[None] | None = None
        self._problem: KaleServeError | None = None
        self._cluster: Cluster | None = None
        self._connected: Connected | None = None
        self._watches: Watches | None = None
        self._around: Around | None = None
        self._preparing: Preparing | None = None
        self._tailing: Tailing | None = None
        self.ways: Ways | None = None

    @property
    def namespace(self) -> str:
        """See `Backend`."""
        if self._cluster is not None:
            return self._cluster.namespace
        return self._settings.namespace or "default"

    async def start(self, changed: Callable[[ServiceKey], None]) -> None:
        """See `Backend`. Returns at once, whether the cluster answers or not."""
        self._changed = changed
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in records.read_all(self._folder, self._identity):
            key = found.service.key
            self._services[key] = ClusterService(found, View(), self._folder, self._on_change)
            changed(key)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def apply(self, service: InferenceService, *, overwrite: bool = False) -> None:
        """See `Backend`."""
        there = self._services.get(service.key)
        if there is None:
            live = self._view(service.key).object
            if live is not None and not marks.is_managed(live) and not overwrite:
                raise applying.taken(service.key, live)
            record = Record(self._identity, service, plan.Progress(service.revision), overwrite=overwrite)
            records.write(self._folder, record)
            there = ClusterService(record, self._view(service.key), self._folder, self._on_change)
            self._services[service.key] = there
            if self._around is not None:
                there.run(self._around)
            self._changed(service.key)
            return
        if there.record.progress.deleting:
            raise Conflict(
                f"{service.key.name} is being deleted.",
                subject=service.key.name,
                hint="Wait a moment and try again.",
            )
        there.ask(service, overwrite=overwrite)

    async def delete(self, key: ServiceKey) -> None:
        """See `Backend`."""
        there = self._ours(key)
        if self._around is None:
            # It is remembered, and done as soon as there is a connection.
            there.forget_later()
            raise self._problem or ClusterUnavailable(
                "The cluster does not answer yet.", subject=str(key), hint="It is deleted as soon as it does."
            )
        await there.delete()

    async def pause(self, key: ServiceKey) -> None:
        """See `Backend`."""
        self._ours(key).pause(paused=True)

    async def resume(self, key: ServiceKey) -> None:
        """See `Backend`."""
        self._ours(key).pause(paused=False)

    async def check(self, service: InferenceService) -> list[Finding]:
        """See `Backend`."""
        if self._preparing is None or self._connected is None:
            return [self._not_there()]
        others = [view.view(name).object for view in self._namespaces.values() for name in view.names()]
        there = [one for one in others if one is not None]
        return await self._preparing.check(service, there)

    async def render(self, service: InferenceService) -> Mapping[str, Any] | None:
        """See `Backend`."""
        return None if self._preparing is None else await self._preparing.render(service)

    async def runtimes(self, namespace: str) -> tuple[Runtime, ...] | None:
        """See `Backend`. Those that KServe ships while the cluster does not answer."""
        around = self._around
        if around is None:
            return ROWS
        try:
            return await around.call(partial(around.rows.of, namespace))
        except KaleServeError:
            # `check` says what is the matter.
            return ROWS

    def status(self, key: ServiceKey) -> Status | None:
        """See `Backend`."""
        service = self.desired(key)
        if service is None:
            return None
        return self._statuses.get(key, lambda: self._status(key, service), time.monotonic())

    def _status(self, key: ServiceKey, service: InferenceService) -> Status:
        seen, there = self._seen(key), self._services.get(key)
        found = status(service, seen)
        if there is None:
            return found
        # What was asked for last: the object may not say so yet.
        found = replace(found, paused=there.record.progress.paused)
        found = beside(found, service, there.record.served, there.record.templates, seen)
        return before_it_comes(found, service) if there.settling else found

    def reach(self, service: InferenceService) -> Reach:
        """See `Backend`."""
        key = service.key
        found: tuple[Address, ...] = ()
        if self.ways is not None and self._view(key).object is not None:
            try:
                found = self.ways.addresses(key)
            except KaleServeError:
                found = ()
        return Reach(
            protocols=(protocol_of(service.protocol),),
            binary=False,
            socket=str(paths.cluster_socket()),
            base=f"/serving/{key.namespace}/{key.name}",
            addresses=found,
        )

    def desired(self, key: ServiceKey) -> InferenceService | None:
        """See `Backend`."""
        there = self._services.get(key)
        if there is not None:
            return there.record.service
        live = self._view(key).object
        return None if live is None else service_of(live, self.target)

    def managed(self, key: ServiceKey) -> bool:
        """See `Backend`."""
        live = self._view(key).object
        return key in self._services or live is None or marks.is_managed(live)

    def revisions(self, key: ServiceKey) -> list[InferenceService]:
        """See `Backend`."""
        there = self._services.get(key)
        if there is None:
            found = self.desired(key)
            return [] if found is None else [found]
        served = there.record.served
        return [
            there.record.service,
            *([served] if served is not None and served != there.record.service else []),
        ]

    def keys(self) -> list[ServiceKey]:
        """See `Backend`."""
        live = {
            ServiceKey(view.namespace, name) for view in self._namespaces.values() for name in view.names()
        }
        return sorted(live | set(self._services))

    def busy(self) -> bool:
        """See `Backend`."""
        return any(service.busy for service in self._services.values())

    def objects(self, key: ServiceKey) -> Mapping[str, Any]:
        """See `Backend`."""
        service, live = self._services.get(key), self._view(key).object
        if service is None and live is None:
            raise _not_found(key)
        applied = service.record.applied if service is not None else None
        shown = applied if applied is not None else live
        return {
            "applied": applied,
            "live": live,
            "yaml": None if shown is None else to_yaml(shown),
            "live_yaml": None if live is None else to_yaml(live),
            "drift": list(drift(applied, live)) if applied is not None and live is not None else [],
        }

    async def logs(
        self,
        key: ServiceKey,
        *,
        component: str | None = None,
        revision: int | None = None,
        tail: int = 200,
        follow: bool = False,
    ) -> AsyncIterator[str]:
        """See `Backend`."""
        if self.desired(key) is None:
            raise _not_found(key)
        if self._cluster is None:
            raise self._problem or ClusterUnavailable("The cluster does not answer yet.", subject=str(key))
        sources = logs.sources(self._view(key).pods, component or "predictor", revision)
        async for piece in logs.read(self._cluster, key.namespace, sources, tail=tail, follow=follow):
            yield piece

    def about(self) -> dict[str, Any]:
        """See `Backend`."""
        connected, cluster, problem = self._connected, self._cluster, self._problem
        stale = [view.stale_since for view in self._namespaces.values() if view.stale_since is not None]
        installed = connected.installed if connected is not None else None
        waiting = problem is None and connected is None
        return {
            "name": self.target,
            "title": title(cluster, installed) if cluster is not None else "Kubernetes",
            "available": connected is not None,
            "reason": "The cluster is being looked for." if waiting else problem.message if problem else None,
            "hint": problem.hint if problem else None,
            "namespace": self.namespace,
            "context": cluster.context if cluster is not None else self._settings.context,
            "server": cluster.server if cluster is not None else None,
            "kserve_version": text(installed.version) if installed is not None else None,
            "modes": list(installed.modes) if installed is not None else [],
            "store": self._settings.to_json()["store"],
            "stale_since": min(stale, default=None),
            "rights": [one.to_json() for one in connected.checked] if connected is not None else [],
        }

    async def close(self, *, stop_services: bool) -> None:  # noqa: ARG002 (they do not live by this process)
        """See `Backend`."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._news.close()
        await asyncio.gather(*(service.let_go() for service in self._services.values()))
        if self._tailing is not None:
            await self._tailing.close()
        if self.ways is not None:
            await self.ways.close()
        for view in self._namespaces.values():
            view.close()
        if self._watches is not None:
            await self._watches.close()
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.close)
        if self._around is not None:
            await asyncio.to_thread(self._around.close)

    # -- the cluster comes

    async def _connect(self) -> None:
        connected = await until_found(self._settings, self._opened, self._failed)
        self._connected, self._problem = connected, None
        assert self.ways is not None
        around = Around(
            identity=self._identity,
            cluster=connected.cluster,
            settings=self._settings,
            folder=self._folder,
            ways=self.ways,
            publishing=self._publishing,
            installed=connected.installed,
            rows=ClusterRows(connected.cluster),
            backoff=self._backoff,
        )
        self._around = around
        self._preparing = Preparing(around, connected.rights)
        for service in self._services.values():
            service.run(around)
        self._tell(None)

    def _opened(self, cluster: Cluster) -> None:
        self._cluster = cluster
        loop = asyncio.get_running_loop()
        self._watches = Watches(cluster, loop)
        self.ways = Ways(cluster, self._settings, self._addresses)
        self._tailing = Tailing(cluster, self._on_change)
        for namespace in {cluster.namespace, *(key.namespace for key in self._services)}:
            self._watch(namespace)
        for key, service in self._services.items():
            service.view = self._view(key)

    def _failed(self, error: KaleServeError) -> None:
        self._problem = error
        self._tell(None)

    def _watch(self, namespace: str) -> NamespaceView | None:
        found = self._namespaces.get(namespace)
        if found is None and self._watches is not None:
            found = NamespaceView(self._watches, namespace, self._tell)
            self._namespaces[namespace] = found
        return found

    def _view(self, key: ServiceKey) -> View:
        found = self._namespaces.get(key.namespace)
        if found is None and key in self._services:
            found = self._watch(key.namespace)
        return View() if found is None else found.view(key.name)

    def _addresses(self, key: ServiceKey) -> tuple[Address, ...]:
        live = self._view(key).object
        if live is None:
            raise _not_found(key)
        settings = self._settings
        return addresses(live, in_cluster=in_pod(), preferred=settings.address)

    # -- what is seen

    def _seen(self, key: ServiceKey) -> Seen:
        namespace = self._namespaces.get(key.namespace)
        service = self._services.get(key)
        stale = namespace.stale_since if namespace is not None else None
        lacks = namespace.lacks if namespace is not None else ()
        if self._tailing is not None and self._tailing.refused:
            lacks = (*lacks, "get pods/log")
        if service is None:
            return _foreign(self._view(key), lacks, stale)
        if self._connected is None and self._problem is not None and stale is None:
            stale = service.record.service.updated_at
        return service.seen(lacks, stale)

    def _tell(self, key: ServiceKey | None) -> None:
        self._statuses.drop(key)
        self._news.add(key)

    def _hand_on(self, keys: Iterable[ServiceKey] | None) -> None:
        for one in self.keys() if keys is None else keys:
            service = self._services.get(one)
            if service is not None:
                service.told()
            if self._tailing is not None:
                self._tailing.look(one, self._view(one), self._seen(one))
            self._changed(one)

    def _on_change(self, key: ServiceKey) -> None:
        self._statuses.drop(key)
        service = self._services.get(key)
        if service is not None and service.gone.is_set():
            del self._services[key]
        self._changed(key)

    def _ours(self, key: ServiceKey) -> ClusterService:
        there = self._services.get(key)
        if there is not None:
            return there
        live = self._view(key).object
        if live is None:
            raise _not_found(key)
        if not marks.is_managed(live):
            raise removing.not_ours(key)
        # Made by Kale elsewhere: from now on it is looked after here.
        service = service_of(live, self.target)
        uid = (live.get("metadata") or {}).get("uid")
        number = service.revision
        progress = plan.Progress(number, placed=number, applied=number, adopted=number, uid=uid)
        made = ClusterService(
            Record(self._identity, service, progress), self._view(key), self._folder, self._on_change
        )
        self._services[key] = made
        if self._around is not None:
            made.run(self._around)
        return made

    def _not_there(self) -> Finding:
        error = self._problem or ClusterUnavailable("The cluster does not answer yet.")
        return Finding(error.code, "error", None, error.message, error.hint)


def _foreign(view: View, lacks: tuple[str, ...], stale_since: int | None) -> Seen:
    """What is seen of an object that we have no record of: nobody probes it."""
    return Seen(
        object=view.object,
        pods=view.pods,
        events=view.events,
        logs=view.tails,
        lacks=lacks,
        stale_since=stale_since,
        deleting=bool(((view.object or {}).get("metadata") or {}).get("deletionTimestamp")),
        tried=False,
        now=time.time_ns() // 1_000_000,
    )


def _not_found(key: ServiceKey) -> EndpointNotFound:
    return EndpointNotFound(
        f"There is no inferenceservice {key} on the cluster.",
        subject=str(key),
        hint="`kale-serve status` shows what there is.",
    )
