#!/usr/bin/env python
"""Runs the table of formats x runtimes x protocols, and prints it into docs/runtimes.md: `scripts/runtimes_table.py [FORMAT ...]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "table")]

import conftest  # noqa: E402
import render  # noqa: E402
import run  # noqa: E402


def main() -> None:
    """Formats that are not named keep what the last run has found."""
    wanted = sys.argv[1:] or list(run.FORMATS)
    table = {name: dict(row) for name, row in render.recorded().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KALE_SERVE_ENVIRONMENTS_DIR", str(run.ENVIRONMENTS))
        for model_format in wanted:
            with conftest.private_home(patch), tempfile.TemporaryDirectory() as folder:
                try:
                    model = run.reference(model_format, Path(folder))
                except RuntimeError as error:
                    sys.stdout.write(f"{error}\n")
                    continue
                row = table[model_format] = {}
                for runtime, found in run.row(model):
                    row[runtime] = found.cells
                    told = [f"{model_format} on {runtime}: {found.seconds:.1f} s"]
                    told += [f"  {cell:10} {said[:300]}" for cell, said in found.cells.items()]
                    sys.stdout.write("\n".join([*told, ""]))
                    sys.stdout.flush()
    render.write({name: table[name] for name in run.FORMATS if name in table})


if __name__ == "__main__":
    main()
