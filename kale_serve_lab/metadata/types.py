"""The values that go into a metadata store and come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DATASET_TYPE = "kale.Dataset"
SUBMITTED_TYPES = ("kale.Model", "kale.Transformer", DATASET_TYPE)
ENDPOINT_TYPE = "kale.Endpoint"


@dataclass(frozen=True)
class Session:
    """What a caller was doing: a notebook's kernel session, a script's run, or a step of a pipeline."""

    kind: str
    name: str
    id: str


@dataclass(frozen=True)
class NewArtifact:
    """What is to be recorded; `created_at` in ms since the epoch."""

    type: str
    name: str
    version: str
    uri: str
    digest: str
    size: int
    created_at: int
    description: str | None = None
    author: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    framework: str | None = None
    class_name: str | None = None
    method: str | None = None
    signature: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    executable: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact(NewArtifact):
    """A recorded artifact; `state` is LIVE or DELETED."""

    id: int = 0
    state: str = "LIVE"

    @property
    def key(self) -> str:
        """Its key among the nodes of a lineage."""
        return f"artifact:{self.id}"

    def to_json(self) -> dict[str, Any]:
        """The Artifact of the daemon's API."""
        return {
            "id": self.id,
            "key": self.key,
            "type": self.type,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "author": self.author,
            "tags": dict(self.tags),
            "uri": self.uri,
            "digest": self.digest,
            "size": self.size,
            "framework": self.framework,
            "class_name": self.class_name,
            "method": self.method,
            "signature": None if self.signature is None else dict(self.signature),
            "environment": None if self.environment is None else dict(self.environment),
            "executable": self.executable,
            "properties": dict(self.properties),
            "state": self.state,
            "created_at": self.created_at,
        }


@dataclass(frozen=True)
class Query:
    """Which artifacts to list: all conditions hold at once; `text` is looked for in names and versions.

    No `types` means everything but endpoints, which are lineage nodes and have a list of their own.
    """

    types: tuple[str, ...] = ()
    name: str | None = None
    text: str | None = None
    limit: int = 50
    before_id: int | None = None


@dataclass(frozen=True)
class Page:
    """Artifacts, newest first; `next_before_id` asks for the next page; `total` counts all pages."""

    items: tuple[Artifact, ...]
    next_before_id: int | None
    total: int


@dataclass(frozen=True)
class Node:
    """A node of a lineage; `kind` is artifact, execution or context, `created_at` in ms since the epoch."""

    kind: str
    id: int
    type: str
    name: str
    version: str | None
    state: str
    created_at: int
    properties: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Its name among the nodes."""
        return f"{self.kind}:{self.id}"

    def to_json(self) -> dict[str, Any]:
        """The node of the daemon's API."""
        return {
            "key": self.key,
            "kind": self.kind,
            "id": self.id,
            "type": self.type,
            "name": self.name,
            "version": self.version,
            "state": self.state,
            "created_at": self.created_at,
            "properties": dict(self.properties),
        }


@dataclass(frozen=True, order=True)
class Edge:
    """An edge in the way of the data: input (artifact to execution), output, or context (context to execution)."""

    source: str
    target: str
    kind: str

    def to_json(self) -> dict[str, str]:
        """The edge of the daemon's API."""
        return {"from": self.source, "to": self.target, "kind": self.kind}


@dataclass(frozen=True)
class Lineage:
    """What an artifact came from and what came of it."""

    root: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool

    def to_json(self) -> dict[str, Any]:
        """The Lineage of the daemon's API."""
        return {
            "root": self.root,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
            "truncated": self.truncated,
        }
