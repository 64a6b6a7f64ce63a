"""Follows the daemon's changes and tells them to every browser through Jupyter's event logger.

The stream has no replay, so whenever it could not be heard the services are listed and what differs is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from logging import Logger
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.names import DEFAULT_NAMESPACE

SCHEMA_ID = "https://kale-serve-lab.dev/events/state/v1"
SCHEMA_PATH = Path(__file__).parent / "event_schemas" / "state.yaml"
KEYS = ("seq", "kind", "name", "namespace", "target", "id", "revision", "state", "deleted")
# The target of an event that names none.
LOCAL = "local"
# How long a daemon that a script started goes unnoticed; calls of our own wake the follower at once.
LOOK_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 10.0

# Target, namespace and name: the same name may be on this machine and on the cluster.
_Key = tuple[str, str, str]
_Seen = tuple[int | None, str | None]


class EventFollower:
    """One task that tells each change once, for as long as the Jupyter server runs."""

    def __init__(self, client: AsyncClient, emit: Callable[[dict[str, Any]], None], log: Logger) -> None:
        self._client, self._emit, self._log = client, emit, log
        self._seen: dict[_Key, _Seen] = {}
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._connected = False

    def start(self) -> None:
        """Begin to follow; needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="kale-serve events")

    async def stop(self) -> None:
        """End, and let go of the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def wake(self) -> None:
        """The daemon has just answered: if it is not followed yet, it can be."""
        if not self._connected:
            self._woken.set()

    async def _run(self) -> None:
        backoff = LOOK_SECONDS
        crashed = False
        while True:
            self._woken.clear()
            # A daemon that left because it was asked to, or because nobody needed it, stays away until it is called.
            if (crashed and self._seen) or await self._is_there():
                try:
                    await self._follow()
                    crashed, backoff = False, LOOK_SECONDS
                except (KaleServeError, OSError) as error:
                    self._log.info("Kale Serve's events are interrupted: %s", error)
                    if self._connected:
                        crashed, backoff = True, LOOK_SECONDS
                        self._connected = False
                        continue
                    backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
            self._connected = False
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), backoff)

    async def _is_there(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(paths.daemon_socket()))
        except (OSError, KaleServeError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _follow(self) -> None:
        """Until the daemon leaves in good order. Raises `KaleServeError` or `OSError` when it is lost."""
        while True:
            listed = await self._client.request("GET", "/api/services")
            self._connected = True
            self._catch_up(listed)
            async with contextlib.aclosing(self._client.events(listed["seq"])) as events:  # type: ignore[type-var]
                async for event in events:
                    if event.get("kind") not in ("service", "artifact"):
                        # A gap: list again.
                        break
                    self._tell(event)
                else:
                    return

    def _catch_up(self, listed: dict[str, Any]) -> None:
        seq = listed["seq"]
        there = {
            (item["target"], item["namespace"], item["name"]): (item["revision"], item["state"])
            for item in listed["items"]
        }
        missed: list[dict[str, Any]] = [
            _named(key) | {"revision": now[0], "state": now[1], "deleted": False}
            for key, now in there.items()
            if self._seen.get(key) != now
        ]
        missed += [
            _named(key) | {"revision": self._seen[key][0], "state": None, "deleted": True}
            for key in self._seen.keys() - there.keys()
        ]
        for change in missed:
            self._tell({"seq": seq, "kind": "service", **change})
        # Artifacts are too many to compare.
        self._tell({"seq": seq, "kind": "artifact", "name": "", "deleted": False})

    def _tell(self, event: dict[str, Any]) -> None:
        if event["kind"] == "service":
            key = (event.get("target") or LOCAL, event.get("namespace") or DEFAULT_NAMESPACE, event["name"])
            if event.get("deleted"):
                self._seen.pop(key, None)
            else:
                self._seen[key] = (event.get("revision"), event.get("state"))
        self._emit({key: event[key] for key in KEYS if key in event})


def _named(key: _Key) -> dict[str, Any]:
    target, namespace, name = key
    return {"target": target, "namespace": namespace, "name": name}
