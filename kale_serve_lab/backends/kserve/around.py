"""What every service on a cluster works with: the connection, the ways to predict, where files are put, the threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.features_read import Installed
from kale_serve_lab.backends.kserve.rows import ClusterRows
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.kserve.way import Ways
from kale_serve_lab.serving.kserve.publishing import Cancelled, Placed, Tell
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

T = TypeVar("T")
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class Publishing(Protocol):
    """Where files are put so that the cluster reads them; composed by the daemon, which knows the stores. Synchronous."""

    def expected(
        self, cluster: Cluster, service: InferenceService, component: str, artifact: ArtifactRef
    ) -> Placed:
        """Where they will be, before anything is sent. Raises `InvalidConfig` where no store is configured."""

    def publish(
        self,
        cluster: Cluster,
        service: InferenceService,
        component: str,
        artifact: ArtifactRef,
        tell: Tell,
        cancelled: Cancelled,
    ) -> Placed:
        """Send one component's files; see `Publisher.publish`."""

    def adopt(self, cluster: Cluster, owner: Mapping[str, Any], placed: Sequence[Placed]) -> None:
        """Make the InferenceService `owner` (as the API server gave it) the owner of what was made for it."""

    def prune(self, cluster: Cluster, key: ServiceKey, keep: Sequence[Placed]) -> None:
        """Drop what was made for the service, but for what is still used."""


@dataclass
class Around:
    """`identity` names the connection in records; `installed` is what is known of its KServe."""

    identity: str
    cluster: Cluster
    settings: Settings
    folder: Path
    ways: Ways
    publishing: Publishing
    installed: Installed
    rows: ClusterRows
    backoff: tuple[float, ...] = BACKOFF_SECONDS
    # Requests are short; uploads take as long as they take and must not hold requests up.
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "cluster"))
    uploads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "upload"))

    async def call(self, function: Callable[[], T]) -> T:
        """Ask the API server, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function)

    async def upload(self, function: Callable[[], T]) -> T:
        """Send files, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.uploads, function)

    def close(self) -> None:
        """End the threads; what is being sent has been cancelled before."""
        self.uploads.shutdown(cancel_futures=True)
        self.threads.shutdown(cancel_futures=True)
