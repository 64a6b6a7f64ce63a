"""From an object to a recorded artifact: files in a staging folder, then one call; nothing stays behind when it fails."""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.artifacts.pickles import unpicklable
from kale_serve_lab.artifacts.session import session
from kale_serve_lab.client import Client
from kale_serve_lab.errors import ArtifactNotFound, KaleServeError, SaveFailed, StoreFull

# Moving and hashing what was staged takes as long as its bytes do.
_STORE_SECONDS = 3600


@dataclass
class Submission:
    """One artifact on its way to the daemon: what is recorded, and how long each stage took."""

    body: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    def send(self, staging: Path | None = None) -> dict[str, Any]:
        """Records the artifact, with the files of the staging folder, and returns it as the daemon has it."""
        began = time.perf_counter()
        body = {**self.body, "staging": staging.name if staging else None, "session": session()}
        recorded = Client().request("POST", "/api/artifacts", body, timeout_seconds=_STORE_SECONDS)
        self.seconds["store"] = time.perf_counter() - began
        if not isinstance(recorded, dict):
            raise KaleServeError(
                "The daemon recorded the artifact but did not say as what.", subject=body.get("name")
            )
        return recorded


def recorded_as(artifact_id: int, uri: str | None) -> bool:
    """Whether this artifact is still recorded under its id: it may be deleted by now, or of another data directory."""
    try:
        found = Client().request("GET", f"/api/artifacts/{artifact_id}")
    except ArtifactNotFound:
        return False
    return isinstance(found, dict) and found.get("uri") == uri


@contextmanager
def staging(what: str, obj: Any = None) -> Iterator[Path]:
    """A private folder to write an artifact's files to; gone afterwards, whoever emptied it.

    Raises `StoreFull` when the disk is, and `SaveFailed` for whatever else goes wrong while writing `what`,
    naming the attribute of `obj` that cannot be pickled.
    """
    # First, so that nothing is written where there is no daemon to take it, and none that starts cleans it away.
    Client().request("GET", "/api/version")
    root = paths.data_dir() / "staging"
    root.mkdir(mode=0o700, exist_ok=True)
    folder = root / str(uuid.uuid4())
    folder.mkdir(mode=0o700)
    try:
        yield folder
    except KaleServeError:
        raise
    except Exception as error:
        raise _save_error(what, folder, error, obj) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """kale.json: equal content gives equal bytes."""
    (folder / "kale.json").write_text(json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def kebab(name: str) -> str:
    """A class's or function's name as an artifact's: RandomForestClassifier as random-forest-classifier."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return "-".join(part.lower() for part in parts) or "model"


def _save_error(what: str, folder: Path, error: Exception, obj: Any) -> KaleServeError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        free = shutil.disk_usage(folder).free
        return StoreFull(
            f"{what} does not fit: {folder.parent} has {free >> 20} MiB left, {written >> 20} MiB were written so far.",
            subject=what,
            hint="Make room there, or set KALE_SERVE_DATA_DIR to a larger disk.",
        )
    culprit = unpicklable(obj)
    at_fault = f" (its attribute {culprit})" if culprit else ""
    return SaveFailed(
        f"{what} could not be saved: {type(error).__name__}: {error}{at_fault}",
        subject=what,
        hint="It must be possible to pickle all that it holds: no open files, locks, connections or generators.",
        details={"exception": type(error).__name__},
    )
