"""Kernels with other packages than ours."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from kale_serve_lab.jupyter import kernel_path

_spec = importlib.util.spec_from_file_location("peers", Path(__file__).parents[1] / "peers.py")
peers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peers)


@pytest.fixture
def run_in():
    """Runs code in a peer's interpreter; `sys.argv[1]` is where our package is, further arguments follow."""

    def run(peer, code, *arguments, cwd=None, environment=None):
        done = subprocess.run(
            [peers.python(peer), "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=150,
            cwd=cwd,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            | (environment or {}),
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture
def sdk_path(home):
    """The folder that holds only our package, with the interpreter noted that the daemon is started by."""
    kernel_path.note_interpreter()
    return kernel_path.ensure()
