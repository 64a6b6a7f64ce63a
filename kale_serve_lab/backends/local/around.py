"""What all services of a backend share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.backends.local.environments import Environments
from kale_serve_lab.backends.local.parked import ParkedPool
from kale_serve_lab.serving.types import ComponentName

# Before the first restart and the following ones; after the last the revision has failed.
BACKOFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)

Slot = tuple[int, ComponentName]


@dataclass(frozen=True)
class Surroundings:
    """`python` runs what names no interpreter, and the servers that we did not write; `runtimes_dir` holds the user's rows."""

    services_dir: Path
    logs_dir: Path
    work_dir: Path
    runtimes_dir: Path
    sdk_path: Path
    python: str
    pool: ParkedPool
    environments: Environments
    backoff: tuple[float, ...] = BACKOFF_SECONDS
