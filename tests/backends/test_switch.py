"""Revision switches under load with the built-in server: a driver without retries loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from kale_serve_lab import paths
from kale_serve_lab.serving.types import ServiceKey

sklearn = pytest.importorskip("sklearn")
KEY = ServiceKey("default", "iris")
BODY = json.dumps(
    {"id": "1", "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [1, 2], "data": [0.0, 1.0]}]}
).encode()
RATE = 400
SWITCHES = 8


@pytest.fixture
def model():
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0])


class Connection:
    """Opens when it must: first of all, and after the server has said `Connection: close`."""

    reader = writer = None

    async def predict(self) -> int:
        """The revision that answered; raises on anything but a whole 200."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_unix_connection(
                paths.front_socket("default", "iris")
            )
        head = f"POST /v2/models/iris/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self.writer.write(head.encode() + BODY)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert answer.startswith("http/1.1 200"), answer
        headers = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
        await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(headers["x-kale-serve-revision"])

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def load(stop: asyncio.Event, answered: list[tuple[float, int]], *, kept: bool, rate: float) -> None:
    connection = Connection()
    due = time.monotonic()
    while not stop.is_set():
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        answered.append((began, await connection.predict()))
        if not kept:
            connection.close()
    connection.close()


def test_eight_switches_under_load_lose_nothing(backend_running, service, model) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(service(1, None, model=model))
            stop, answered, switched = asyncio.Event(), [], {}
            # Half on kept connections, half on new ones; 400 requests a second in all.
            loads = [
                asyncio.create_task(load(stop, answered, kept=kept, rate=RATE / 8))
                for kept in [True] * 4 + [False] * 4
            ]
            for revision in range(2, SWITCHES + 2):
                seen = await driver.ready(service(revision, None, model=model))
                assert seen.ready_revision == revision, seen.sentence
                switched[revision] = time.monotonic()
                count = len(answered)
                while len(answered) < count + 100 and not any(task.done() for task in loads):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            stop.set()
            await asyncio.gather(*loads)
            assert {revision for _, revision in answered} >= set(switched)
            rate = len(answered) / (answered[-1][0] - answered[0][0])
            print(f"{len(answered)} predictions at {rate:.0f}/s over {SWITCHES} switches, none lost")
            # The last revision stays alone once the others have served their last connections.
            await driver.until(KEY, lambda s: {c.revision for c in s.components} == {SWITCHES + 1})

    asyncio.run(run())


def test_the_built_in_server_is_adopted_and_serves_through_the_daemons_death(
    backend_running, service, model
) -> None:
    async def run() -> None:
        async with backend_running(stop=False) as driver:
            await driver.ready(service(1, None, model=model))
            pid = driver.pid(KEY)
        connection = Connection()
        assert await connection.predict() == 1
        began = time.monotonic()
        async with backend_running() as driver:
            assert driver.status(KEY).state == "Ready"
            assert time.monotonic() - began < 3
            assert driver.pid(KEY) == pid
            assert await connection.predict() == 1
            connection.close()
            os.kill(pid, signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            assert await connection.predict() == 1
            connection.close()

    asyncio.run(run())
