"""What `kale-serve` prints: tables for people, JSON for programs, and nothing that would steer a terminal."""

from __future__ import annotations

import argparse
import json
from typing import Any


def done(options: argparse.Namespace, text: str) -> None:
    """One sentence, or `{"ok": true}`."""
    if options.json:
        print_json({"ok": True})
    else:
        print(safe(text))


def print_json(value: Any) -> None:
    """For programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they need."""
    cells = [head, *([safe(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def safe(text: str) -> str:
    """The text without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
