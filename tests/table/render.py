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
        told = _told({model_format: row.get(runtime, {}) for model_format, row in table.items()})
        if told:
            lines += [f"- `{runtime}`", *(f"  - {line}" for line in told)]
    return "\n".join(lines)


def _told(column: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One line for all formats and cells of which the same is said."""
    reasons: dict[str, dict[tuple[str, ...], list[str]]] = {}
    refused = {name for name, cells in column.items() if len(set(cells.values())) == 1}
    for model_format, cells in column.items():
        found: dict[str, list[str]] = {}
        for cell in CELLS:
            if cells.get(cell, SERVED) != SERVED:
                found.setdefault(_general(model_format, cell, cells[cell]), []).append(cell)
        for text, where in found.items():
            at = () if model_format in refused else tuple(where)
            reasons.setdefault(text, {}).setdefault(at, []).append(model_format)
    lines = []
    for text, places in reasons.items():
        for where, formats in places.items():
            named = ", ".join(map(_words, formats))
            every = len(formats) > 1 and set(formats) == column.keys() - refused
            over = ", ".join(where)
            lines.append(f"{over if every else f'{named} over {over}' if over else named}: {text}")
    return lines


def _general(model_format: str, cell: str, text: str) -> str:
    """The sentence without what it says of this format and protocol alone, so that it is the same for others."""
    named, protocol = model_format.partition("_")[0], cell.partition(" ")[0]
    said = re.sub(rf"(?<![\w-]){named}(?![\w-])", "this format", text)
    return re.sub(rf"not {protocol}\.$", "not this protocol.", said)


def _words(model_format: str) -> str:
    return model_format.replace("_frame", " of mixed columns").replace("_regressor", " regressor")


def _served(cells: Mapping[str, str]) -> str:
    return ", ".join(cell for cell in CELLS if cells.get(cell) == SERVED) or "–"


def printed() -> str:
    """What stands between the markers now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write(table: Table) -> None:
    """The record, and the page's part."""
    RECORD.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(table)}\n\n{END}{rest.partition(END)[2]}")
