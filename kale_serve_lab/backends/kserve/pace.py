"""While an API server is away, all watches together ask it once a second at most; the first that gets through wakes the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Turns, `apart` seconds from each other. Thread-safe."""

    def __init__(self, apart: float = 1.0) -> None:
        self._apart = apart
        self._changed = threading.Condition()
        self._turns: list[float] = []
        self._recoveries = 0

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Return at the next free turn after `seconds`, when another has got through, or once `stopped`."""
        with self._changed:
            now = time.monotonic()
            self._turns = sorted(turn for turn in self._turns if turn > now - self._apart)
            mine = now + seconds
            for turn in self._turns:
                if abs(turn - mine) < self._apart:
                    mine = turn + self._apart
            self._turns.append(mine)
            before = self._recoveries
            self._changed.wait_for(lambda: stopped() or self._recoveries != before, max(0.0, mine - now))

    def recovered(self) -> None:
        """The API server answers again."""
        with self._changed:
            self._recoveries += 1
            self._turns.clear()
            self._changed.notify_all()

    def wake(self) -> None:
        """Have those that wait look whether they are stopped."""
        with self._changed:
            self._changed.notify_all()
