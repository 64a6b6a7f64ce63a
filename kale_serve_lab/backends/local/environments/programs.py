"""The programs that making an environment, or a runtime itself, needs on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from kale_serve_lab.errors import EnvironmentFailed, ProgramMissing

_WHERE_FROM = {
    "java": "Install a Java runtime, on Debian and Ubuntu: apt-get install default-jre-headless",
    "tensorflow_model_server": (
        "No Python package carries TensorFlow Serving: install its Debian package tensorflow-model-server from Google's "
        "repository, or serve the model with the built-in server."
    ),
    "tritonserver": "Put tritonserver of NVIDIA's Triton release on PATH.",
}


def uv_command() -> list[str]:
    """How to call uv: beside the interpreter, then on PATH, then as a module. Raises `EnvironmentFailed`."""
    beside = Path(sys.executable).parent / "uv"
    if os.access(beside, os.X_OK):
        return [str(beside)]
    if found := shutil.which("uv"):
        return [found]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    raise EnvironmentFailed(
        "uv, which makes the environments of other runtimes, is not there.",
        subject="uv",
        hint=f"Install it: {sys.executable} -m pip install uv",
    )


def paths_of(programs: Iterable[str], label: str) -> dict[str, str]:
    """Each program's path. Raises `ProgramMissing` naming the first that is not on PATH, and where it comes from."""
    found = {}
    for program in programs:
        path = shutil.which(program)
        if path is None:
            raise ProgramMissing(
                f"{label} needs the program {program}, which is not on PATH.",
                subject=program,
                hint=_WHERE_FROM.get(program, f"Install {program}, or put it on the daemon's PATH."),
            )
        found[program] = path
    return found
