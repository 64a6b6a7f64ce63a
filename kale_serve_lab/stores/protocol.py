"""What every artifact store promises; `tests/stores/contract.py` holds each of them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Stored:
    """Content that the store holds: its immutable address, the sha256 of its tree and its bytes in all files."""

    uri: str
    digest: str
    size: int


class ArtifactStore(Protocol):
    """Immutable content, and one manifest an artifact, from which a lost database is rebuilt."""

    def put(self, source: Path, *, take: bool = False) -> Stored:
        """Store a file or a folder; after it returns the content survives a crash, before it nothing is visible.

        `take` says that the files are the store's to move; a file that has another hard link is copied all the same.
        Equal content is stored once. Raises `InvalidRequest` naming what is no regular file (it is never followed),
        `StoreFull` naming path and need.
        """

    def get(self, uri: str) -> Stored:
        """What is stored at an address; raises `InvalidRequest` for a foreign address, `ArtifactNotFound`."""

    def open(self, uri: str) -> Path:
        """The read-only folder of the content, verified; raises `DigestMismatch` or `ArtifactNotFound`."""

    def remove(self, uri: str) -> None:
        """Drop the content; other content that shares files with it stays whole. Nothing happens when it is gone."""

    def begin(self, key: str, manifest: Mapping[str, Any]) -> None:
        """Note durably that an artifact is about to be recorded; not listed by `manifests` before `commit`."""

    def commit(self, key: str, manifest: Mapping[str, Any]) -> None:
        """The artifact is recorded: its manifest counts from now on."""

    def forget(self, key: str) -> None:
        """Drop an artifact's manifest, begun or committed."""

    def manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys and manifests of all committed artifacts."""

    def begun(self) -> list[tuple[str, dict[str, Any]]]:
        """Keys and manifests that a crash left between `begin` and `commit`."""

    def sweep(self, needed: Callable[[list[str]], set[str]]) -> int:
        """Drop content whose digest is not needed, and say how much; nothing may be put at the same time."""

    def close(self) -> None:
        """Release files."""
