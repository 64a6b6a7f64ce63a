"""One task that does the next step again and again, as long as there is one; errors that pass are tried again later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


class Loop:
    """`step` does one step and says whether to look again at once, or after that many seconds, or when woken (None)."""

    def __init__(self, step: Callable[[], Awaitable[float | None]]) -> None:
        self._step = step
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._hurry = False
        self.working = False

    def start(self) -> None:
        """Begin; the first step comes at once."""
        self._wake.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self, *, now: bool = False) -> None:
        """Something has changed; `now` also ends the wait before the next try."""
        self._hurry = self._hurry or now
        self._wake.set()

    async def close(self) -> None:
        """End it; a step that is under way is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.working = True
            try:
                wait = await self._step()
            finally:
                self.working = False
            if wait is not None:
                await self._pause(wait)
                self._wake.set()

    async def _pause(self, seconds: float) -> None:
        ends = asyncio.get_running_loop().time() + seconds
        while not self._hurry and (left := ends - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
            self._wake.clear()
        self._hurry = False
