"""Changes, numbered, with a bounded past: whoever was away for a moment catches up, and is told where it cannot."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

KEPT = 1000


class EventLog:
    """Events with rising sequence numbers.

    Numbering starts at the milliseconds since the epoch, so that it goes on rising when the daemon is replaced: what a
    caller saw of an earlier daemon is then told as a gap instead of being mistaken for the present.
    """

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._seq = time.time_ns() // 1_000_000
        self._changed: asyncio.Event = asyncio.Event()
        self._closed = False

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self._seq

    def publish(self, event: dict[str, Any]) -> None:
        """Number an event and hand it to all who listen."""
        self._seq += 1
        self._kept.append({"seq": self._seq, **event})
        self._wake()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()

    async def follow(
        self, since: int | None, heartbeat_seconds: float
    ) -> AsyncIterator[dict[str, Any] | None]:
        """Events after `since` (None: from now on) until `close`; None as heartbeat after that much silence.

        Where events after `since` are lost, first `{"seq", "kind": "gap"}`: the caller must read all state anew.
        """
        at = self._seq if since is None else since
        while not self._closed:
            changed = self._changed
            oldest = self._kept[0]["seq"] if self._kept else self._seq + 1
            if at < oldest - 1 or at > self._seq:
                at = self._seq
                yield {"seq": at, "kind": "gap"}
                continue
            # At most KEPT are copied, and a slow reader that falls behind them is told of its gap above.
            for event in [event for event in self._kept if event["seq"] > at]:
                at = event["seq"]
                yield event
            if changed.is_set():
                continue
            try:
                await asyncio.wait_for(changed.wait(), heartbeat_seconds)
            except asyncio.TimeoutError:
                yield None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
