"""What docs/runtimes.md says is what a run finds; a foreign program that this machine lacks changes nothing in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
import render  # noqa: E402
import run  # noqa: E402

# What depends on the machine, not on the product: programs on its PATH, the network that environments are made over.
ELSEWHERE = {"ProgramMissing", "EnvironmentFailed", "StoreFull"}


def test_the_page_is_what_was_recorded():
    assert render.printed() == render.markdown(render.recorded()), "run scripts/runtimes_table.py"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("model_format", run.FORMATS)
def test_each_cell_is_as_the_page_says(home, tmp_path, monkeypatch, model_format):
    monkeypatch.setenv("KALE_SERVE_ENVIRONMENTS_DIR", str(run.ENVIRONMENTS))
    recorded = render.recorded()[model_format]
    others = {}
    for runtime, found in run.row(run.reference(model_format, tmp_path)):
        print(f"{model_format} on {runtime}: {found.seconds:.1f} s")
        if not found.codes & ELSEWHERE and found.cells != recorded.get(runtime):
            others[runtime] = {
                cell: (said, recorded.get(runtime, {}).get(cell))
                for cell, said in found.cells.items()
                if said != recorded.get(runtime, {}).get(cell)
            }
    assert not others, "run scripts/runtimes_table.py, and look at what has changed"
