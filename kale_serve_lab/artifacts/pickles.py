"""Pickles that another process can read: what the notebook, or a module beside it, defined goes in by value."""

from __future__ import annotations

import contextlib
import mmap
import pickle
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import source
from kale_serve_lab.artifacts.savers import module_of
from kale_serve_lab.errors import SaveFailed

_DEEPEST = 5


def refers_to_own(path: Path) -> bool:
    """Whether a pickle names the notebook or a module beside it, which the model server does not have.

    A text of the data that reads so is taken for it too: then the model is written by value without need, which does no harm.
    """
    names = [b"__main__", *(module.__name__.encode() for module in source.own_modules())]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in names)


def needs_cloudpickle(path: Path) -> bool:
    """Whether reading the pickle imports cloudpickle."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"cloudpickle") >= 0


def dump(obj: Any, path: Path) -> None:
    """A plain pickle, by value where it needs the user's own classes."""

    def plainly() -> None:
        with path.open("wb") as file:
            pickle.dump(obj, file, protocol=5)

    dump_with(plainly, obj, path)


def dump_with(plainly: Callable[[], None], obj: Any, path: Path) -> bool:
    """Writes `path` by `plainly`, and again by value where that needs the user's own classes; whether it did."""
    try:
        plainly()
    except (pickle.PicklingError, AttributeError) as error:
        # A class that a cell has deleted or defined anew since has no name any more, but still its code.
        if not any(source.is_own(name) for name in _modules_of(obj)):
            raise
        try:
            dump_by_value(obj, path)
        except SaveFailed:
            raise
        except Exception:
            raise error from None
        return True
    if not refers_to_own(path):
        return False
    dump_by_value(obj, path)
    return True


def _modules_of(obj: Any) -> set[str]:
    found = {module_of(cls) for cls in type(obj).__mro__}
    for _, part in _parts(obj):
        found |= {module_of(cls) for cls in (part if isinstance(part, type) else type(part)).__mro__}
        found |= {module_of(type(inner)) for _, inner in _parts(part)}
    return found


def dump_by_value(obj: Any, path: Path) -> None:
    """Like `dump`, with the code of the user's own functions and classes inside. Raises `SaveFailed` without cloudpickle."""
    with by_value(obj) as cloudpickle, path.open("wb") as file:
        cloudpickle.dump(obj, file, protocol=5)


@contextlib.contextmanager
def by_value(obj: Any) -> Iterator[types.ModuleType]:
    """cloudpickle, which writes the user's own modules by value meanwhile. Raises `SaveFailed` where it is not installed."""
    try:
        import cloudpickle
    except ImportError as error:
        raise SaveFailed(
            f"{type(obj).__name__} uses functions or classes that this notebook defined, which the model server does not have.",
            subject=type(obj).__name__,
            hint="Install cloudpickle here (`pip install cloudpickle`) to store them too, or move them into a module of a package.",
        ) from error
    own = source.own_modules()
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield cloudpickle
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


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
