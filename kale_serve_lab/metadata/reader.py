# ruff: noqa: S608 (what is put into statements are marks and constants of this file; values are bound)
"""The questions that ML Metadata's API cannot answer fast or safely, asked of its SQLite file, read-only.

Counts, searches with bound parameters and pages by key; the schema is ML Metadata's own (version 10 since 2022).
Must run on the thread that makes ML Metadata's calls: POSIX drops all file locks of a process when any descriptor of the
file is closed, so two SQLite libraries in one process are sound only when they never work at the same time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from kale_serve_lab.metadata.graph import Link

# ml_metadata.proto: Artifact.State.DELETED, and the event types that say output.
DELETED = 4
_OUTPUTS = {1, 4, 6, 7}  # DECLARED_OUTPUT, OUTPUT, INTERNAL_OUTPUT, PENDING_OUTPUT
_BATCH = 500
_LIVE = f"state IS NOT {DELETED}"


class Reader:
    """Read-only SQL on ML Metadata's tables."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)

    def counts(self) -> dict[int, int]:
        """Live artifacts by type id."""
        return dict(
            self._db.execute(f"SELECT type_id, count(*) FROM Artifact WHERE {_LIVE} GROUP BY type_id")
        )

    def page(
        self, types: Collection[int], name: str | None, text: str | None, before: int | None, limit: int
    ) -> list[int]:
        """Ids of live artifacts, newest first."""
        where, values = _conditions(types, name, text)
        if before is not None:
            where += " AND id < ?"
            values.append(before)
        return self._ids(f"SELECT id FROM Artifact WHERE {where} ORDER BY id DESC LIMIT ?", *values, limit)

    def count(self, types: Collection[int], name: str | None, text: str | None) -> int:
        """How many live artifacts fulfil the conditions."""
        where, values = _conditions(types, name, text)
        return int(self._db.execute(f"SELECT count(*) FROM Artifact WHERE {where}", values).fetchone()[0])

    def named(self, type_id: int, name: str, separator: str) -> list[int]:
        """Ids of live artifacts whose ML Metadata name is `<name><separator>…`, newest first, by the index."""
        start = name + separator
        return self._ids(
            f"SELECT id FROM Artifact WHERE type_id = ? AND name >= ? AND name < ? AND {_LIVE} ORDER BY id DESC",
            type_id,
            start,
            start[:-1] + chr(ord(separator) + 1),
        )

    def deleted_named(self, type_id: int, name: str) -> int:
        """How many deleted artifacts were called so."""
        statement = (
            "SELECT count(*) FROM Artifact WHERE type_id = ? AND (name = ? OR (name > ? AND name < ?))"
        )
        return int(self._db.execute(statement, (type_id, name, f"{name}#", f"{name}$")).fetchone()[0])

    def live_digests(self, digests: Iterable[str]) -> set[str]:
        """Those of these digests that a live artifact has as its property."""
        return {
            digest
            for digest in digests
            if self._db.execute(
                "SELECT 1 FROM ArtifactProperty AS p JOIN Artifact AS a ON a.id = p.artifact_id "
                f"WHERE p.name = 'digest' AND p.is_custom_property = 0 AND p.string_value = ? AND a.{_LIVE} LIMIT 1",
                (digest,),
            ).fetchone()
        }

    def links_of_artifacts(self, ids: Collection[int]) -> list[Link]:
        """All events of these artifacts."""
        return self._links("artifact_id", ids)

    def links_of_executions(self, ids: Collection[int]) -> list[Link]:
        """All events of these executions."""
        return self._links("execution_id", ids)

    def contexts_of(self, executions: Collection[int]) -> list[tuple[int, int]]:
        """Pairs of context and execution id."""
        found: list[tuple[int, int]] = []
        for batch in _batches(executions):
            found += self._db.execute(
                f"SELECT context_id, execution_id FROM Association WHERE execution_id IN ({_marks(batch)})",
                batch,
            )
        return found

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _links(self, column: str, ids: Collection[int]) -> list[Link]:
        found: list[Link] = []
        for batch in _batches(ids):
            rows = self._db.execute(
                f"SELECT artifact_id, execution_id, type FROM Event WHERE {column} IN ({_marks(batch)})",
                batch,
            )
            found += [Link(artifact, execution, kind in _OUTPUTS) for artifact, execution, kind in rows]
        return found

    def _ids(self, statement: str, *values: object) -> list[int]:
        return [row[0] for row in self._db.execute(statement, values).fetchall()]


def check(path: Path) -> str | None:
    """What is wrong with a database file, in SQLite's words; None when nothing is, or no file is there."""
    if not path.exists():
        return None
    try:
        db = sqlite3.connect(path)
        try:
            answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    if answer != "ok":
        return str(answer)
    return "it holds other tables" if tables and "Artifact" not in tables else None


def reserve(path: Path, artifact_id: int) -> None:
    """Make the next artifact get this id, which must be higher than all that are there."""
    db = sqlite3.connect(path)
    try:
        with db:
            if not db.execute(
                "UPDATE sqlite_sequence SET seq = ? WHERE name = 'Artifact'", (artifact_id - 1,)
            ).rowcount:
                db.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES ('Artifact', ?)", (artifact_id - 1,)
                )
    finally:
        db.close()


def _conditions(types: Collection[int], name: str | None, text: str | None) -> tuple[str, list[object]]:
    values: list[object] = list(types)
    if name:
        where = f"type_id IN ({_marks(types)}) AND {_LIVE} AND name >= ? AND name < ?"
        values += [f"{name}:", f"{name};"]
    else:
        # The plus keeps SQLite from the index by type and name: it would sort all rows before the first page.
        where = f"+type_id IN ({_marks(types)}) AND {_LIVE}"
    if text:
        where += " AND name LIKE ? ESCAPE '\\'"
        values.append(f"%{_escaped(text)}%")
    return where, values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _batches(ids: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]
