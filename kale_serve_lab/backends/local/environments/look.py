"""What an interpreter has, seen from outside: where its packages lie is asked once, what lies there is read each time."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Sequence

from kale_serve_lab.serving.need import Interpreter, distribution

_SECONDS = 60
_ASK = "import json, sys; print(json.dumps(sys.path))"


class Interpreters:
    """Interpreters that artifacts were made in."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, int], list[str]] = {}

    def look(self, python: str, wanted: Sequence[str]) -> Interpreter:
        """Whether it runs, and which of the distributions it lacks."""
        if not os.access(python, os.X_OK):
            return Interpreter(there=False)
        if not wanted:
            return Interpreter()
        places = self._places(python)
        if places is None:
            return Interpreter(there=False)
        there = {
            distribution(name)
            for found in importlib.metadata.distributions(path=places)
            if (name := found.metadata["Name"])
        }
        # Builds without CUDA are distributions of other names and the same modules.
        there |= {name.removesuffix("-cpu") for name in there}
        return Interpreter(missing=tuple(one for one in wanted if distribution(one) not in there))

    def _places(self, python: str) -> list[str] | None:
        key = (python, os.stat(python).st_mtime_ns)  # noqa: PTH116
        if key not in self._paths:
            try:
                done = subprocess.run(
                    [python, "-c", _ASK], capture_output=True, timeout=_SECONDS, check=True, cwd="/"
                )
                self._paths[key] = [place for place in json.loads(done.stdout) if place]
            except (OSError, ValueError, subprocess.SubprocessError):
                return None
        return self._paths[key]
