"""The kinds of model servers of a cluster, as far as they can be read; else those that KServe ships."""

from __future__ import annotations

import threading
import time
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import CLUSTER_SERVING_RUNTIMES, SERVING_RUNTIMES, Resource
from kale_serve_lab.serving.kserve.cluster_runtimes import rows_of
from kale_serve_lab.serving.runtimes import Runtime

# One deployment asks several times, and they hardly ever change.
_FRESH_SECONDS = 5.0
ROWS = rows_of(None, None)


class ClusterRows:
    """Those of each namespace. Synchronous and thread-safe."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, tuple[Runtime, ...]]] = {}

    def of(self, namespace: str) -> tuple[Runtime, ...]:
        """Rows to choose from for a service there, seconds old at most. Raises `ClusterUnavailable` and `Unauthorized`."""
        with self._lock:
            at, rows = self._read.get(namespace, (0.0, ()))
            if not rows or time.monotonic() - at > _FRESH_SECONDS:
                rows = rows_of(self._list(SERVING_RUNTIMES, namespace), self._list(CLUSTER_SERVING_RUNTIMES))
                self._read[namespace] = (time.monotonic(), rows)
            return rows

    def _list(self, kind: Resource, namespace: str | None = None) -> list[dict[str, Any]] | None:
        """None where they may not be read, or are not there."""
        answer = self._cluster.request("GET", kind.path(namespace))
        if answer.status in (403, 404):
            return None
        if not answer.ok:
            raise errors_of(answer, "list", kind.what(namespace))
        return [one for one in answer.json.get("items") or () if isinstance(one, dict)]
