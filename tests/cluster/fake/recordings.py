"""Recordings of a real controller, and what they become for an object of another name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import re
import uuid

from .crds import SHARED, VERSIONS

FOLDER = SHARED / VERSIONS["0.20"] / "recordings"
COMPONENTS = "predictor|transformer|explainer|default|v2-predictor"
_NOT_NAMES = ("reason", "type", "phase", "component")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_HASH = re.compile(r"-([0-9a-f]{8,10})(?=-[a-z0-9]{5}\b|\b)(?![-.][0-9a-f]{4}-)")
_EVENT = re.compile(r"\.([0-9a-f]{16})$")
_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def names():
    """All recordings, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.ndjson"))


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that the controller did: at `t` seconds, an object's new state (`gone`: its deletion)."""

    t: float
    kind: str
    gone: bool
    object: dict


@dataclasses.dataclass(frozen=True)
class Recording:
    """`parts`: what followed the creation, and what followed each later change; the deletion is left out."""

    name: str
    namespace: str
    started: dt.datetime
    parts: tuple[tuple[Step, ...], ...]
    changes: tuple[dict, ...]


@functools.cache
def load(name):
    """Without errors of the recorder's own watch, what a relist said again, and what came after the delete request.

    Where that watch was away when a pod or a service became ready, and only showed it after the next request, it is told in
    its time.
    """
    parts, changes, ends, late = [[]], [], [], []
    versions = {}
    created = started = None
    for line in (FOLDER / f"{name}.ndjson").read_text().splitlines():
        row = json.loads(line)
        kind, obj = row["kind"], row["object"]
        if kind == "Request":
            if row["type"] == "create":
                created = obj
                continue
            ends.append(row["t"])
            if row["type"] != "delete":
                changes.append(obj)
                parts.append([])
            continue
        if kind == "WatchError":
            continue
        metadata = obj["metadata"]
        if started is None:
            stamp = dt.datetime.strptime(metadata["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
            started = stamp.replace(tzinfo=dt.timezone.utc)
        if kind != "Event":
            late.append((len(ends), kind, obj))
        if len(ends) == len(parts):
            continue
        key, version = (kind, metadata["name"]), int(metadata["resourceVersion"])
        gone = row["type"] == "DELETED"
        if version <= versions.get(key, 0) and not gone:
            continue
        versions[key] = version
        parts[-1].append(Step(row["t"], kind, gone, obj))
    for index, kind, obj in late:
        if index:
            _tell_in_time(parts[index - 1], kind, obj, started, ends[index - 1])
    metadata = created["metadata"]
    return Recording(
        metadata["name"],
        metadata.get("namespace", "default"),
        started,
        tuple(tuple(p) for p in parts),
        tuple(changes),
    )


def _tell_in_time(part, kind, obj, started, end):
    """Add that the object became ready before the part's `end`, where the part does not say so."""
    ready, name = _ready(obj), obj["metadata"]["name"]
    known = [step for step in part if (step.kind, step.object["metadata"]["name"]) == (kind, name)]
    if ready is None or not known or known[-1].gone or _ready(known[-1].object) is not None:
        return
    stamp = dt.datetime.strptime(ready["lastTransitionTime"], "%Y-%m-%dT%H:%M:%SZ")
    at = (stamp.replace(tzinfo=dt.timezone.utc) - started).total_seconds() + part[0].t
    if at >= end:
        return
    # Deletion counts as one more generation.
    part.append(Step(max(at, known[-1].t), kind, False, {**obj, "metadata": known[-1].object["metadata"]}))
    part.sort(key=lambda step: step.t)


def _ready(obj):
    """The condition Ready where it is true."""
    told = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in told if (one["type"], one["status"]) == ("Ready", "True")), None)


class Renaming:
    """The recorded names, namespace, uids and times as those of another object, the same ones for one play.

    `fresh` (a few hex digits) gives a later play of the same object other pods than the one before. Times are moved to the
    play's start, and never lie ahead of the clock.
    """

    def __init__(self, recording, name, namespace, *, canary="v2", fresh=""):
        old, space = re.escape(recording.name), re.escape(recording.namespace)
        self._old, self._new = recording.name, name
        self._space, self._new_space = recording.namespace, namespace
        self._fresh = fresh
        self._uids: dict[str, str] = {}
        self._start = dt.datetime.now(dt.timezone.utc)
        self._shift = self._start - recording.started
        self._rules = (
            (re.compile(rf"(?<![\w.-]){old}-v2-predictor"), f"{name}-{canary}-predictor"),
            (re.compile(rf"(?<![\w-]){old}(?=-(?:{COMPONENTS})(?![a-z]))"), name),
            (re.compile(rf"(?<=[\[\"'=/]){old}(?=[\]\"'/:]|$)"), name),
            (re.compile(rf"(?<![\w.-]){old}(?=\.[0-9a-f]{{16}}$)"), name),
            (re.compile(rf"-{space}(?=\.example\.com)"), f"-{namespace}"),
            (re.compile(rf"\.{space}\.svc"), f".{namespace}.svc"),
            (re.compile(rf"(?<![\w.-]){space}/"), f"{namespace}/"),
            (re.compile(rf"_{space}\("), f"_{namespace}("),
        )

    def __call__(self, value, key=None):
        if isinstance(value, dict):
            return {k: self(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self(v, key) for v in value]
        if not isinstance(value, str):
            return value
        if key == "namespace":
            return self._new_space if value == self._space else value
        if value == self._old and key not in _NOT_NAMES:
            return self._new
        if _TIME.fullmatch(value):
            return self._moved(value)
        for pattern, text in self._rules:
            value = pattern.sub(text, value)
        if self._fresh:
            value = (
                _HASH.sub(self._hashed, f"-{value}")[1:]
                if key == "pod-template-hash"
                else _HASH.sub(self._hashed, value)
            )
            value = _EVENT.sub(lambda m: f".{self._fresh}{m[1][len(self._fresh) :]}", value)
        return _UID.sub(lambda m: self._uids.setdefault(m[0], str(uuid.uuid4())), value)

    def _hashed(self, match):
        return f"-{self._fresh}{match[1][len(self._fresh) :]}"

    def _moved(self, value):
        then = dt.datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=dt.timezone.utc)
        moved = min(then + self._shift, dt.datetime.now(dt.timezone.utc))
        return max(moved, self._start).strftime("%Y-%m-%dT%H:%M:%S") + value[19:]
