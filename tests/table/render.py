"""The table as Markdown: between the markers of docs/runtimes.md nothing is written by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from run import CELLS, ROOT, SERVED

RECORD = Path(__file__).with_name("table.json")
PAGE = ROOT / "docs" / "runtimes.md"
BEGIN, END = "<!-- table: scripts/runtimes_table.py -->", "<!-- end of table -->"

Table = Mapping[str, Mapping[str, Mapping[str, str]]]  # format, runtime, cell


def recorded() -> Table:
    """What the last written run has found."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def markdown(table: Table) -> str:
    """Formats by runtimes with what was served, and under it each reason why the rest was not."""
    runtimes = list(dict.fromkeys(runtime for row in table.values() for runtime in row))
    lines = ["| | " + " | ".join(f"`{runtime}`" for runtime in runtimes) + " |"]
    lines.append("| --- |" + " --- |" * len(runtimes))
    for model_format, row in table.items():
        lines.append(
            f"| **{_words(model_format)}** | "
            + " | ".join(_served(row.get(runtime, {})) for runtime in runtimes)
            + " |"
        )
    lines += ["", "Not served, and why:", ""]
    for runtime in runtimes:
        reasons: dict[str, list[str]] = {}
        for model_format, row in table.items():
            for text, cells in _reasons(row.get(runtime, {})).items():
                # One line for all formats of which it says the same.
                named = model_format.partition("_")[0]
                said = re.sub(rf"(?<![\w-]){named}(?![\w-])", "this format", text)
                reasons.setdefault(said, []).append(f"{_words(model_format)} {cells}".strip())
        if reasons:
            lines.append(f"- `{runtime}`")
            lines += [f"  - {', '.join(where)}: {text}" for text, where in reasons.items()]
    return "\n".join(lines)


def _words(model_format: str) -> str:
    return model_format.replace("_frame", " of mixed columns").replace("_regressor", " regressor")


def _served(cells: Mapping[str, str]) -> str:
    return ", ".join(cell for cell in CELLS if cells.get(cell) == SERVED) or "–"


def _reasons(cells: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for cell in CELLS:
        if cell in cells and cells[cell] != SERVED:
            found.setdefault(cells[cell], []).append(cell)
    everything = len(found) == 1 and len(next(iter(found.values()))) == len(CELLS)
    return {text: "" if everything else f"({', '.join(where)})" for text, where in found.items()}


def printed() -> str:
    """What stands between the markers now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write(table: Table) -> None:
    """The record, and the page's part."""
    RECORD.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(table)}\n\n{END}{rest.partition(END)[2]}")
