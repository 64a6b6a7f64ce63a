"""Pickles that another process can read: what the notebook itself defined goes in by value."""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import SaveFailed


def refers_to_main(path: Path) -> bool:
    """Whether a pickle names the notebook's own module, which the model server does not have.

    A text of the data that reads so is taken for it too: then the model is written by value without need, which does no harm.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"__main__") >= 0


def needs_cloudpickle(path: Path) -> bool:
    """Whether reading the pickle imports cloudpickle."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"cloudpickle") >= 0


def dump(obj: Any, path: Path) -> None:
    """A plain pickle, by value where it needs the notebook's own classes."""
    with path.open("wb") as file:
        pickle.dump(obj, file, protocol=5)
    if refers_to_main(path):
        dump_by_value(obj, path)


def dump_by_value(obj: Any, path: Path) -> None:
    """Like `dump`, with the code of the notebook's functions and classes inside. Raises `SaveFailed` without cloudpickle."""
    try:
        import cloudpickle
    except ImportError as error:
        raise SaveFailed(
            f"{type(obj).__name__} uses functions or classes that this notebook defined, which the model server does not have.",
            subject=type(obj).__name__,
            hint="Install cloudpickle here (`pip install cloudpickle`) to store them too, or move them into a module of a package.",
        ) from error
    with path.open("wb") as file:
        cloudpickle.dump(obj, file, protocol=5)
