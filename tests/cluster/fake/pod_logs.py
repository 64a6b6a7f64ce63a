"""Logs of pods: what a test has put there, read and followed as `GET pods/NAME/log` does."""

from __future__ import annotations

import fnmatch

from . import statuses
from .kinds import named

PODS = named("pods")


class Logs:
    """`logs["name-predictor-*/kserve-container"] = ["line", …]`: by "pod/container", a pattern; the last that fits counts.

    `logs.append(key, line)` reaches those who follow. `previous` logs stand under "pod/container/previous".
    """

    def __init__(self, store):
        self.store = store
        self._lines: dict[str, list[str]] = {}

    def __setitem__(self, key, lines):
        with self.store.lock:
            self._lines.pop(key, None)
            self._lines[key] = list(lines)
            self.store.changed.notify_all()

    def __getitem__(self, key):
        return self._lines[key]

    def append(self, key, *lines):
        with self.store.lock:
            self._lines.setdefault(key, []).extend(lines)
            self.store.changed.notify_all()

    def of(self, pod, container, *, previous=False):
        """The lines, a list that may grow; None where the container has none."""
        wanted = f"{pod}/{container}" + ("/previous" if previous else "")
        for key in reversed(list(self._lines)):
            if key == wanted or fnmatch.fnmatchcase(wanted, key):
                return self._lines[key]
        return None


def read_log(store, logs, closing, handler, target, query):
    """`GET pods/NAME/log`: tailLines, limitBytes, previous, follow."""
    pod = store.get(PODS, target.namespace, target.name)
    if pod is None:
        raise statuses.not_found(PODS, target.name)
    spec = pod.get("spec") or {}
    names = [c["name"] for c in spec.get("containers") or ()]
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    container = query.get("container") or (names[0] if len(names) == 1 else None)
    if container is None:
        raise statuses.bad_request(
            f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
        )
    if (names or inits) and container not in names + inits:
        raise statuses.bad_request(f"container {container} is not valid for pod {target.name}")
    previous = query.get("previous") == "true"
    lines = logs.of(target.name, container, previous=previous)
    state = next(
        (
            s
            for key in ("containerStatuses", "initContainerStatuses")
            for s in (pod.get("status") or {}).get(key) or ()
            if s["name"] == container
        ),
        {},
    )
    waiting = (state.get("state") or {}).get("waiting")
    if lines is None and previous:
        raise statuses.bad_request(
            f'previous terminated container "{container}" in pod "{target.name}" not found'
        )
    if lines is None and waiting and not state.get("restartCount"):
        told = (
            "is waiting to start: trying and failing to pull image"
            if "Image" in waiting.get("reason", "")
            else f"is waiting to start: {waiting.get('reason')}"
        )
        raise statuses.bad_request(f'container "{container}" in pod "{target.name}" {told}')
    lines = [] if lines is None else lines
    first = 0
    if query.get("tailLines"):
        first = max(0, len(lines) - int(query["tailLines"]))
    if query.get("follow") != "true":
        body = "".join(f"{line}\n" for line in lines[first:]).encode()
        if query.get("limitBytes"):
            body = body[: int(query["limitBytes"])]
        handler.send(200, [("Content-Type", "text/plain")], body)
        return
    handler.start_stream("text/plain")
    sent = first
    uid = pod["metadata"]["uid"]
    while True:
        with store.lock:
            while len(lines) <= sent:
                live = store.get(PODS, target.namespace, target.name)
                if closing() or live is None or live["metadata"]["uid"] != uid:
                    break
                if handler.gone():
                    handler.close_connection = True
                    return
                found = logs.of(target.name, container, previous=previous)
                if found is not None and found is not lines:
                    lines = found
                    continue
                store.changed.wait(1.0)
            else:
                new, sent = lines[sent:], len(lines)
                text = "".join(f"{line}\n" for line in new).encode()
                live = True
        if not live or closing():
            handler.end_stream()
            return
        handler.chunk(text)
