"""The daemon's own log: it goes to stderr, and where that is our file, the file is bounded."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path

from kale_serve_lab.backends.local import logs


class BoundedHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """After each record, looks whether the file has grown too large; the part before the last `logs.MAX_BYTES` goes."""

    def __init__(self, path: Path) -> None:
        super().__init__(sys.stderr)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Write, then bound: what the libraries write to stderr themselves is bounded by the next record."""
        super().emit(record)
        with contextlib.suppress(OSError):
            here = os.fstat(sys.stderr.fileno())
            # Somebody else's file or terminal is not ours to cut.
            if here.st_size > logs.MAX_BYTES and os.path.samestat(here, self._path.stat()):
                logs.bound(self._path)
