"""The sha256 of files, computed once: a file that has not changed is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

CHUNK = 1 << 20
# Two writes within one tick of the file system's clock look alike, so a file is trusted only some time after its last
# change. Git calls such files racily clean.
SETTLED_NS = 20_000_000
MAX_ENTRIES = 50_000


def of_fd(fd: int) -> str:
    """The sha256 of all bytes of an open file, in constant memory."""
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    offset = 0
    while count := os.preadv(fd, [buffer], offset):
        digest.update(view[:count])
        offset += count
    return digest.hexdigest()


def of_tree(entries: Iterable[tuple[str, str | None, int]]) -> str:
    """The sha256 that names a tree: of its sorted (path, file's sha256 or None for a folder, size)."""
    rows = sorted([path, digest, size] for path, digest, size in entries)
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class StatCache:
    """Digests by device, inode, size, mtime and ctime (which nobody can set back); losing it costs only time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(
                "CREATE TABLE IF NOT EXISTS seen (device INT, inode INT, size INT, mtime INT, ctime INT, digest TEXT, "
                "PRIMARY KEY (device, inode)) WITHOUT ROWID"
            )
            if db.execute("SELECT count(*) FROM seen").fetchone()[0] > MAX_ENTRIES:
                db.execute("DELETE FROM seen")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def get(self, found: os.stat_result) -> str | None:
        """The digest of the file with this stat, where it has not changed since."""
        with contextlib.suppress(sqlite3.DatabaseError):
            row = self._db.execute(
                "SELECT digest FROM seen WHERE device = ? AND inode = ? AND size = ? AND mtime = ? AND ctime = ?",
                (found.st_dev, _signed(found.st_ino), found.st_size, found.st_mtime_ns, found.st_ctime_ns),
            ).fetchone()
            if row:
                return str(row[0])
        return None

    def put(self, found: os.stat_result, digest: str, *, read_at: int | None = None) -> None:
        """Note a digest. `read_at` (ns) is when reading somebody else's file began, None for files only we write."""
        if read_at is not None and read_at - found.st_mtime_ns < SETTLED_NS:
            return
        with contextlib.suppress(sqlite3.DatabaseError):
            self._db.execute(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)",
                (
                    found.st_dev,
                    _signed(found.st_ino),
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    digest,
                ),
            )

    def close(self) -> None:
        """Release the file."""
        self._db.close()


def _signed(inode: int) -> int:
    # SQLite's integers are signed; some network file systems use the top bit.
    return inode - (1 << 64) if inode >= 1 << 63 else inode
