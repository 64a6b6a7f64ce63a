"""One watch for each kind and namespace, whatever the number of those that look; all callbacks come in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.pace import Pace
from kale_serve_lab.backends.kserve.resources import Resource
from kale_serve_lab.backends.kserve.watch_rules import Timings, WatchState
from kale_serve_lab.backends.kserve.watching import Event, Key, Watch

_Name = tuple[Resource, str | None, tuple[tuple[str, str], ...]]


@dataclass(eq=False)
class Subscription:
    """What one caller sees of a watch. `objects` are as last told, by (namespace, name): do not change them."""

    on_event: Callable[[Event], None] = field(repr=False)
    on_state: Callable[[WatchState], None] = field(repr=False)
    _shared: _Shared = field(repr=False)
    _closed: bool = False

    @property
    def objects(self) -> Mapping[Key, dict[str, Any]]:
        """What is there now."""
        return self._shared.objects

    @property
    def state(self) -> WatchState:
        """How good that is."""
        return self._shared.state

    def close(self) -> None:
        """No callback comes any more; the last one that leaves ends the watch (in a thread: it takes a moment)."""
        if not self._closed:
            self._closed = True
            self._shared.leave(self)


class Watches:
    """The watches of one cluster. Everything here is called in `loop`'s thread."""

    def __init__(
        self, cluster: Cluster, loop: asyncio.AbstractEventLoop, timings: Timings | None = None
    ) -> None:
        self._cluster, self._loop = cluster, loop
        self._timings = timings
        self._pace = Pace()
        self._shared: dict[_Name, _Shared] = {}
        self._ending: set[asyncio.Future[None]] = set()

    def subscribe(
        self,
        resource: Resource,
        namespace: str | None,
        on_event: Callable[[Event], None],
        on_state: Callable[[WatchState], None],
        *,
        selector: Mapping[str, str] | None = None,
    ) -> Subscription:
        """Look at all objects of a kind; `selector` has `labelSelector` or `fieldSelector`.

        What is known already is told soon, as ADDED. Of an object that changes fast only the last state is told.
        """
        name: _Name = (resource, namespace, tuple(sorted((selector or {}).items())))
        shared = self._shared.get(name)
        if shared is None:
            shared = self._shared[name] = _Shared(self._loop, lambda found: self._end(name, found))
            shared.watch = Watch(
                self._cluster,
                resource,
                namespace,
                shared.put_event,
                shared.put_state,
                selector=selector,
                pace=self._pace,
                timings=self._timings,
            )
            shared.watch.start()
        return shared.join(on_event, on_state)

    async def close(self) -> None:
        """End all of them; no thread is left."""
        for name, shared in list(self._shared.items()):
            self._end(name, shared)
        if self._ending:
            await asyncio.gather(*self._ending)

    def _end(self, name: _Name, shared: _Shared) -> None:
        if self._shared.get(name) is shared:
            del self._shared[name]
        shared.silence()
        if shared.watch is not None:
            ending = self._loop.run_in_executor(None, shared.watch.close)
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


class _Shared:
    """Carries one watch's news from its thread into the loop, the last of each object."""

    def __init__(self, loop: asyncio.AbstractEventLoop, left: Callable[[_Shared], None]) -> None:
        self.watch: Watch | None = None
        self.objects: dict[Key, dict[str, Any]] = {}
        self.state = WatchState("starting")
        self._loop, self._left = loop, left
        self._callers: list[Subscription] = []
        self._told: set[Subscription] = set()
        self._lock = threading.Lock()
        self._events: dict[Key, Event] = {}
        self._new_state: WatchState | None = None
        self._called = False
        self._silent = False

    def put_event(self, event: Event) -> None:
        """In the watch's thread."""
        metadata = event.object["metadata"]
        with self._lock:
            self._events[str(metadata.get("namespace") or ""), str(metadata["name"])] = event
            self._call()

    def put_state(self, state: WatchState) -> None:
        """In the watch's thread."""
        with self._lock:
            self._new_state = state
            self._call()

    def _call(self) -> None:
        if self._called or self._silent:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed
            self._silent = True

    def join(self, on_event: Callable[[Event], None], on_state: Callable[[WatchState], None]) -> Subscription:
        caller = Subscription(on_event, on_state, self)
        self._callers.append(caller)
        self._loop.call_soon(self._replay, caller)
        return caller

    def leave(self, caller: Subscription) -> None:
        self._told.discard(caller)
        if caller in self._callers:
            self._callers.remove(caller)
        if not self._callers and not self._silent:
            self._left(self)

    def silence(self) -> None:
        with self._lock:
            self._silent = True
            self._events.clear()
        self._callers.clear()
        self._told.clear()

    def _replay(self, caller: Subscription) -> None:
        if caller not in self._callers:
            return
        self._told.add(caller)
        for one in list(self.objects.values()):
            if caller in self._told:
                caller.on_event(Event("ADDED", one))
        if caller in self._told and self.state.phase != "starting":
            caller.on_state(self.state)

    def _drain(self) -> None:
        with self._lock:
            events, self._events = self._events, {}
            state, self._new_state = self._new_state, None
            self._called = False
        for key, event in events.items():
            if event.type == "DELETED":
                if self.objects.pop(key, None) is None:
                    continue
                told = event
            else:
                told = Event("MODIFIED" if key in self.objects else "ADDED", event.object)
                self.objects[key] = event.object
            for caller in list(self._told):
                if caller in self._told:
                    caller.on_event(told)
        if state is not None:
            self.state = state
            for caller in list(self._told):
                if caller in self._told:
                    caller.on_state(state)
