"""Recordings of a real controller, event by event, as what is seen of a service."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.kserve.reading import milliseconds
from kale_serve_lab.serving.kserve.seen import Probe, Seen
from kale_serve_lab.serving.types import InferenceService, ServiceKey

SHARED = Path(os.environ.get("KALE_SERVE_SHARED") or Path(__file__).resolve().parents[4] / "shared")
FOLDER = SHARED / "kserve-v0.20.0" / "recordings"


def service(name: str = "iris", revision: int = 1, namespace: str = "default") -> InferenceService:
    """What was asked."""
    return InferenceService(
        ServiceKey(namespace, name),
        revision,
        None,
        None,
        ServeConfig(),
        "kserve-sklearnserver",
        "v1",
        0,
        0,
        "kserve",
    )


@dataclass(frozen=True)
class Step:
    """What is seen after one event; `change` counts the requests that changed the object so far, from 0."""

    t: float
    change: int
    seen: Seen


def play(name: str) -> Iterator[Step]:
    """Each event of a recording up to its deletion. What only the last look at the deleted object shows comes last.

    The recorder's watches broke off at times and listed anew: older versions are left out, as a watch of ours does.
    """
    if not FOLDER.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"The recordings are not at {FOLDER}.")
        pytest.skip("The recordings are not on this machine.")
    objects: dict[tuple[str, str], dict[str, Any]] = {}
    change, t, deleted = 0, 0.0, False
    for line in (FOLDER / f"{name}.ndjson").read_text().splitlines():
        row = json.loads(line)
        kind, found = row["kind"], row["object"]
        if kind == "Request":
            deleted = deleted or row["type"] == "delete"
            change += row["type"] == "patch"
            continue
        if kind == "WatchError":
            continue
        if deleted and (row["type"] == "DELETED" or kind == "Event" or not _still_up(kind, found)):
            continue
        key = (kind, found["metadata"]["name"])
        old = objects.get(key)
        if row["type"] == "DELETED":
            objects.pop(key, None)
        elif old is None or _version(old) < _version(found):
            objects[key] = _undeleted(found, old) if deleted else found
        if not deleted:
            t = row["t"]
        yield Step(t, change, _seen(objects))


def last(name: str, change: int | None = None) -> Seen:
    """What is seen at the end, or just before the next change."""
    steps = [step for step in play(name) if change is None or step.change <= change]
    return steps[-1].seen


def probed(seen: Seen, **error: Any) -> Seen:
    """With a prediction by this generation, that failed where an error is given."""
    assert seen.object is not None
    generation = int(seen.object["metadata"]["generation"])
    return replace(seen, probe=Probe(not error, generation, seen.now, error or None))


def _still_up(kind: str, found: dict[str, Any]) -> bool:
    """Whether an object that is being deleted still shows what it was."""
    if kind != "Pod":
        return True
    statuses = found["status"].get("containerStatuses") or [{}]
    return found["status"]["phase"] == "Running" and all(one.get("ready") for one in statuses)


def _undeleted(found: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    made = copy.deepcopy(found)
    made["metadata"].pop("deletionTimestamp", None)
    if old is not None:
        # Deletion counts as one more generation.
        made["metadata"]["generation"] = old["metadata"]["generation"]
    return made


def _seen(objects: dict[tuple[str, str], dict[str, Any]]) -> Seen:
    of = lambda kind: tuple(found for (this, _), found in objects.items() if this == kind)  # noqa: E731
    times = [milliseconds(found["metadata"]["creationTimestamp"]) for found in objects.values()]
    return Seen(
        object=next(iter(of("InferenceService")), None),
        pods=of("Pod"),
        events=of("Event"),
        now=max(times, default=0),
    )


def _version(found: dict[str, Any]) -> int:
    return int(found["metadata"]["resourceVersion"])
