"""Watch streams: events from a version on, bookmarks, and the ends they have."""

from __future__ import annotations

import json
import time

from .statuses import Refused, expired, internal


class Watches:
    """All open watches; `closing` ends them, `drop()` cuts them."""

    def __init__(self, store, api, script):
        self.store = store
        self.api = api
        self.script = script
        self.initial_events = False
        self.bookmark_seconds = 60.0
        self.closing = False
        self.open: list[tuple[str, dict]] = []
        self._drops = 0
        self._expired = False
        self._bookmarks = 0

    def drop(self, *, expired=False):
        """Cut all open watches, without a word; or end them with the event of a version that is too old (410)."""
        with self.store.lock:
            self._drops += 1
            self._expired = expired
            self.store.changed.notify_all()

    def bookmark(self):
        """Send a bookmark to every watch that has asked for them, now."""
        with self.store.lock:
            self._bookmarks += 1
            self.store.changed.notify_all()

    def wake(self):
        with self.store.lock:
            self.store.changed.notify_all()

    def serve(self, handler, target, query, path):
        """Write one watch to the end of its time, its client or the server."""
        resource = target.resource
        asked = query.get("resourceVersion") or ""
        matches = self.api.matcher(target, query)
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        seconds = float(query.get("timeoutSeconds") or 1800)
        try:
            version, first = self._start(resource, asked, query)
        except Refused as refusal:
            if refusal.code == 504:
                raise
            handler.start_stream("application/json")
            handler.chunk(_line("ERROR", refusal.body))
            handler.end_stream()
            return
        handler.start_stream("application/json")
        deadline = time.monotonic() + seconds
        entry = (path, dict(query))
        with self.store.lock:
            self.open.append(entry)
            drops, marks = self._drops, self._bookmarks
            self.store.changed.notify_all()
        try:
            handler.chunk(b"".join(_line("ADDED", o) for o in first if matches(o)))
            if query.get("sendInitialEvents") == "true":
                handler.chunk(_line("BOOKMARK", _bookmark(resource, version, initial=True)))
            next_mark = time.monotonic() + self.bookmark_seconds
            while True:
                lines, version, why, marks = self._wait(
                    handler, resource, version, matches, drops, marks, min(deadline, next_mark)
                )
                if why == "dropped":
                    handler.close_connection = True
                    handler.cut()
                    return
                if why in ("closing", "gone"):
                    handler.close_connection = True
                    return
                self.script.speaking.wait()
                if lines:
                    handler.chunk(b"".join(lines))
                if why == "compacted":
                    handler.chunk(_line("ERROR", expired(f"too old resource version: {version}").body))
                    break
                late = time.monotonic() >= deadline
                if bookmarks and (late or why == "mark" or time.monotonic() >= next_mark):
                    handler.chunk(_line("BOOKMARK", _bookmark(resource, version)))
                    next_mark = time.monotonic() + self.bookmark_seconds
                if late:
                    break
            handler.end_stream()
        finally:
            with self.store.lock:
                self.open.remove(entry)
                self.store.changed.notify_all()

    def _start(self, resource, asked, query):
        with self.store.lock:
            if query.get("sendInitialEvents") == "true":
                if not self.initial_events:
                    message = (
                        "a watch stream was requested by the client but the required storage feature "
                        "RequestWatchProgress is disabled"
                    )
                    refusal = internal("")
                    refusal.body["message"] = message
                    raise refusal
                return self.store.version, list(self.store.all(resource).values())
            if asked in ("", "0"):
                return self.store.version, list(self.store.all(resource).values())
            version = int(asked)
            if version > self.store.version:
                raise self.api.too_large(asked)
            if version < self.store.compacted:
                raise expired(f"too old resource version: {asked} ({self.store.compacted})")
            return version, []

    def _wait(self, handler, resource, version, matches, drops, marks, until):
        """(lines, version that they reach, why it ended, bookmarks seen): at the first of an event, a call or the time."""
        with self.store.lock:
            while True:
                if self.closing:
                    return [], version, "closing", marks
                if self._drops != drops:
                    return [], version, "compacted" if self._expired else "dropped", marks
                if self.store.compacted > version and self._behind(resource, version):
                    return [], version, "compacted", marks
                lines = [
                    line
                    for change in self._since(resource, version)
                    if (line := _event(change, matches)) is not None
                ]
                reached = self.store.version
                if lines:
                    return lines, reached, "events", marks
                version = reached
                if self._bookmarks != marks:
                    return [], version, "mark", self._bookmarks
                left = until - time.monotonic()
                if left <= 0:
                    return [], version, "time", marks
                self.store.changed.wait(min(left, 1.0))
                if handler.gone():
                    return [], version, "gone", marks

    def _since(self, resource, version):
        history = self.store.history(resource)
        index = len(history)
        while index and history[index - 1].version > version:
            index -= 1
        return history[index:]

    def _behind(self, resource, version):
        """Whether a compaction took events away that this watch has not had: a watch that is up to date goes on."""
        return version < self.store.compacted - 1


def _event(change, matches):
    """A watch's line; an object that comes into or falls out of the selection is added or deleted to this watch."""
    fits = matches(change.obj)
    fitted = change.old is not None and matches(change.old)
    if change.type == "DELETED":
        return _line("DELETED", change.obj) if fits or fitted else None
    if fits:
        return _line("MODIFIED" if fitted else "ADDED", change.obj)
    return _line("DELETED", change.obj) if fitted else None


def _line(kind, obj):
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def _bookmark(resource, version, *, initial=False):
    metadata = {"resourceVersion": str(version)}
    if not resource.custom:
        metadata["creationTimestamp"] = None
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
