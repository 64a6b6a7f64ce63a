"""Objects, their resourceVersions and the history that watches read. Objects in it are never changed in place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import uuid

from .kinds import BY_KIND, Resource
from .statuses import expired


@dataclasses.dataclass(frozen=True)
class Change:
    version: int
    type: str
    obj: dict
    old: dict | None


def now():
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """One lock for all; `changed` is notified after every change and whatever else a watch should look up for."""

    def __init__(self):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 1000
        self.compacted = 1000
        self._objects: dict[Resource, dict[tuple[str, str], dict]] = {}
        self._history: dict[Resource, list[Change]] = {}

    def all(self, resource):
        return self._objects.setdefault(resource, {})

    def history(self, resource):
        return self._history.setdefault(resource, [])

    def get(self, resource, namespace, name):
        return self.all(resource).get((namespace or "", name))

    def put(self, resource, obj):
        """Create or replace; gives it its new resourceVersion, and uid and creationTimestamp if it has none."""
        with self.lock:
            metadata = dict(obj["metadata"])
            key = (metadata.get("namespace", ""), metadata["name"])
            old = self.all(resource).get(key)
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata.setdefault("creationTimestamp", now())
            obj = {**obj, "metadata": metadata}
            self.all(resource)[key] = obj
            change = Change(self.version, "MODIFIED" if old else "ADDED", obj, old)
            self.history(resource).append(change)
            self.changed.notify_all()
            return obj

    def remove(self, resource, namespace, name):
        with self.lock:
            old = self.all(resource).pop((namespace or "", name), None)
            if old is None:
                return None
            self.version += 1
            gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
            self.history(resource).append(Change(self.version, "DELETED", gone, old))
            self.changed.notify_all()
            return gone

    def at(self, resource, version):
        """All objects of a resource, sorted, as they were at a version; 410 if that is compacted."""
        with self.lock:
            objects = dict(self.all(resource))
            if version < self.compacted:
                raise expired("too old")
            for change in reversed(self.history(resource)):
                if change.version <= version:
                    break
                key = (change.obj["metadata"].get("namespace", ""), change.obj["metadata"]["name"])
                if change.old is None:
                    objects.pop(key, None)
                else:
                    objects[key] = change.old
            return dict(sorted(objects.items()))

    def compact(self):
        """Forget what has been: every version before now is too old, as after the API server's compaction."""
        with self.lock:
            self.version += 1
            self.compacted = self.version
            for changes in self._history.values():
                changes.clear()
            self.changed.notify_all()

    def owned_by(self, uid):
        """(resource, object) of all that name this uid as an owner."""
        return [
            (resource, obj)
            for resource, objects in self._objects.items()
            for obj in list(objects.values())
            if any(ref.get("uid") == uid for ref in obj["metadata"].get("ownerReferences") or ())
        ]

    def owner_lives(self, reference, namespace):
        resource = BY_KIND.get((reference.get("apiVersion"), reference.get("kind")))
        if resource is None:
            return True
        owner = self.get(resource, namespace if resource.namespaced else "", reference.get("name"))
        return owner is not None and owner["metadata"]["uid"] == reference.get("uid")
