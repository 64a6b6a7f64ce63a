"""A local backend of the test's own, and waiting for a state by the backend's own events."""

from __future__ import annotations

import asyncio
import contextlib

from kale_serve_lab.backends.local import LocalBackend
from kale_serve_lab.serving.types import InferenceService, ServiceKey, Status

NOTHING = Status("Pending", "Nothing is there.", None, None, (), (), None)


class Driver:
    """A backend, and waiting for what it says."""

    def __init__(self, backend) -> None:
        self.backend = backend
        self._event = asyncio.Event()

    async def start(self) -> None:
        await self.backend.start(lambda _: self._event.set())

    def status(self, key: ServiceKey) -> Status:
        return self.backend.status(key) or NOTHING

    async def until(self, key: ServiceKey, condition, seconds: float = 30) -> Status:
        """The status as soon as `condition(status)` holds."""

        async def wait() -> Status:
            while True:
                self._event.clear()
                seen = self.status(key)
                if condition(seen):
                    return seen
                await self._event.wait()

        try:
            return await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"not within {seconds} s: {self.status(key)}") from None

    async def ready(self, service: InferenceService, seconds: float = 30) -> Status:
        await self.backend.apply(service)
        return await self.until(
            service.key, lambda s: s.ready_revision == service.revision or s.error is not None, seconds
        )

    def pid(self, key: ServiceKey) -> int:
        front = self.backend.observed(key).front
        return next(p.pid for p in self.backend.observed(key).components if p.revision == front)


@contextlib.asynccontextmanager
async def running(*, stop: bool = True, **options):
    driver = Driver(LocalBackend(**options))
    await driver.start()
    try:
        yield driver
    finally:
        await driver.backend.close(stop_services=stop)
