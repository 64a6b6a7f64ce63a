"""A directory that holds our package and nothing else.

Put at the end of a kernel's `sys.path` it gives a kernel without our package the SDK, and none of the Jupyter server's
other packages.
"""

from __future__ import annotations

import os
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path

import kale_serve_lab
from kale_serve_lab import paths
from kale_serve_lab.client.version import own_version


def ensure() -> Path:
    """`<data dir>/sdk/<version>`, made where it is not there or points to another installation. Raises `OSError`."""
    package = Path(kale_serve_lab.__file__).resolve().parent
    sdk = paths.data_dir() / "sdk"
    sdk.mkdir(mode=0o700, exist_ok=True)
    folder = sdk / own_version()
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / package.name
    if not (link.is_symlink() and link.readlink() == package):
        # Replaced in one step: a kernel may be importing from it.
        fresh = sdk / f".{secrets.token_hex(8)}"
        fresh.symlink_to(package)
        fresh.replace(link)
    return folder


def note_interpreter() -> None:
    """Note this Python as the one to start the daemon with, unless one that can be run is noted. Raises `OSError`."""
    noted = paths.data_dir() / "interpreter"
    try:
        known = Path(noted.read_text().strip())
    except (OSError, ValueError):
        known = Path()
    if (known.is_absolute() and os.access(known, os.X_OK)) or find_spec("ml_metadata") is None:
        return
    fresh = noted.with_name(f".interpreter-{secrets.token_hex(8)}")
    fresh.write_text(sys.executable)
    fresh.replace(noted)
