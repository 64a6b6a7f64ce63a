"""What is written down of an environment once it is whole; without this file it is none."""

from __future__ import annotations

import importlib.metadata
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kale_serve_lab.serving.need import Need

NAME = "environment.json"


@dataclass(frozen=True)
class Info:
    """One environment as it lies on the disk; `size` in bytes, `created_at` in milliseconds."""

    name: str
    label: str
    path: str
    size: int
    created_at: int
    requirements: tuple[str, ...]
    packages: dict[str, str]
    complete: bool
    python_version: str = ""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in the daemon's API."""
        return asdict(self) | {"requirements": list(self.requirements), "warnings": list(self.warnings)}


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def write(folder: Path, need: Need, warnings: list[str]) -> Info:
    """Declare the environment whole."""
    info = Info(
        name=folder.name,
        label=need.label,
        path=str(folder),
        size=size_of(folder),
        created_at=int(time.time() * 1000),
        requirements=need.requirements,
        packages=packages_of(folder),
        complete=True,
        python_version=_python_version(folder),
        warnings=tuple(warnings),
    )
    beside = folder / f".{NAME}"
    with beside.open("w") as file:
        json.dump(info.to_json(), file)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(folder / NAME)
    return info


def read(folder: Path) -> Info | None:
    """What is there; None where it is not whole, or its interpreter is gone (an environment needs the one it was made with)."""
    try:
        value = json.loads((folder / NAME).read_text())
        info = Info(
            name=folder.name,
            label=str(value["label"]),
            path=str(folder),
            size=int(value["size"]),
            created_at=int(value["created_at"]),
            requirements=tuple(map(str, value["requirements"])),
            packages={str(name): str(version) for name, version in value["packages"].items()},
            complete=True,
            python_version=str(value["python_version"]),
            warnings=tuple(map(str, value["warnings"])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return info if os.access(python_of(folder), os.X_OK) else None


def half_made(folder: Path) -> Info:
    """What can be said of a folder that is no whole environment."""
    created = int(folder.stat().st_mtime * 1000)
    return Info(folder.name, "", str(folder), size_of(folder), created, (), {}, complete=False)


def packages_of(folder: Path) -> dict[str, str]:
    """Distribution: version, as they are installed."""
    found = {}
    for site in folder.glob("lib/python3*/site-packages"):
        for distribution in importlib.metadata.distributions(path=[str(site)]):
            name = distribution.metadata["Name"]
            if name:
                found[name] = distribution.version
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def size_of(folder: Path) -> int:
    """Bytes on the disk, links not followed; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for entry in _walk(folder):
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield entry


def _python_version(folder: Path) -> str:
    for line in (folder / "pyvenv.cfg").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("version_info", "version"):
            return value.strip()
    return ""
