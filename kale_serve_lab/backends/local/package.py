"""A folder that holds only our package, for interpreters in which it is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import kale_serve_lab
from kale_serve_lab.client.version import own_version


def ensure(data_dir: Path) -> Path:
    """`<data dir>/sdk/<version>`, whose only entry leads to the package that runs here."""
    package = Path(kale_serve_lab.__file__).parent
    folder = data_dir / "sdk" / own_version()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = folder / "kale_serve_lab"
    if not link.is_symlink() or link.readlink() != package:
        # Replaced in one step: an interpreter may be importing through it.
        temporary = folder / f".{os.getpid()}"
        temporary.symlink_to(package)
        temporary.replace(link)
    return folder
