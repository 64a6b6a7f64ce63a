"""When the daemon leaves: it had neither endpoint nor caller for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Idle:
    """One timer that is set when the last caller goes; nothing runs while somebody is there."""

    def __init__(self, seconds: float, has_endpoints: Callable[[], bool], leave: Callable[[], None]) -> None:
        self._seconds, self._has_endpoints, self._leave = seconds, has_endpoints, leave
        self._callers: set[object] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    def enter(self, caller: object) -> None:
        """Somebody is there."""
        self._callers.add(caller)
        self.close()

    def leave(self, caller: object) -> None:
        """Somebody has gone."""
        self._callers.discard(caller)
        if not self._callers and self._empty is not None:
            self._empty.set()
        self.look()

    def look(self) -> None:
        """Set the timer where nobody is there; also called at the start and when an endpoint has gone."""
        self.close()
        if not self._callers:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._over)

    def look_again(self) -> None:
        """As `look`, where the timer is not set: what kept the daemon has ended."""
        if self._timer is None:
            self.look()

    async def gone(self, seconds: float) -> None:
        """Wait until nobody is there, at most this long."""
        self._empty = asyncio.Event()
        if not self._callers:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        # An endpoint that goes sets the timer anew, so nothing is asked while one is there.
        if not self._has_endpoints():
            self._leave()
