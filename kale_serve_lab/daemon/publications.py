"""A service's files on their way to the store of a cluster, and the claims and snapshots that are made for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.hydration import Objects, adopt, sweep
from kale_serve_lab.backends.kserve.rok import hydrate_rok, rok_uri
from kale_serve_lab.backends.kserve.settings import StoreSettings
from kale_serve_lab.backends.kserve.snapshots import Component
from kale_serve_lab.daemon.publishers import publisher_of
from kale_serve_lab.errors import ArtifactNotFound
from kale_serve_lab.serving.kserve.layout import layout, view_of
from kale_serve_lab.serving.kserve.publishing import Cancelled, Placed, Tell
from kale_serve_lab.serving.kserve.volumes import is_rok
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

_log = logging.getLogger(__name__)
_LEAST_CLAIM = 1 << 30


class Publications:
    """Files on their way to the store of a cluster; see `backends.kserve.around.Publishing`. In no event loop."""

    def __init__(self, store: StoreSettings | None) -> None:
        self._store = store

    def expected(
        self, cluster: Cluster, service: InferenceService, component: str, artifact: ArtifactRef
    ) -> Placed:
        """Where they will be. Raises `InvalidConfig` where no store is configured."""
        if is_rok(artifact.uri):
            return Placed(rok_uri(_component(service.key, component), artifact.uri))
        publisher = publisher_of(self._store, cluster, service.key.namespace, service.key.name, component)
        try:
            store = self._store
            assert store is not None
            return Placed(
                publisher.uri(artifact.digest, view_of(service, component)),
                secret=store.secret,
                service_account=store.service_account,
            )
        finally:
            _close(publisher)

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
        if is_rok(artifact.uri):
            of = _component(service.key, component)
            return hydrate_rok(cluster, of, artifact.uri, _LEAST_CLAIM, cancelled)
        folder = artifact.path
        if folder is None or not folder.is_dir():
            raise ArtifactNotFound(
                f"The files of {artifact.name} {artifact.version} are not in the store of this machine any more.",
                subject=artifact.name,
                hint="Submit it again, and serve that.",
            )
        view = view_of(service, component)
        entries = layout(listing(folder), artifact.framework, service.runtime, view, service.key.name)
        publisher = publisher_of(self._store, cluster, service.key.namespace, service.key.name, component)
        try:
            return publisher.publish(folder, artifact.digest, view, entries, tell, cancelled)
        finally:
            _close(publisher)

    def adopt(self, cluster: Cluster, owner: Mapping[str, Any], placed: Sequence[Placed]) -> None:
        """Make the InferenceService the owner of the claims and snapshots that were made for it."""
        if any(one.volume is not None for one in placed):
            metadata = owner["metadata"]
            objects = Objects(cluster, metadata["namespace"], lambda: False)
            adopt(objects, metadata["name"], metadata["uid"])

    def prune(self, cluster: Cluster, key: ServiceKey, keep: Sequence[Placed]) -> None:  # noqa: ARG002 (what is used is read off the cluster)
        """Remove claims and snapshots of ours that no InferenceService uses any more."""
        if self._store is not None and self._store.kind == "snapshot":
            for one in sweep(Objects(cluster, key.namespace, lambda: False)):
                _log.info("Removed %s: no service uses it.", one)


def listing(folder: Path) -> tuple[str, ...]:
    """The files of an artifact, relative to its folder."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _component(key: ServiceKey, component: str) -> Component:
    return Component(key.namespace, key.name, component)


def _close(publisher: Any) -> None:
    close: Callable[[], None] | None = getattr(publisher, "close", None)
    if close is not None:
        close()
