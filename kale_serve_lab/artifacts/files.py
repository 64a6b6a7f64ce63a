"""A model's files that somebody gave, under the names that a server expects, in a staging folder."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import UnsupportedModel

_BLOCK = 64 << 20
_ABOUT = "kale.json"
# What a loader reads of it; the rest is written anew.
_KEPT = ("class_name", "module", "classes", "n_features", "estimator_type", "format")
_MOST_ABOUT = 1 << 20


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Each file under its new name. Raises `UnsupportedModel` where one has become a link or a pipe meanwhile."""
    for name, source in files.items():
        if name == _ABOUT:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Opening a pipe would wait for its writer for ever.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as read, target.open("xb") as write:  # noqa: PTH123 (of a descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnsupportedModel(f"{source} is no file any more.", subject=str(source))
            try:
                # Where the file system can, this copies nothing.
                while os.copy_file_range(read.fileno(), write.fileno(), _BLOCK):
                    pass
            except OSError:
                read.seek(0)
                write.seek(0)
                shutil.copyfileobj(read, write, _BLOCK)


def about(files: Mapping[str, Path]) -> dict[str, Any]:
    """What our own kale.json among the files says of the model: an artifact of ours that was taken out and is given back."""
    path = files.get(_ABOUT)
    if path is None or path.stat().st_size > _MOST_ABOUT:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, OSError):
        return {}
    return {key: found[key] for key in _KEPT if key in found} if isinstance(found, dict) else {}
