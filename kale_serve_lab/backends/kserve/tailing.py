"""The ends of the logs that tell why a server does not start: read when it is another log that would tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kale_serve_lab.backends.kserve import pod_logs
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.pod_logs import Source
from kale_serve_lab.backends.kserve.view import View
from kale_serve_lab.errors import Forbidden, KaleServeError
from kale_serve_lab.serving.kserve.seen import Seen
from kale_serve_lab.serving.kserve.status import wants_logs
from kale_serve_lab.serving.types import ServiceKey

LINES = 50
_Wanted = tuple[tuple[str, str, bool], ...]


class Tailing:
    """`changed` is called when the lines of a service have been read into its view. `refused`: we may not read any."""

    def __init__(self, cluster: Cluster, changed: Callable[[ServiceKey], None]) -> None:
        self._cluster, self._changed = cluster, changed
        self._had: dict[ServiceKey, tuple[_Wanted, tuple[object, ...]]] = {}
        self._reading: dict[ServiceKey, asyncio.Task[None]] = {}
        self.refused = False
        self._missed: dict[ServiceKey, tuple[View, Seen]] = {}
        self._closed = False

    def look(self, key: ServiceKey, view: View, seen: Seen) -> None:
        """Read what is wanted now, where that has changed."""
        wanted = tuple(wants_logs(seen))
        # Another run of the same container is another log.
        runs = tuple(_restarts(view, pod) for pod, _, _ in wanted)
        if self._had.get(key, ((), ())) == (wanted, runs):
            return
        if key in self._reading:
            self._missed[key] = (view, seen)
            return
        self._had[key] = (wanted, runs)
        if not wanted:
            return
        task = asyncio.get_running_loop().create_task(self._read(key, view, wanted))
        self._reading[key] = task
        task.add_done_callback(lambda _: self._read_all(key))

    async def close(self) -> None:
        """End what is being read."""
        self._closed = True
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: ServiceKey, view: View, wanted: _Wanted) -> None:
        for pod, container, previous in wanted:
            source = Source(pod, container, previous)
            try:
                lines = await asyncio.to_thread(pod_logs.tail, self._cluster, key.namespace, source, LINES)
            except Forbidden:
                self.refused = True
                break
            except KaleServeError:
                # The next change of its state asks again.
                self._had.pop(key, None)
                break
            view.tails[f"{pod}/{container}"] = lines

    def _read_all(self, key: ServiceKey) -> None:
        self._reading.pop(key, None)
        missed = self._missed.pop(key, None)
        if self._closed:
            return
        self._changed(key)
        if missed is not None:
            # What tells more has come while the former was read.
            self.look(key, *missed)


def _restarts(view: View, pod: str) -> object:
    for one in view.pods:
        if one["metadata"]["name"] == pod:
            statuses = (one.get("status") or {}).get("containerStatuses") or ()
            return tuple(status.get("restartCount") for status in statuses)
    return None
