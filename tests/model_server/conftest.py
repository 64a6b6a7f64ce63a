"""Real model-server processes, started as the local backend starts them."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import pytest

# The modules beside this file: pytest's importlib mode leaves sys.path alone.
sys.path.append(str(Path(__file__).parent))
from server_process import Server


@pytest.fixture
def servers(home):
    """Makes servers; each may get its own artifact folder by `artifact_dir`."""
    made = []
    numbers = itertools.count()

    def make(**spec):
        server = Server(home, next(numbers), **spec)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def module_servers(tmp_path_factory):
    """The same for a whole module, where starting is not what is tested."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="ksl-", dir="/tmp"))
    made = []
    numbers = itertools.count()

    def make(**spec):
        server = Server(folder, next(numbers), **spec)
        made.append(server)
        return server

    make.folder = folder
    yield make
    for server in made:
        server.close()
    shutil.rmtree(folder)
