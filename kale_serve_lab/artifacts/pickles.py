"""Pickles that another process can read: what the notebook itself defined goes in by value."""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import SaveFailed

_DEEPEST = 5


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


def unpicklable(obj: Any) -> str | None:
    """The path of the attribute that keeps an object from being pickled, such as `steps[0][1].lock`; None where none does."""
    path = ""
    # An object may hold itself; nobody reads a longer path.
    for _ in range(_DEEPEST):
        found = next(((name, part) for name, part in _parts(obj) if not _can_be_pickled(part)), None)
        if found is None:
            break
        path, obj = path + found[0], found[1]
    return path.lstrip(".") or None


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, list | tuple):
        yield from ((f"[{at}]", part) for at, part in enumerate(obj))
    elif isinstance(obj, dict):
        yield from ((f"[{str(key)[:40]!r}]", part) for key, part in obj.items())
    else:
        state = _state(obj)
        yield from ((f".{name}", part) for name, part in state.items() if isinstance(name, str))


def _state(obj: Any) -> dict[Any, Any]:
    """What pickle would take of it: not what a `__getstate__` leaves out."""
    try:
        state = obj.__reduce_ex__(5)[2]
    except Exception:
        return {}
    return state if isinstance(state, dict) else {}


def _can_be_pickled(obj: Any) -> bool:
    try:
        pickle.Pickler(_Nowhere(), protocol=5).dump(obj)
    except Exception:
        return False
    return True


class _Nowhere:
    """A file that keeps nothing: a large model is asked about, not copied."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes
