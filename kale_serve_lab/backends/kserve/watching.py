"""The objects of one kind in one namespace as they are now: list, then watch, in a thread of its own; never polling."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kale_serve_lab.backends.kserve.cluster import Answer, Cluster, Lines
from kale_serve_lab.backends.kserve.pace import Pace
from kale_serve_lab.backends.kserve.resources import Resource
from kale_serve_lab.backends.kserve.watch_rules import (
    Doing,
    Step,
    Timings,
    WatchState,
    after_end,
    after_loss,
    after_refusal,
    named,
)
from kale_serve_lab.errors import ClusterUnavailable, KaleServeError

_log = logging.getLogger(__name__)
Key = tuple[str, str]


@dataclass(frozen=True)
class Event:
    """An object that has come, changed or gone; of a gone one, as it was last seen.

    An object that was deleted and made again while nobody looked comes as MODIFIED with another `metadata.uid`.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: dict[str, Any]


class Watch:
    """One thread. `on_event` and `on_state` are called in it, in order; `live` comes after all that a list has brought.

    They must not raise and not block. `pace` is shared by the watches of one API server.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        namespace: str | None,
        on_event: Callable[[Event], None],
        on_state: Callable[[WatchState], None],
        *,
        selector: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        timings: Timings | None = None,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._path = resource.path(namespace)
        self._what = resource.what(namespace)
        self._selector = dict(selector or {})
        self._on_event, self._on_state = on_event, on_state
        self._pace = pace or Pace()
        self._timings = timings or Timings()
        self._objects: dict[Key, dict[str, Any]] = {}
        self._version = ""
        self._heard_at = _now()
        self._state = WatchState("starting")
        self._fails = 0
        self._opened = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._lines: Lines | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {self._what}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self, seconds: float = 20.0) -> None:
        """End; no callback comes once it has returned, and no connection is left."""
        self._stopping.set()
        self._pace.wake()
        with self._lock:
            lines = self._lines
        if lines is not None:
            lines.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        doing: Doing = "list"
        while not self._stopping.is_set():
            try:
                step = self._list() if doing == "list" else self._watch()
            except KaleServeError as error:
                step = self._lost(error, doing)
            except Exception:
                # What a stranger's server sends must not end a watch for good.
                _log.exception("The watch of %s failed.", self._what)
                unread = ClusterUnavailable(
                    f"The API server's answer about {self._what} could not be read.", subject=self._what
                )
                step = self._lost(unread, doing)
            if self._stopping.is_set():
                return
            self._fails = self._fails + 1 if step.failed else self._fails
            if step.phase is not None:
                self._tell(WatchState(step.phase, self._heard_at, step.error))
            doing = step.doing
            if step.wait and step.outage:
                self._pace.wait(step.wait, self._stopping.is_set)
            elif step.wait:
                self._stopping.wait(step.wait)

    def _list(self) -> Step:
        """All pages, and what has gone meanwhile."""
        there: set[Key] = set()
        query: dict[str, str | int | bool | None] = {**self._selector, "limit": self._timings.page}
        while True:
            answer = self._cluster.request(
                "GET", self._path, query=query, timeout=self._timings.request, retry=False
            )
            if not answer.ok:
                return self._refused(answer, "list")
            items = answer.json.get("items")
            metadata = answer.json.get("metadata")
            if not isinstance(items, list) or not isinstance(metadata, Mapping):
                return self._refused(replace(answer, status=502), "list")
            if self._stopping.is_set():
                return Step("list")
            for one in items:
                there.add(self._take(one))
            if not metadata.get("continue"):
                break
            query["continue"] = str(metadata["continue"])
        for key in self._objects.keys() - there:
            self._on_event(Event("DELETED", self._objects.pop(key)))
        self._version = str(metadata.get("resourceVersion") or "")
        self._heard()
        return Step("watch")

    def _watch(self) -> Step:
        timings = self._timings
        self._opened = False
        began = time.monotonic()
        lines = self._cluster.lines(
            self._path,
            {
                **self._selector,
                "watch": True,
                "allowWatchBookmarks": True,
                "resourceVersion": self._version,
                "timeoutSeconds": random.randint(timings.ask_shortest, timings.ask_longest),
            },
            timings.silent,
        )
        with self._lock:
            self._lines = lines
        if self._stopping.is_set():
            lines.close()
        heard = 0
        try:
            if not lines.answer.ok:
                return self._refused(lines.answer, "watch")
            self._opened = True
            # A watch that opens right after a list says nothing new; after an outage, that we are here again.
            if self._state.phase != "live":
                self._heard()
            for line in lines:
                if self._stopping.is_set():
                    return Step("watch")
                if not line.strip():
                    continue
                event = json.loads(line)
                kind, given = event["type"], event["object"]
                if kind == "ERROR":
                    code = given.get("code")
                    return self._refused(Answer(code if isinstance(code, int) else 500, given), "watch")
                if kind == "BOOKMARK":
                    self._version = str(given["metadata"]["resourceVersion"])
                else:
                    self._take(given, gone=kind == "DELETED")
                    self._version = str(given["metadata"].get("resourceVersion") or self._version)
                heard += 1
                self._fails = 0
                self._heard()
        except ClusterUnavailable as error:
            if error.details.get("reason") == "silent":
                # Nothing says that anything is wrong. If it is, the next connection does not come about.
                return Step("watch")
            raise
        finally:
            with self._lock:
                self._lines = None
            lines.close()
            if time.monotonic() - began >= timings.short_watch:
                self._fails = 0
        return after_end(
            lasted=time.monotonic() - began,
            heard=heard,
            fails=self._fails,
            timings=timings,
            chance=random.random(),
        )

    def _take(self, given: dict[str, Any], *, gone: bool = False) -> Key:
        metadata = given["metadata"]
        key = (str(metadata.get("namespace") or ""), str(metadata["name"]))
        before = self._objects.get(key)
        if gone:
            if self._objects.pop(key, None) is not None:
                self._on_event(Event("DELETED", self._complete(given)))
        elif before is None or before["metadata"].get("resourceVersion") != metadata.get("resourceVersion"):
            kept = self._objects[key] = self._complete(given)
            self._on_event(Event("ADDED" if before is None else "MODIFIED", kept))
        return key

    def _complete(self, given: dict[str, Any]) -> dict[str, Any]:
        """Items of a list lack what they are."""
        resource = self._resource
        version = f"{resource.group}/{resource.version}" if resource.group else resource.version
        return {"apiVersion": version, "kind": resource.kind, **resource.compact(given)}

    def _heard(self) -> None:
        self._heard_at = _now()
        if self._fails:
            self._pace.recovered()
        self._tell(WatchState("live"))

    def _refused(self, answer: Answer, doing: Doing) -> Step:
        return after_refusal(
            answer,
            doing,
            named(answer, doing, self._what),
            fails=self._fails,
            quiet=(_now() - self._heard_at) / 1000,
            timings=self._timings,
            chance=random.random(),
        )

    def _lost(self, error: KaleServeError, doing: Doing) -> Step:
        return after_loss(
            error,
            doing,
            opened=self._opened,
            fails=self._fails,
            timings=self._timings,
            chance=random.random(),
        )

    def _tell(self, state: WatchState) -> None:
        same = state.phase == self._state.phase and _code(state) == _code(self._state)
        if same and state.phase != "starting":
            return
        self._state = state
        self._on_state(state)


def _code(state: WatchState) -> tuple[str | None, str | None]:
    return (state.error.code, state.error.message) if state.error else (None, None)


def _now() -> int:
    return int(time.time() * 1000)
