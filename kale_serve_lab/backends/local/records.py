"""What lasts of a service: what is asked, and which processes were started for it.

One file a service, `<data dir>/services/<namespace>.<name>.json`; neither part of the name has a dot.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.types import ComponentName, InferenceService, ServiceKey

log = logging.getLogger("kale_serve_lab.backends.local")


@dataclass(frozen=True)
class ProcessRecord:
    """One process. `id` names its sockets, `nonce` is what it says on its control socket.

    It is written before the process is started, with neither pid nor start time, so that no crash leaves one unknown.
    """

    component: ComponentName
    revision: int
    id: str
    nonce: str
    pid: int | None = None
    start_time: int | None = None


@dataclass
class Record:
    """All that a daemon needs to take a service over. `proven` are the revisions that have answered a sample, `seconds` what their stages took, `warnings` what their environments lack."""

    desired: InferenceService
    boot_id: str
    specs: dict[int, InferenceService] = field(default_factory=dict)
    processes: list[ProcessRecord] = field(default_factory=list)
    proven: set[int] = field(default_factory=set)
    failed: dict[int, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[int, dict[str, float]] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)
    deleting: bool = False

    def to_json(self) -> dict[str, Any]:
        """`from_json` is its inverse."""
        return {
            "desired": self.desired.to_json(),
            "boot_id": self.boot_id,
            "specs": {str(number): spec.to_json() for number, spec in self.specs.items()},
            "processes": [asdict(process) for process in self.processes],
            "proven": sorted(self.proven),
            "failed": {str(number): error for number, error in self.failed.items()},
            "seconds": {str(number): dict(found) for number, found in self.seconds.items()},
            "warnings": {str(number): list(found) for number, found in self.warnings.items()},
            "deleting": self.deleting,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Record:
        """Reads `to_json`'s form; raises what its parts raise."""
        return cls(
            desired=InferenceService.from_json(value["desired"]),
            boot_id=value["boot_id"],
            specs={int(number): InferenceService.from_json(spec) for number, spec in value["specs"].items()},
            processes=[ProcessRecord(**process) for process in value["processes"]],
            proven=set(value["proven"]),
            failed={int(number): error for number, error in value["failed"].items()},
            seconds={int(number): dict(found) for number, found in value.get("seconds", {}).items()},
            warnings={int(number): list(found) for number, found in value.get("warnings", {}).items()},
            deleting=bool(value["deleting"]),
        )


def path_of(folder: Path, key: ServiceKey) -> Path:
    """The file of a service."""
    return folder / f"{key.namespace}.{key.name}.json"


def write(folder: Path, record: Record, *, durable: bool) -> None:
    """Replace the file of the service; `durable`: it is on the disk when this returns."""
    path = path_of(folder, record.desired.key)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record.to_json(), file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_all(folder: Path) -> list[Record]:
    """All services. A damaged file is named in the log and moved aside; it stops nobody else's."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Record.from_json(json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, KaleServeError) as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            log.error("The record of a service cannot be read and was moved to %s: %r", aside, error)
    return found
