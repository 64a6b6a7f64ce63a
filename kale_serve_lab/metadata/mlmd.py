"""The metadata store on ML Metadata (https://github.com/google/ml-metadata), in a SQLite file.

Its library is synchronous C++ with one writer: all calls come from one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata import errors as mlmd_errors

from kale_serve_lab.errors import ArtifactNotFound, KaleServeError, StoreFull, VersionExists
from kale_serve_lab.metadata import graph, rows
from kale_serve_lab.metadata.reader import Reader, reserve
from kale_serve_lab.metadata.rows import pb
from kale_serve_lab.metadata.types import (
    DATASET_TYPE,
    ENDPOINT_TYPE,
    Artifact,
    Edge,
    Lineage,
    NewArtifact,
    Page,
    Query,
    Session,
)


class MlmdStore:
    """See `protocol.MetadataStore`."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises `KaleServeError` when ML Metadata cannot."""
        self._path = path
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        with _told(path):
            self._store = mlmd.MetadataStore(config, enable_upgrade_migration=True)
            for artifact_type in rows.artifact_types():
                self._store.put_artifact_type(artifact_type, can_add_fields=True, can_omit_fields=True)
            for execution_type in rows.execution_types():
                self._store.put_execution_type(execution_type, can_add_fields=True, can_omit_fields=True)
            for context_type in rows.context_types():
                self._store.put_context_type(context_type, can_add_fields=True, can_omit_fields=True)
            self._artifact_types: dict[int, str] = {}
            self._execution_types: dict[int, str] = {}
            self._context_types: dict[int, str] = {}
            self._read_types()
        self._reader = Reader(path)
        self._counts = self._reader.counts()

    def record(
        self,
        new: NewArtifact,
        *,
        session: Session | None = None,
        inputs: Sequence[int] = (),
        artifact_id: int | None = None,
    ) -> Artifact:
        """Record an artifact; see the protocol."""
        type_id = self._artifact_type(new.type)
        name = f"{new.name}{rows.SEPARATOR}{new.version}"
        with contextlib.suppress(ArtifactNotFound):
            found = self.find(new.name, new.version, new.type)
            raise VersionExists(
                f"{new.name} {new.version} is there already, with other content.",
                subject=name,
                hint="Give another version, or none to get the next one.",
                details={"id": found.id, "digest": found.digest},
            )
        for known in inputs:
            self.get(known)
        if artifact_id is not None:
            reserve(self._path, artifact_id)
        with _told(self._path):
            earlier = self._reader.deleted_named(type_id, name)
            # ML Metadata keeps names unique and forever, so what takes a deleted one's place is counted on.
            unique = f"{name}#{earlier + 1}" if earlier else name
            made = self._put(rows.to_artifact(new, type_id, unique), session, inputs)
        self._counts[type_id] = self._counts.get(type_id, 0) + 1
        return self.get(made)

    def get(self, artifact_id: int) -> Artifact:
        """By id; see the protocol."""
        # Ids are 64-bit in the database; anything beyond is just not there.
        found = self._by_ids([artifact_id]) if 0 < artifact_id < 1 << 63 else []
        if not found:
            raise ArtifactNotFound(
                f"There is no artifact with id {artifact_id}.",
                subject=str(artifact_id),
                hint="`kale-serve list` shows what there is.",
            )
        return found[0]

    def find(self, name: str, version: str | None = None, type_name: str | None = None) -> Artifact:
        """By name; see the protocol."""
        found = [
            artifact
            for artifact in self._named(name, type_name)
            if version is None or artifact.version == version
        ]
        if not found:
            label = f"{name}:{version}" if version else name
            raise ArtifactNotFound(
                f"There is no artifact {label!r}.",
                subject=label,
                hint="`kale-serve list` shows what there is.",
            )
        # A model and its data set may have one name; whoever asks by name alone wants to serve it.
        return min(found, key=lambda artifact: (self._rank(artifact.type), -artifact.id))

    def same(self, name: str, digest: str, type_name: str) -> Artifact | None:
        """By content; see the protocol."""
        found = (artifact for artifact in self._named(name, type_name) if artifact.digest == digest)
        return max(found, key=lambda artifact: artifact.id, default=None)

    def versions(self, name: str, type_name: str | None = None) -> list[str]:
        """Versions of a name; see the protocol."""
        found = sorted(self._named(name, type_name), key=lambda artifact: artifact.id, reverse=True)
        return list(dict.fromkeys(artifact.version for artifact in found))

    def list(self, query: Query) -> Page:
        """A page; see the protocol."""
        names = self._names()
        types = [
            names[name] for name in names if (name in query.types if query.types else name != ENDPOINT_TYPE)
        ]
        ids = self._reader.page(types, query.name, query.text, query.before_id, query.limit + 1)
        more = len(ids) > query.limit
        ids = ids[: query.limit]
        if query.name or query.text:
            total = self._reader.count(types, query.name, query.text)
        else:
            total = sum(self._counts.get(type_id, 0) for type_id in types)
        return Page(tuple(self._by_ids(ids)), ids[-1] if more else None, total)

    def digests(self, among: Iterable[str]) -> set[str]:
        """Digests that are still needed; see the protocol."""
        return self._reader.live_digests(among)

    def delete(self, artifact_id: int) -> None:
        """Mark as deleted; see the protocol."""
        if self.get(artifact_id).state == "DELETED":
            raise ArtifactNotFound(f"Artifact {artifact_id} is deleted already.", subject=str(artifact_id))
        row = self._row(artifact_id)
        row.state = pb.Artifact.DELETED
        with _told(self._path):
            self._store.put_artifacts([row])
        self._counts[row.type_id] -= 1

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
        """An endpoint's revision; see the protocol."""
        type_id = self._artifact_type(ENDPOINT_TYPE)
        unique = rows.endpoint_name(namespace, name, created_at, target)
        new = NewArtifact(
            type=ENDPOINT_TYPE,
            name=name,
            version=str(revision),
            uri="",
            digest="",
            size=0,
            created_at=created_at,
            properties={"namespace": namespace, "target": target},
        )
        row = rows.to_artifact(new, type_id, unique)
        execution_type = self._execution_type(rows.SERVE_TYPE)
        serve = rows.to_serve(namespace, name, revision, created_at, execution_type, target)
        with _told(self._path):
            known = self._store.get_artifact_by_type_and_name(ENDPOINT_TYPE, unique)
            if known and self._store.get_execution_by_type_and_name(rows.SERVE_TYPE, serve.name):
                return self.get(known.id)
            if known:
                row.id = known.id
            events: list[tuple[int, int | None, Any]] = [
                (0, None, pb.Event(type=pb.Event.INPUT, artifact_id=artifact)) for artifact in set(inputs)
            ]
            events.append((0, 0, pb.Event(type=pb.Event.OUTPUT)))
            _, [made], _ = self._store.put_lineage_subgraph([serve], [row], [], events)
        if not known:
            self._counts[type_id] = self._counts.get(type_id, 0) + 1
        return self.get(made)

    def delete_endpoint(self, namespace: str, name: str, target: str = "local") -> None:
        """Mark a service's endpoint as deleted; see the protocol."""
        type_id = self._artifact_type(ENDPOINT_TYPE)
        for artifact in self._reader.named(
            type_id, rows.service_name(namespace, name, target), rows.ENDPOINT_SEPARATOR
        ):
            row = self._row(artifact)
            row.state = pb.Artifact.DELETED
            with _told(self._path):
                self._store.put_artifacts([row])
            self._counts[type_id] -= 1

    def lineage(self, artifact_id: int, limit: int = 1000) -> Lineage:
        """Ancestors and descendants; see the protocol."""
        root = self.get(artifact_id)
        found = graph.closure(
            artifact_id, self._reader.links_of_artifacts, self._reader.links_of_executions, limit
        )
        pairs = self._reader.contexts_of(found.executions)
        with _told(self._path):
            executions = self._store.get_executions_by_id(sorted(found.executions))
            contexts = self._store.get_contexts_by_id(sorted({context for context, _ in pairs}))
        nodes = [rows.artifact_node(artifact) for artifact in self._by_ids(sorted(found.artifacts))]
        for execution in executions:
            nodes.append(rows.execution_node(execution, self._type(self._execution_types, execution.type_id)))
        for context in contexts:
            nodes.append(rows.context_node(context, self._type(self._context_types, context.type_id)))
        edges = {link.edge() for link in found.links}
        edges |= {
            Edge(f"context:{context}", f"execution:{execution}", "context") for context, execution in pairs
        }
        return Lineage(root.key, tuple(nodes), tuple(sorted(edges)), found.truncated)

    def close(self) -> None:
        """Release the database."""
        self._reader.close()
        # The C++ store closes its file when the last reference goes.
        del self._store

    def _put(self, row: Any, session: Session | None, inputs: Sequence[int]) -> int:
        if session is None:
            return int(self._store.put_artifacts([row])[0])
        execution = rows.to_session(session, self._execution_type(rows.SESSION_TYPE))
        linked: set[int] = set()
        if known := self._store.get_execution_by_type_and_name(rows.SESSION_TYPE, execution.name):
            execution.id = known.id
            linked = {
                link.artifact for link in self._reader.links_of_executions([known.id]) if not link.is_output
            }
        context_type = rows.RUN_TYPE if session.kind == "pipeline" else rows.EXPERIMENT_TYPE
        context = rows.to_context(session, self._names(self._context_types)[context_type])
        events: list[tuple[int, int | None, Any]] = [
            (0, None, pb.Event(type=pb.Event.INPUT, artifact_id=artifact))
            for artifact in set(inputs) - linked
        ]
        # What a session trains on goes into it, also where it was the session that wrote it down.
        kind = pb.Event.INPUT if self._artifact_types[row.type_id] == DATASET_TYPE else pb.Event.OUTPUT
        events.append((0, 0, pb.Event(type=kind)))
        _, [made], _ = self._store.put_lineage_subgraph(
            [execution], [row], [context], events, reuse_context_if_already_exist=True
        )
        return int(made)

    def _named(self, name: str, type_name: str | None) -> Iterator[Artifact]:
        names = self._names()
        wanted = [type_name] if type_name else [known for known in names if known != ENDPOINT_TYPE]
        ids: list[int] = []
        for known in wanted:
            if known in names:
                ids += self._reader.named(names[known], name, rows.SEPARATOR)
        yield from self._by_ids(ids)

    def _by_ids(self, ids: Sequence[int]) -> Sequence[Artifact]:
        """Artifacts in the order of the ids; ids that are not there are left out."""
        if not ids:
            return []
        with _told(self._path):
            found = {row.id: row for row in self._store.get_artifacts_by_id(ids)}
        return [
            rows.from_artifact(found[known], self._type(self._artifact_types, found[known].type_id))
            for known in ids
            if known in found
        ]

    def _row(self, artifact_id: int) -> Any:
        with _told(self._path):
            return self._store.get_artifacts_by_id([artifact_id])[0]

    def _read_types(self) -> None:
        self._artifact_types |= {kind.id: kind.name for kind in self._store.get_artifact_types()}
        self._execution_types |= {kind.id: kind.name for kind in self._store.get_execution_types()}
        self._context_types |= {kind.id: kind.name for kind in self._store.get_context_types()}

    def _type(self, types: dict[int, str], type_id: int) -> str:
        if type_id not in types:
            # Another tool, such as Kubeflow Pipelines, has added a type since.
            self._read_types()
        return types.get(type_id, "unknown")

    def _names(self, types: dict[int, str] | None = None) -> dict[str, int]:
        return {name: known for known, name in (types or self._artifact_types).items()}

    def _artifact_type(self, name: str) -> int:
        names = self._names()
        if name not in names:
            raise KaleServeError(f"No artifact type {name!r}.", code="InvalidRequest", subject=name)
        return names[name]

    def _execution_type(self, name: str) -> int:
        return self._names(self._execution_types)[name]

    def _rank(self, type_name: str) -> int:
        order = ["kale.Model", "system.Model", "kale.Transformer", "kale.Dataset"]
        return order.index(type_name) if type_name in order else len(order)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn ML Metadata's errors into ours."""
    try:
        yield
    except mlmd_errors.StatusError as error:
        text = str(error)
        if "disk is full" in text:
            raise StoreFull(
                f"The disk of the metadata database {path} is full.",
                subject=str(path),
                hint="Free some space and try again.",
            ) from error
        raise KaleServeError(
            f"The metadata database {path} refused a call: {text[:500]}",
            code="MetadataFailed",
            subject=str(path),
            hint="The daemon's log says more; a damaged database is rebuilt when the daemon starts next.",
        ) from error
