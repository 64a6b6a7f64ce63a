"""Services on all targets: applied, shown, paused and deleted, one change of a service at a time."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from kale_serve_lab.backends.local.rows import Rows
from kale_serve_lab.backends.protocol import Backend
from kale_serve_lab.daemon import asking, objects, requests
from kale_serve_lab.daemon.asking import Artifacts
from kale_serve_lab.daemon.endpoints import Endpoints
from kale_serve_lab.daemon.events import EventLog
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.daemon.runtimes import Runtimes
from kale_serve_lab.daemon.submissions import now
from kale_serve_lab.daemon.targets import Targets, key_of
from kale_serve_lab.daemon.views import Views
from kale_serve_lab.errors import EndpointNotFound, NameTaken
from kale_serve_lab.metadata.types import Artifact
from kale_serve_lab.serving import names
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.preflight import preflight
from kale_serve_lab.serving.types import InferenceService, Reach, ServiceKey

_Identity = tuple[str, ServiceKey]


class Services:
    """Applies, shows and deletes services; one change of a service at a time."""

    def __init__(
        self,
        targets: Targets,
        artifacts: Artifacts,
        endpoints: Endpoints,
        events: EventLog,
        views: Views,
        runtimes: Runtimes,
    ) -> None:
        self._targets, self._artifacts, self._endpoints = targets, artifacts, endpoints
        self._events, self._views, self._runtimes = events, views, runtimes
        self._locks: weakref.WeakValueDictionary[_Identity, asyncio.Lock] = weakref.WeakValueDictionary()
        # Content that a service is just being made from, and must not be dropped meanwhile.
        self._wanted: Counter[str] = Counter()
        self._told: dict[_Identity, dict[str, Any]] = {}
        self._leaving: set[_Identity] = set()
        self._reconciling: set[asyncio.Task[None]] = set()
        self.idle: Idle | None = None

    def any(self) -> bool:
        """Whether there is a service that needs this process."""
        return any(backend.busy() for backend in self._targets.all())

    def using(self, uri: str) -> list[str]:
        """Names of the services of which a revision, also an older one that still serves, is made from this content."""
        found = [
            key.name
            for backend in self._targets.all()
            for key in backend.keys()  # noqa: SIM118 (a backend is no dict)
            if any(
                artifact and artifact.uri == uri
                for service in backend.revisions(key)
                for artifact in (service.model, service.transformer)
            )
        ]
        return found or (["a new endpoint"] if self._wanted[uri] else [])

    async def listing(self) -> list[dict[str, Any]]:
        """All services, by target, namespace and name."""
        return [
            await self._views.service(backend, service)
            for backend in self._targets.all()
            for service in _all(backend)
        ]

    async def get(self, name: str, namespace: str | None, target: str | None = None) -> dict[str, Any]:
        """One service; raises `InvalidName` or `EndpointNotFound`."""
        backend, key = self._targets.meant(name, namespace, target)
        return await self._view(backend, key)

    def reach(self, name: str, namespace: str | None, target: str | None = None) -> Reach:
        """How a service's predictions are reached; raises `InvalidName` or `EndpointNotFound`."""
        backend, key = self._targets.meant(name, namespace, target)
        service = backend.desired(key)
        assert service is not None
        return backend.reach(service)

    def object(self, name: str, namespace: str | None, target: str | None = None) -> dict[str, Any]:
        """What was sent to the cluster and what is there."""
        backend, key = self._targets.meant(name, namespace, target)
        return dict(backend.objects(key))

    async def apply(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to `POST /api/services`."""
        await self._targets.look()
        backend = self._targets.get(requests.text(body, "target"))
        requests.refuse_a_cluster(body)
        overwrite = requests.flag(body, "overwrite")
        requests.flag(body, "propagate_configurations")
        model = await self._artifacts.find(body, "model", ("kale.Model", "system.Model"))
        transformer = await self._artifacts.find(body, "transformer", ("kale.Transformer",))
        key = _name(body, model, backend)
        asked = asking.wish(backend.target, key, model, transformer, body)
        async with self._locks.setdefault((backend.target, key), asyncio.Lock()):
            service, findings = await self._checked(backend, asked)
            remarks = {"findings": [one.to_json() for one in findings]}
            if requests.flag(body, "dry_run"):
                view = await self._views.service(backend, service, asked_only=True)
                shown = objects.shown(await backend.render(await self._artifacts.with_paths(service)))
                return 200, {**remarks, **shown, "service": view}
            if backend.desired(key) is not None and requests.flag(body, "create_only"):
                raise NameTaken(
                    f"There is an endpoint {key.name} already.",
                    subject=key.name,
                    hint="Choose another name, or update the endpoint.",
                )
            asking.refuse(
                key, [one for one in findings if not (overwrite and one.code == NameTaken.__name__)]
            )
            with self._keeping(model, transformer):
                await backend.apply(await self._artifacts.with_paths(service), overwrite=overwrite)
                await self._endpoints.record(service)
        self.changed(backend.target, key)
        return 202, await self._view(backend, key) | remarks

    async def delete(self, name: str, namespace: str | None, target: str | None = None) -> None:
        """Delete a service; nothing of it is left when this returns."""
        backend, key = self._targets.meant(name, namespace, target)
        identity = (backend.target, key)
        async with self._locks.setdefault(identity, asyncio.Lock()):
            backend, key = self._targets.meant(name, namespace, backend.target)
            service = backend.desired(key)
            assert service is not None
            self._leaving.add(identity)
            try:
                await backend.delete(key)
                await self._endpoints.forget(*identity)
            finally:
                self._leaving.discard(identity)
            self._gone(identity, service.revision)

    async def pause(self, name: str, namespace: str | None, target: str | None = None) -> dict[str, Any]:
        """Let go of what serves and keep the service."""
        return await self._toggle("pause", name, namespace, target)

    async def resume(self, name: str, namespace: str | None, target: str | None = None) -> dict[str, Any]:
        """Serve again."""
        return await self._toggle("resume", name, namespace, target)

    def logs(
        self, name: str, namespace: str | None, target: str | None = None, **options: Any
    ) -> AsyncIterator[str]:
        """Pieces of a service's log; see the backend's protocol."""
        backend, key = self._targets.meant(name, namespace, target)
        return backend.logs(key, **options)

    def changed(self, target: str, key: ServiceKey) -> None:
        """Tell everyone who listens, where what they would see has changed."""
        identity = (target, key)
        backend = next((one for one in self._targets.all() if one.target == target), None)
        service = backend.desired(key) if backend is not None else None
        if backend is None or service is None:
            if identity in self._told and identity not in self._leaving:
                self._gone(identity, int(self._told[identity]["revision"]))
            return
        status = backend.status(key)
        if status is None:
            return
        seen = status.to_json() | {"revision": service.revision}
        if self._told.get(identity) == seen:
            return
        self._told[identity] = seen
        self._publish(identity, service.revision, seen["state"], deleted=False)
        if self.idle is not None and not backend.busy():
            self.idle.look_again()

    async def reconcile(self) -> None:
        """Make the recorded endpoints of this machine those that are there."""
        await self._endpoints.reconcile(self._targets.local.target, _all(self._targets.local))

    def came(self, target: str) -> None:
        """A cluster's backend has been made: its recorded endpoints, and what is listed, are now those that it knows."""
        backend = next(one for one in self._targets.all() if one.target == target)
        ours = [service for service in _all(backend) if backend.managed(service.key)]
        task = asyncio.get_running_loop().create_task(self._endpoints.reconcile(target, ours))
        self._reconciling.add(task)
        task.add_done_callback(self._reconciling.discard)
        for service in ours:
            self.changed(target, service.key)

    async def close(self) -> None:
        """Wait for what is being recorded."""
        await asyncio.gather(*self._reconciling, return_exceptions=True)

    async def _checked(
        self, backend: Backend, asked: InferenceService
    ) -> tuple[InferenceService, list[Finding]]:
        """The next revision, and what is to be said of it, errors first."""
        there = backend.desired(asked.key)
        table = await self._runtimes.rows()
        kinds = await backend.runtimes(asked.key.namespace)
        if kinds is not None:
            table = Rows(kinds)
        before = there if there is not None and there.revision > 0 else None
        service = asking.following(before, now(), table, asked)
        if kinds is not None:
            return service, await backend.check(await self._artifacts.with_paths(service))
        around = await self._runtimes.around(service, table)
        others = [other for other in _all(backend) if other.key != asked.key]
        return service, preflight(service, others, around) + await backend.check(service)

    async def _toggle(
        self, what: str, name: str, namespace: str | None, target: str | None
    ) -> dict[str, Any]:
        backend, key = self._targets.meant(name, namespace, target)
        async with self._locks.setdefault((backend.target, key), asyncio.Lock()):
            await (backend.pause(key) if what == "pause" else backend.resume(key))
        self.changed(backend.target, key)
        return await self._view(backend, key)

    async def _view(self, backend: Backend, key: ServiceKey) -> dict[str, Any]:
        service = backend.desired(key)
        if service is None:
            raise EndpointNotFound(f"{key.name} has just been deleted.", subject=key.name)
        return await self._views.service(backend, service)

    @contextlib.contextmanager
    def _keeping(self, *artifacts: Artifact | None) -> Iterator[None]:
        uris = [artifact.uri for artifact in artifacts if artifact]
        self._wanted.update(uris)
        try:
            yield
        finally:
            self._wanted.subtract(uris)

    def _gone(self, identity: _Identity, revision: int) -> None:
        self._told.pop(identity, None)
        self._publish(identity, revision, "Deleting", deleted=True)
        if self.idle is not None:
            self.idle.look()

    def _publish(self, identity: _Identity, revision: int, state: str, *, deleted: bool) -> None:
        target, key = identity
        self._events.publish(
            {
                "kind": "service",
                "name": key.name,
                "namespace": key.namespace,
                "target": target,
                "id": None,
                "revision": revision,
                "state": state,
                "deleted": deleted,
            }
        )


def _all(backend: Backend) -> list[InferenceService]:
    keys = backend.keys()
    return [service for key in keys if (service := backend.desired(key))]


def _name(body: Mapping[str, Any], model: Artifact | None, backend: Backend) -> ServiceKey:
    namespace = requests.text(body, "namespace") or backend.namespace
    name = body.get("name")
    if name is None:
        name = names.derive_service_name(model.name if model else "model", names.check_namespace(namespace))
    return key_of(name, namespace)
