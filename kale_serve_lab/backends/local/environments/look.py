"""Which modules an interpreter has, asked of itself: once, until one of the places where its packages lie changes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from kale_serve_lab.serving.need import Interpreter

_SECONDS = 60
_ASK = (
    "import importlib.util, json, sys; "
    "print(json.dumps([sys.path, [m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]]))"
)

_Times = tuple[tuple[str, int], ...]


class Interpreters:
    """Interpreters that artifacts were made in."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, tuple[str, ...]], tuple[_Times, Interpreter]] = {}

    def look(self, python: str, modules: Sequence[str] = ()) -> Interpreter:
        """Whether it is there, and which of these top-level modules it lacks; one that cannot answer is not there."""
        if not os.access(python, os.X_OK):
            return Interpreter(there=False)
        if not modules:
            return Interpreter()
        key = (python, tuple(modules))
        if key in self._seen and self._seen[key][0] == _times(place for place, _ in self._seen[key][0]):
            return self._seen[key][1]
        try:
            done = subprocess.run(
                [python, "-c", _ASK, *modules],
                capture_output=True,
                timeout=_SECONDS,
                check=True,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            )
            places, missing = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            return Interpreter(there=False)
        found = Interpreter(missing=tuple(missing))
        self._seen[key] = (_times([python, *filter(None, places)]), found)
        return found


def _times(places: Iterable[str]) -> _Times:
    return tuple((place, _time(place)) for place in places)


def _time(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def versions(python: str, distributions: Sequence[str]) -> dict[str, str]:
    """The versions of these distributions in the interpreter's own site-packages; it is not started for that."""
    sites = [str(site) for site in Path(python).parent.parent.glob("lib/python3*/site-packages")]
    found: dict[str, str] = {}
    for name in distributions:
        for one in importlib.metadata.distributions(name=name, path=sites):
            found.setdefault(name, one.version)
    return found
