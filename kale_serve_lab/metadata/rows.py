"""How artifacts, executions and contexts look as ML Metadata's messages, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from kale_serve_lab.metadata.types import (
    ENDPOINT_TYPE,
    SUBMITTED_TYPES,
    Artifact,
    NewArtifact,
    Node,
    Session,
)

# Generated at import, so that no checker knows what is in it.
pb: Any = metadata_store_pb2

SESSION_TYPE, SERVE_TYPE = "kale.Session", "kale.Serve"
EXPERIMENT_TYPE, RUN_TYPE = "kale.Experiment", "kale.Run"
SEPARATOR, ENDPOINT_SEPARATOR = ":", "@"

_TEXTS = ("name", "version", "description", "author", "digest", "framework", "class_name", "method")
_JSON = ("tags", "signature", "environment", "properties")
_NUMBERS = ("size", "created_at")
_STATES = {pb.Artifact.DELETED: "DELETED", pb.Artifact.MARKED_FOR_DELETION: "DELETED"}


def artifact_types() -> list[Any]:
    """The artifact types of ours, with their properties."""
    properties = (
        dict.fromkeys((*_TEXTS, *_JSON), pb.STRING)
        | dict.fromkeys(_NUMBERS, pb.INT)
        | {"executable": pb.BOOLEAN}
    )
    return [pb.ArtifactType(name=name, properties=properties) for name in (*SUBMITTED_TYPES, ENDPOINT_TYPE)]


def execution_types() -> list[Any]:
    """The execution types of ours."""
    session = pb.ExecutionType(
        name=SESSION_TYPE, properties={"kind": pb.STRING, "name": pb.STRING, "session": pb.STRING}
    )
    serve = pb.ExecutionType(
        name=SERVE_TYPE, properties={"name": pb.STRING, "namespace": pb.STRING, "revision": pb.INT}
    )
    return [session, serve]


def context_types() -> list[Any]:
    """The context types of ours: a notebook's or script's experiment, and a pipeline's run."""
    return [pb.ContextType(name=name, properties={"name": pb.STRING}) for name in (EXPERIMENT_TYPE, RUN_TYPE)]


def to_artifact(new: NewArtifact, type_id: int, name: str) -> Any:
    """The message of a new artifact; `name` is its unique name within the type."""
    row = pb.Artifact(type_id=type_id, name=name, uri=new.uri, state=pb.Artifact.LIVE)
    for key in _TEXTS:
        if (text := getattr(new, key)) is not None:
            row.properties[key].string_value = text
    for key in _JSON:
        if (value := getattr(new, key)) is not None:
            row.properties[key].string_value = json.dumps(value, separators=(",", ":"))
    for key in _NUMBERS:
        row.properties[key].int_value = getattr(new, key)
    row.properties["executable"].bool_value = new.executable
    return row


def from_artifact(row: Any, type_name: str) -> Artifact:
    """The artifact in a message; one that another tool wrote has whatever of it can be read."""
    values = _values(row.properties)
    other = {**_values(row.custom_properties), **{k: v for k, v in values.items() if k not in _KNOWN}}
    decoded = {key: _decoded(values.get(key)) for key in _JSON}
    name, _, version = row.name.partition(SEPARATOR)
    return Artifact(
        id=row.id,
        type=type_name,
        name=str(values.get("name") or other.get("display_name") or name or f"{type_name} {row.id}"),
        version=str(values.get("version") or version or ""),
        uri=row.uri,
        digest=str(values.get("digest") or ""),
        size=int(values.get("size") or 0),
        created_at=int(values.get("created_at") or row.create_time_since_epoch),
        description=values.get("description"),
        author=values.get("author"),
        tags=decoded["tags"] or {},
        framework=values.get("framework"),
        class_name=values.get("class_name"),
        method=values.get("method"),
        signature=decoded["signature"],
        environment=decoded["environment"],
        executable=bool(values.get("executable")),
        properties=(decoded["properties"] or {}) | other,
        state=_STATES.get(row.state, "LIVE"),
    )


def to_session(session: Session, type_id: int) -> Any:
    """The execution of a session."""
    row = pb.Execution(
        type_id=type_id,
        name=f"{session.kind}/{session.name}/{session.id}",
        last_known_state=pb.Execution.COMPLETE,
    )
    row.properties["kind"].string_value = session.kind
    row.properties["name"].string_value = session.name
    row.properties["session"].string_value = session.id
    return row


def to_context(session: Session, type_id: int) -> Any:
    """The context of a session: the notebook, the script, or the pipeline's run."""
    row = pb.Context(type_id=type_id, name=session.name)
    row.properties["name"].string_value = session.name
    return row


def to_serve(
    namespace: str, name: str, revision: int, created_at: int, type_id: int, target: str = "local"
) -> Any:
    """The execution that put a revision of a service in place."""
    row = pb.Execution(
        type_id=type_id,
        name=f"{endpoint_name(namespace, name, created_at, target)}/{revision}",
        last_known_state=pb.Execution.COMPLETE,
    )
    row.properties["name"].string_value = name
    row.properties["namespace"].string_value = namespace
    row.properties["revision"].int_value = revision
    return row


def endpoint_name(namespace: str, name: str, created_at: int, target: str = "local") -> str:
    """An endpoint's unique name: one deleted and made again is another endpoint, and so is one on another target."""
    return f"{service_name(namespace, name, target)}{ENDPOINT_SEPARATOR}{created_at}"


def service_name(namespace: str, name: str, target: str) -> str:
    """What the unique names of a service's endpoints begin with."""
    return f"{namespace}/{name}" if target == "local" else f"{target}/{namespace}/{name}"


def artifact_node(artifact: Artifact) -> Node:
    """An artifact among the nodes of a lineage."""
    shown = {
        key: value
        for key in (
            "description",
            "author",
            "framework",
            "class_name",
            "digest",
            "size",
            "uri",
            "tags",
        )
        if (value := getattr(artifact, key))
    }
    return Node(
        "artifact",
        artifact.id,
        artifact.type,
        artifact.name,
        artifact.version or None,
        artifact.state,
        artifact.created_at,
        {**artifact.properties, **shown},
    )


def execution_node(row: Any, type_name: str) -> Node:
    """An execution among the nodes of a lineage."""
    values = _values(row.properties) | _values(row.custom_properties)
    revision = values.get("revision")
    return Node(
        "execution",
        row.id,
        type_name,
        str(values.get("name") or row.name),
        None if revision is None else str(revision),
        pb.Execution.State.Name(row.last_known_state),
        row.create_time_since_epoch,
        values,
    )


def context_node(row: Any, type_name: str) -> Node:
    """A context among the nodes of a lineage."""
    values = _values(row.properties) | _values(row.custom_properties)
    return Node(
        "context",
        row.id,
        type_name,
        str(values.get("name") or row.name),
        None,
        "LIVE",
        row.create_time_since_epoch,
        values,
    )


_KNOWN = {*_TEXTS, *_JSON, *_NUMBERS, "executable"}


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in properties.items():
        kind = value.WhichOneof("value")
        if kind in {"int_value", "double_value", "string_value", "bool_value"}:
            found[key] = getattr(value, kind)
    return found


def _decoded(text: Any) -> Any:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return None
    return value if isinstance(value, dict) else None
