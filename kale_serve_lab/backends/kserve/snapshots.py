"""Models by snapshots: written into a mounted volume, frozen by a VolumeSnapshot, and given to each component as a claim of its own.

Order: files, snapshot, claim, then the InferenceService, then (`hydration.adopt`) its ownership. A crash leaves labelled
objects that the next publishing takes, and `hydration.sweep` removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.hydration import (
    CLAIM,
    SNAPSHOT,
    Objects,
    ensure_claim,
    ensure_snapshot,
)
from kale_serve_lab.errors import InvalidConfig, NotFound
from kale_serve_lab.serving.kserve import volumes
from kale_serve_lab.serving.kserve.publishing import (
    Cancelled,
    Entry,
    Placed,
    Publisher,
    Tell,
    View,
    Volume,
)


@dataclass(frozen=True)
class Component:
    """Whose volume it will be."""

    namespace: str
    service: str
    component: str


class SnapshotPublisher:
    """A `Publisher` for one component of one service. `volume` writes into the mounted volume of `claim`."""

    def __init__(
        self,
        cluster: Cluster,
        volume: Publisher,
        claim: str,
        of: Component,
        *,
        snapshot_class: str | None = None,
        storage_class: str | None = None,
        seconds: float = 600.0,
        patience: float = 20.0,
    ) -> None:
        """`seconds`: how long snapshot and claim are waited for each; `patience`: how long one may say that it failed."""
        if of.namespace != cluster.namespace:
            raise InvalidConfig(
                f"The service goes to {of.namespace}, and the claim {claim} is in {cluster.namespace}: a snapshot is restored "
                "in its own namespace only.",
                subject="namespace",
                hint=f"Serve in {cluster.namespace}, or use a bucket as the store.",
            )
        self._cluster = cluster
        self._volume = volume
        self._claim = claim
        self._of = of
        self._snapshot_class = snapshot_class
        self._storage_class = storage_class
        self._seconds = seconds
        self._patience = patience

    def uri(self, digest: str, view: View) -> str:
        """`pvc://<the component's claim>/prefix/<digest>/<view>`."""
        inside = self._volume.uri(digest, view).removeprefix(f"pvc://{self._claim}/")
        return f"pvc://{self._name(digest, view)}/{inside}"

    def publish(
        self,
        folder: Path,
        digest: str,
        view: View,
        entries: Sequence[Entry],
        tell: Tell,
        cancelled: Cancelled,
    ) -> Placed:
        """See `Publisher.publish`; besides, `ClusterRefused` with the driver's word, `Timeout`, `NameTaken`."""
        self._volume.publish(folder, digest, view, entries, tell, cancelled)
        objects = self._objects(cancelled)
        name = self._name(digest, view)
        source = objects.find(CLAIM, self._claim)
        if source is None:
            raise NotFound(
                f"There is no claim {self._claim} in {self._of.namespace}.",
                subject=f"persistentvolumeclaim {self._of.namespace}/{self._claim}",
                hint="Set the store's claim to the one whose volume is mounted here.",
            )
        of = volumes.labels(self._of.service, self._of.component, digest)
        made = ensure_snapshot(
            objects, self._of.service, volumes.snapshot(name, self._claim, of, self._snapshot_class)
        )
        size = volumes.restore_size(made, source, 0)
        body = volumes.claim_from_snapshot(
            name,
            name,
            of,
            size,
            self._storage_class or (source.get("spec") or {}).get("storageClassName"),
        )
        ensure_claim(objects, self._of.service, body, lambda found: volumes.is_filled_from(found, name))
        return Placed(self.uri(digest, view), volume=Volume(name, name))

    def remove(self, digest: str, view: View) -> None:
        """The component's claim and snapshot, and the files in the volume that they were made of."""
        objects = self._objects(lambda: False)
        name = self._name(digest, view)
        for kind in (CLAIM, SNAPSHOT):
            found = objects.find(kind, name)
            if found is not None and volumes.is_ours(found, self._of.service):
                objects.delete(kind, name, found["metadata"].get("uid"))
        self._volume.remove(digest, view)

    def _name(self, digest: str, view: View) -> str:
        return volumes.object_name(self._of.service, self._of.component, f"{digest}/{view}")

    def _objects(self, cancelled: Cancelled) -> Objects:
        return Objects(
            self._cluster, self._of.namespace, cancelled, seconds=self._seconds, patience=self._patience
        )
