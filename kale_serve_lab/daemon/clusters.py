"""The cluster that is configured, for `Targets`: by `cluster.json`, by the environment, or by the pod that we run in."""

from __future__ import annotations

import os
from pathlib import Path

from kale_serve_lab.backends.kserve import settings as configured
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.protocol import Backend


class ClusterSource:
    """`data` holds cluster.json."""

    target = "kserve"

    def __init__(self, data: Path) -> None:
        self._data = data
        self._settings: Settings | None = None

    def stamp(self) -> object:
        """See `Source`."""
        try:
            found = os.stat(configured.path(self._data))  # noqa: PTH116
        except OSError:
            return "none"
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def make(self) -> Backend | None:
        """See `Source`."""
        self._settings = None
        settings = self._settings = configured.meant(self._data)
        if settings is None:
            return None
        # Most daemons have no cluster.
        from kale_serve_lab.backends.kserve.backend import KServeBackend
        from kale_serve_lab.daemon.publications import Publications

        return KServeBackend(self._data, settings, Publications(settings.store))

    def is_default(self) -> bool:
        """See `Source`."""
        return self._settings is not None and self._settings.default
