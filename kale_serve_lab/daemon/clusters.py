"""The cluster that is configured, for `Targets`: by `cluster.json`, by the environment, or by the pod that this runs in."""

from __future__ import annotations

from pathlib import Path

from kale_serve_lab.backends.protocol import Backend


class ClusterSource:
    """`data` holds cluster.json."""

    target = "kserve"

    def __init__(self, data: Path) -> None:
        self._data = data

    def stamp(self) -> object:
        """See `Source`."""
        return None

    def make(self) -> Backend | None:
        """See `Source`."""
        return None

    def is_default(self) -> bool:
        """See `Source`."""
        return False
