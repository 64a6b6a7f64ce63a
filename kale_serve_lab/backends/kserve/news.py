"""News of services, handed on once where much comes at once; and what was made of the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kale_serve_lab.serving.types import ServiceKey, Status

# Some words depend on the clock as well ("does not answer yet"); those of a service that is well do not.
_SECONDS = 1.0


class News:
    """Collects keys, and calls `tell` with all of them in the next turn of the event loop.

    After a long call the next one comes no sooner than after the same time again, so that a thousand services that come one
    after the other are not looked at at each of them. A key of None: all that there are.
    """

    def __init__(self, tell: Callable[[Iterable[ServiceKey] | None], None]) -> None:
        self._tell = tell
        self._keys: dict[ServiceKey, None] = {}
        self._all = False
        self._free_at = 0.0
        self._call: asyncio.Handle | None = None

    def add(self, key: ServiceKey | None) -> None:
        """There is something new of it."""
        if key is None:
            self._all = True
        else:
            self._keys[key] = None
        if self._call is None:
            loop = asyncio.get_running_loop()
            wait = self._free_at - loop.time()
            self._call = loop.call_later(wait, self._run) if wait > 0 else loop.call_soon(self._run)

    def close(self) -> None:
        """Tell nothing more."""
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> None:
        keys, self._keys = self._keys, {}
        everything, self._all = self._all, False
        self._call = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._tell(None if everything else keys)
        ended = loop.time()
        self._free_at = ended + (ended - began)


@dataclass(frozen=True)
class _Kept:
    status: Status
    until: float


class Statuses:
    """The last status of each service, until there is news of it. In the event loop's thread."""

    def __init__(self) -> None:
        self._kept: dict[ServiceKey, _Kept] = {}

    def get(self, key: ServiceKey, make: Callable[[], Status], now: float) -> Status:
        """The one that is known, or what `make` gives; `now` in seconds of a clock that does not go back."""
        kept = self._kept.get(key)
        if kept is not None and now < kept.until:
            return kept.status
        found = make()
        well = found.state == "Ready" and found.error is None and found.next_step is None
        self._kept[key] = _Kept(found, float("inf") if well else now + _SECONDS)
        return found

    def drop(self, key: ServiceKey | None) -> None:
        """There is news of it (None: of all)."""
        if key is None:
            self._kept.clear()
        else:
            self._kept.pop(key, None)
