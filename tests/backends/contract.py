"""What every backend holds. A test class derives from `BackendContract` and gives it `running`, `service` and `key`,
the name of what `service()` asks for."""

from __future__ import annotations

import asyncio

import pytest

from kale_serve_lab.errors import EndpointNotFound
from kale_serve_lab.serving.types import ServiceKey

KEY = ServiceKey("default", "iris")


class BackendContract:
    def test_an_applied_service_becomes_ready_and_is_listed(self, running, service, key) -> None:
        async def run() -> None:
            async with running() as driver:
                seen = await driver.ready(service(1))
                assert seen.state == "Ready", seen.sentence
                assert driver.backend.keys() == [key]
                assert driver.backend.desired(key).revision == 1

        asyncio.run(run())

    def test_two_applies_at_once_end_with_the_newest(self, running, service, key) -> None:
        async def run() -> None:
            async with running() as driver:
                await asyncio.gather(driver.backend.apply(service(3)), driver.backend.apply(service(2)))
                seen = await driver.until(key, lambda s: s.ready_revision == 3)
                assert seen.state == "Ready"
                assert driver.backend.desired(key).revision == 3

        asyncio.run(run())

    def test_a_failed_new_revision_leaves_the_old_one_serving(self, running, service, key) -> None:
        async def run() -> None:
            async with running() as driver:
                await driver.ready(service(1))
                seen = await driver.ready(service(2, "crash"))
                seen = await driver.until(key, lambda s: s.error is not None)
                assert (seen.state, seen.ready_revision) == ("Ready", 1)
                assert "revision 2 failed" in seen.sentence
                assert (await driver.ready(service(3))).ready_revision == 3

        asyncio.run(run())

    def test_nothing_is_there_after_a_delete(self, running, service, key) -> None:
        async def run() -> None:
            async with running() as driver:
                await driver.ready(service(1))
                await driver.backend.delete(key)
                assert driver.backend.keys() == []
                assert driver.backend.status(key) is None
                with pytest.raises(EndpointNotFound):
                    await driver.backend.delete(key)
                assert (await driver.ready(service(1))).state == "Ready"

        asyncio.run(run())

    def test_what_was_applied_is_there_for_the_next_backend(self, running, service, key) -> None:
        async def run() -> None:
            async with running(stop=False) as driver:
                await driver.ready(service(1))
            async with running() as driver:
                seen = await driver.until(key, lambda s: s.ready_revision == 1)
                assert seen.state == "Ready"

        asyncio.run(run())
