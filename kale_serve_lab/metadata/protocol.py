"""What every metadata store promises; `tests/metadata/contract.py` holds each of them to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from kale_serve_lab.metadata.types import Artifact, Lineage, NewArtifact, Page, Query, Session


class MetadataStore(Protocol):
    """Artifacts by name and version, and the executions between them. One writer; called from one thread."""

    def record(
        self,
        new: NewArtifact,
        *,
        session: Session | None = None,
        inputs: Sequence[int] = (),
        artifact_id: int | None = None,
    ) -> Artifact:
        """Record an artifact as output of its session, `inputs` (artifact ids) as inputs of it, all or nothing.

        Raises `VersionExists` where type, name and version are taken, `ArtifactNotFound` for an unknown input.
        `artifact_id` asks for that id, as when a lost database is rebuilt; it must be higher than all that are there.
        """

    def get(self, artifact_id: int) -> Artifact:
        """By id, deleted ones too; raises `ArtifactNotFound`."""

    def find(self, name: str, version: str | None = None, type_name: str | None = None) -> Artifact:
        """The newest with this name (and version, and type) that is not deleted; raises `ArtifactNotFound`."""

    def same(self, name: str, digest: str, type_name: str) -> Artifact | None:
        """The newest version of this name with this content that is not deleted."""

    def versions(self, name: str, type_name: str | None = None) -> list[str]:
        """Versions that are not deleted, newest first."""

    def list(self, query: Query) -> Page:
        """A page of those that are not deleted, newest first."""

    def digests(self, among: Iterable[str]) -> set[str]:
        """Those of these digests that an artifact which is not deleted still has."""

    def delete(self, artifact_id: int) -> None:
        """Mark as deleted: it stays in the lineage, its name and version are free again."""

    def record_endpoint(
        self,
        namespace: str,
        name: str,
        revision: int,
        *,
        inputs: Sequence[int],
        created_at: int,
        target: str = "local",
    ) -> Artifact:
        """The endpoint as output of a `kale.Serve` execution per revision; calling it again changes nothing.

        Endpoints of one name on two targets are two; the property `target` says which.
        """

    def delete_endpoint(self, namespace: str, name: str, target: str = "local") -> None:
        """Mark a live endpoint as deleted; nothing happens when there is none."""

    def lineage(self, artifact_id: int, limit: int = 1000) -> Lineage:
        """What the artifact came from and what came of it, at most `limit` nodes besides contexts."""

    def close(self) -> None:
        """Release the database."""
