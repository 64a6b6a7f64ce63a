"""The local backend: one `Service` a name, and what no event tells (a stopped process, growing memory, a growing log)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.backends.local import logs, package, procs, records
from kale_serve_lab.backends.local.around import BACKOFF_SECONDS, Surroundings
from kale_serve_lab.backends.local.environments import Environments
from kale_serve_lab.backends.local.parked import ParkedPool
from kale_serve_lab.backends.local.reach import reach
from kale_serve_lab.backends.local.records import Record
from kale_serve_lab.backends.local.service import Service
from kale_serve_lab.errors import Conflict, EndpointNotFound, InvalidRequest
from kale_serve_lab.serving import names
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.runtimes import Runtime
from kale_serve_lab.serving.status import status
from kale_serve_lab.serving.types import InferenceService, Observed, Reach, ServiceKey, Status

# Two looks find a stopped process within 8 s.
LOOK_SECONDS = 4.0
FOLLOW_SECONDS = 0.25
PARKED_LOG = "parked.log"


class LocalBackend:
    """`Backend` on this machine. To be made and used in the event loop of the main thread.

    `python` runs artifacts that name no interpreter; `backoff` are the seconds before the first restart and the next ones.
    """

    target = "local"
    namespace = names.DEFAULT_NAMESPACE

    def __init__(
        self,
        *,
        python: str = sys.executable,
        backoff: tuple[float, ...] = BACKOFF_SECONDS,
        environments: Environments | None = None,
    ) -> None:
        data = paths.data_dir()
        self._services: dict[ServiceKey, Service] = {}
        self._services_dir = data / "services"
        self._logs_dir = data / "logs"
        self._data_dir = data
        self._python = python
        self._backoff = backoff
        self._environments = environments or Environments(paths.environments_dir())
        self._around: Surroundings | None = None
        self._changed: Callable[[ServiceKey], None] = lambda _: None
        self._looking: asyncio.Task[None] | None = None

    async def start(self, changed: Callable[[ServiceKey], None]) -> None:
        """See `Backend`."""
        for folder in (self._services_dir, self._logs_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._changed = changed
        sdk_path = package.ensure(self._data_dir)
        self._around = Surroundings(
            services_dir=self._services_dir,
            logs_dir=self._logs_dir,
            work_dir=self._data_dir / "work",
            runtimes_dir=self._data_dir / "runtimes",
            sdk_path=sdk_path,
            python=self._python,
            pool=ParkedPool(procs.server_environment(sdk_path, {}), self._logs_dir / PARKED_LOG),
            environments=self._environments,
            backoff=self._backoff,
        )
        found = [
            Service(record, self._around, self._on_change) for record in records.read_all(self._services_dir)
        ]
        await asyncio.gather(*(service.adopt() for service in found))
        for service in found:
            self._services[service.key] = service
            service.run()
            self._changed(service.key)
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def apply(self, service: InferenceService, *, overwrite: bool = False) -> None:  # noqa: ARG002
        """See `Backend`."""
        assert self._around is not None
        there = self._services.get(service.key)
        if there is None:
            record = Record(service, procs.boot_id(), specs={service.revision: service})
            there = self._services[service.key] = Service(record, self._around, self._on_change)
            records.write(self._services_dir, record, durable=True)
            there.run()
            self._changed(service.key)
            return
        if there.record.deleting:
            raise Conflict(
                f"{service.key.name} is being deleted.",
                subject=service.key.name,
                hint="Wait a moment and try again.",
            )
        there.ask(service)

    async def delete(self, key: ServiceKey) -> None:
        """See `Backend`."""
        await self._find(key).delete()

    async def pause(self, key: ServiceKey) -> None:
        """See `Backend`."""
        raise self._only_on_a_cluster(key, "paused")

    async def resume(self, key: ServiceKey) -> None:
        """See `Backend`."""
        raise self._only_on_a_cluster(key, "resumed")

    async def check(self, service: InferenceService) -> list[Finding]:  # noqa: ARG002
        """See `Backend`."""
        return []

    async def render(self, service: InferenceService) -> Mapping[str, Any] | None:  # noqa: ARG002
        """See `Backend`."""
        return None

    async def runtimes(self, namespace: str) -> tuple[Runtime, ...] | None:  # noqa: ARG002
        """See `Backend`."""
        return None

    def status(self, key: ServiceKey) -> Status | None:
        """See `Backend`."""
        service = self._services.get(key)
        return None if service is None else status(service.desired, service.observed)

    def reach(self, service: InferenceService) -> Reach:
        """See `Backend`."""
        there = self._services.get(service.key)
        return reach(service, there.observed if there is not None else None)

    def managed(self, key: ServiceKey) -> bool:  # noqa: ARG002
        """See `Backend`."""
        return True

    def busy(self) -> bool:
        """See `Backend`."""
        return bool(self._services)

    def objects(self, key: ServiceKey) -> Mapping[str, Any]:
        """See `Backend`."""
        raise self._only_on_a_cluster(key, "shown as an object")

    def about(self) -> dict[str, Any]:
        """See `Backend`."""
        return {
            "name": self.target,
            "title": "This machine",
            "available": True,
            "reason": None,
            "hint": None,
            "namespace": self.namespace,
            "context": None,
            "server": None,
            "kserve_version": None,
            "modes": [],
            "store": None,
            "stale_since": None,
            "rights": [],
        }

    def observed(self, key: ServiceKey) -> Observed | None:
        """The processes that are there."""
        service = self._services.get(key)
        return None if service is None else service.observed

    def desired(self, key: ServiceKey) -> InferenceService | None:
        """See `Backend`."""
        service = self._services.get(key)
        return None if service is None else service.desired

    def revisions(self, key: ServiceKey) -> list[InferenceService]:
        """See `Backend`."""
        service = self._services.get(key)
        return [] if service is None else list(service.record.specs.values())

    def keys(self) -> list[ServiceKey]:
        """See `Backend`."""
        return sorted(self._services)

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
        service = self._find(key)
        name = "transformer" if component == "transformer" else "predictor"
        number = service.desired.revision if revision is None else revision
        path = service.log_path(name, number)
        lines = logs.tail(path, tail)
        position = _size(path)
        if lines:
            yield "\n".join(lines) + "\n"
        while follow and not service.gone.is_set():
            # A file has no event that asyncio could await.
            try:
                await asyncio.wait_for(service.gone.wait(), FOLLOW_SECONDS)
            except asyncio.TimeoutError:
                pass
            size = _size(path)
            if size < position:
                position = 0  # it was bounded
            if size > position:
                with path.open("rb") as file:
                    file.seek(position)
                    data = file.read(1 << 20)
                position += len(data)
                yield data.decode(errors="replace")

    async def close(self, *, stop_services: bool) -> None:
        """See `Backend`."""
        if stop_services:
            await asyncio.gather(*(service.delete() for service in list(self._services.values())))
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for service in list(self._services.values()):
            await service.let_go()
        if self._around is not None:
            self._around.pool.close()

    def _find(self, key: ServiceKey) -> Service:
        service = self._services.get(key)
        if service is None:
            raise EndpointNotFound(
                f"There is no endpoint {key.name}.",
                subject=key.name,
                hint="`kale-serve list` shows those that are there.",
            )
        return service

    def _only_on_a_cluster(self, key: ServiceKey, what: str) -> InvalidRequest:
        self._find(key)
        return InvalidRequest(
            f"{key.name} runs on this machine; only a service on a cluster can be {what}.",
            subject=key.name,
            hint="Delete it, and serve it again when it is needed.",
        )

    def _on_change(self, key: ServiceKey) -> None:
        service = self._services.get(key)
        if service is not None and service.gone.is_set():
            del self._services[key]
        self._changed(key)

    async def _look(self) -> None:
        stopped: dict[ServiceKey, set[int]] = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            logs.bound(self._logs_dir / PARKED_LOG)
            for key, service in list(self._services.items()):
                stopped[key] = service.end_stopped(stopped.get(key, set()))
                service.end_too_large()
                for path in service.live_logs():
                    logs.bound(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
