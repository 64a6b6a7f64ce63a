"""What lasts of a service on a cluster: what is asked, how far we are, and what we sent.

One file a service, `<data dir>/clusters/<target>/<namespace>/<name>.json`; written before `apply` returns, and after each
step, so that a daemon that is started again goes on where the last one was.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.kserve.plan import Progress
from kale_serve_lab.serving.kserve.publishing import Placed, Volume
from kale_serve_lab.serving.types import InferenceService, ServiceKey

log = logging.getLogger("kale_serve_lab.backends.kserve")


@dataclass
class Record:
    """One service, for the connection `server`.

    `service` is what is asked, `served` what last answered a sample, by pods of these `templates`. `applied` is the object
    that was last sent, at `applied_at` (ms), when the pods were of the templates `replaced`. `failed` is an error's inner JSON: what we ourselves could not do for this revision. `overwrite`:
    take back what others have changed. `probe` is the last real prediction.
    """

    server: str
    service: InferenceService
    progress: Progress
    served: InferenceService | None = None
    templates: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    applied_at: int = 0
    placed: dict[str, Placed] = field(default_factory=dict)
    applied: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None
    overwrite: bool = False
    probe: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """`from_json` is its inverse."""
        return {
            "server": self.server,
            "service": self.service.to_json(),
            "progress": asdict(self.progress),
            "served": None if self.served is None else self.served.to_json(),
            "templates": list(self.templates),
            "replaced": list(self.replaced),
            "applied_at": self.applied_at,
            "placed": {name: asdict(one) for name, one in self.placed.items()},
            "applied": self.applied,
            "failed": self.failed,
            "overwrite": self.overwrite,
            "probe": self.probe,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Record:
        """Reads `to_json`'s form; raises what its parts raise."""
        served = value["served"]
        return cls(
            server=str(value["server"]),
            service=InferenceService.from_json(value["service"]),
            progress=Progress(**value["progress"]),
            served=None if served is None else InferenceService.from_json(served),
            templates=[str(one) for one in value["templates"]],
            replaced=[str(one) for one in value["replaced"]],
            applied_at=int(value["applied_at"]),
            placed={name: _placed(one) for name, one in value["placed"].items()},
            applied=value["applied"],
            failed=value["failed"],
            overwrite=bool(value["overwrite"]),
            probe=value.get("probe"),
        )


def _placed(value: dict[str, Any]) -> Placed:
    volume = value.pop("volume", None)
    return Placed(**value, volume=None if volume is None else Volume(**volume))


def path_of(folder: Path, key: ServiceKey) -> Path:
    """The file of a service."""
    return folder / key.namespace / f"{key.name}.json"


def write(folder: Path, record: Record) -> None:
    """Replace the file of the service; it is on the disk when this returns."""
    path = path_of(folder, record.service.key)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record.to_json(), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def remove(folder: Path, key: ServiceKey) -> None:
    """Forget the service."""
    path = path_of(folder, key)
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync(path.parent)


def read_all(folder: Path, server: str | None) -> list[Record]:
    """All services of this API server (None: of any). A damaged file is named in the log and moved aside."""
    found = []
    for path in sorted(folder.glob("*/*.json")):
        try:
            record = Record.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, KaleServeError) as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            log.error("The record of a service cannot be read and was moved to %s: %r", aside, error)
            continue
        if server is None or record.server == server:
            found.append(record)
    return found


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
