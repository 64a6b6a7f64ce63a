"""Opening the metadata database at the daemon's start, and building it again where it is lost or damaged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.metadata.mlmd import MlmdStore
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.reader import check
from kale_serve_lab.metadata.types import NewArtifact, Session

_log = logging.getLogger(__name__)
# What one artifact's manifest holds of it; `session` and `inputs` stand beside.
FIELDS = tuple(NewArtifact.__dataclass_fields__)


def open_store(path: Path, manifests: Callable[[], Iterable[Mapping[str, Any]]]) -> MetadataStore:
    """The store at `path`; a damaged file is moved aside, and what `manifests` describe is recorded again by its id.

    `manifests` is asked only where the file is missing or damaged.
    """
    fresh = not path.exists()
    damage = check(path)
    if damage is None:
        try:
            store = MlmdStore(path)
        except KaleServeError as error:
            damage = error.message
    if damage is not None:
        aside = path.with_name(
            f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 1000:03d}"
        )
        path.rename(aside)
        for suffix in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        _log.error("The metadata database %s is damaged (%s): moved to %s.", path, damage, aside)
        store = MlmdStore(path)
        fresh = True
    path.chmod(0o600)
    if fresh:
        _record_again(store, manifests())
    return store


def manifest(
    artifact_id: int | None, new: NewArtifact, session: Session | None, inputs: Iterable[int]
) -> dict[str, Any]:
    """What is kept beside the bytes of an artifact, enough to record it again."""
    return {
        "id": artifact_id,
        "artifact": {name: getattr(new, name) for name in FIELDS},
        "session": None
        if session is None
        else {"kind": session.kind, "name": session.name, "id": session.id},
        "inputs": list(inputs),
    }


def _record_again(store: MetadataStore, manifests: Iterable[Mapping[str, Any]]) -> None:
    found = sorted((m for m in manifests if isinstance(m.get("id"), int)), key=lambda m: int(m["id"]))
    done: set[int] = set()
    for one in found:
        try:
            new = NewArtifact(**one["artifact"])
            session = Session(**one["session"]) if one.get("session") else None
            inputs = [known for known in one.get("inputs", ()) if known in done]
            store.record(new, session=session, inputs=inputs, artifact_id=one["id"])
            done.add(one["id"])
        except (KaleServeError, TypeError, KeyError, ValueError) as error:
            _log.error("The manifest of artifact %s cannot be recorded again: %s", one.get("id"), error)
    if found:
        _log.warning(
            "The metadata database was rebuilt from manifests: %d of %d artifacts.", len(done), len(found)
        )
