"""From a caller's words to an InferenceService: its artifacts, its runtime and protocol, its next revision."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kale_serve_lab.backends.local.rows import Rows
from kale_serve_lab.daemon.submissions import lookup
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.errors import (
    ArtifactNotFound,
    ClusterUnavailable,
    InvalidRequest,
    KaleServeError,
    NameTaken,
    PreflightFailed,
    UnsupportedModel,
)
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import Artifact
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.runtimes import CUSTOM, select
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, Protocol, ServiceKey, protocol_of
from kale_serve_lab.stores.protocol import ArtifactStore

_OWN: dict[str, type[KaleServeError]] = {cls.__name__: cls for cls in (NameTaken, ClusterUnavailable)}


class Artifacts:
    """The artifacts that callers name, and their verified folders."""

    def __init__(self, store: ArtifactStore, metadata: MetadataStore, threads: Threads) -> None:
        self._store, self._metadata, self._threads = store, metadata, threads

    async def find(self, body: Mapping[str, Any], field: str, types: tuple[str, ...]) -> Artifact | None:
        """What `field` names; raises `ArtifactNotFound`, and `InvalidRequest` where it is of no such type."""
        given = body.get(field)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | str) or given == "":
            raise InvalidRequest(f"`{field}` must be an id, a name, or name:version.", subject=field)
        for type_name in types:
            with contextlib.suppress(ArtifactNotFound):
                found = await self._threads.metadata(lookup, self._metadata, str(given), type_name)
                break
        else:
            raise ArtifactNotFound(
                f"There is no {field} {str(given)[:200]!r}.",
                subject=str(given)[:200],
                hint="`kale-serve list` shows what there is; submit_artifact() adds to it.",
            )
        if found.type not in types or found.state == "DELETED":
            what = "is deleted" if found.state == "DELETED" else f"is a {found.type}"
            raise InvalidRequest(
                f"{found.name} {found.version} (id {found.id}) {what}; as `{field}` it cannot be served.",
                subject=str(given)[:200],
                hint=f"Give a {types[0]}.",
            )
        return found

    async def with_paths(self, service: InferenceService) -> InferenceService:
        """The service with the verified folders of its artifacts; raises `DigestMismatch`."""
        filled: dict[str, Any] = {}
        for field in ("model", "transformer"):
            artifact: ArtifactRef | None = getattr(service, field)
            if artifact is not None:
                # Looked at again: it may have been deleted before it was held.
                there = await self._threads.metadata(self._metadata.get, artifact.id)
                if there.state == "DELETED":
                    raise ArtifactNotFound(
                        f"{there.name} {there.version} has just been deleted.", subject=there.name
                    )
                path = await self._threads.files(self._store.open, artifact.uri)
                filled[field] = replace(artifact, path=path)
        return replace(service, **filled)


def following(
    before: InferenceService | None, time: int, table: Rows, asked: InferenceService
) -> InferenceService:
    """The next revision of `before` (None: the first), with the runtime and protocol that `asked` ends up with."""
    config = asked.config
    whole_request = asked.transformer is not None or config.container("transformer") is not None
    runtime, protocol = choose(
        asked.model.framework if asked.model else None, config, table, whole_request=whole_request
    )
    return replace(
        asked,
        revision=before.revision + 1 if before else 1,
        runtime=runtime,
        protocol=protocol,
        created_at=before.created_at if before else time,
        updated_at=time,
    )


def wish(
    target: str,
    key: ServiceKey,
    model: Artifact | None,
    transformer: Artifact | None,
    body: Mapping[str, Any],
) -> InferenceService:
    """What a caller asks for, before its revision and runtime are known. Raises `InvalidConfig`."""
    return InferenceService(
        key=key,
        revision=0,
        model=_ref(model),
        transformer=_ref(transformer),
        config=ServeConfig.from_value(body.get("config")),
        runtime="",
        protocol="v2",
        created_at=0,
        updated_at=0,
        target=target,
        propagate_configurations=body.get("propagate_configurations") is True,
    )


def choose(
    model_format: str | None, config: ServeConfig, table: Rows, *, whole_request: bool
) -> tuple[str, Protocol]:
    """Runtime and protocol: those that are asked for, else the first protocol that a runtime has for the format.

    `whole_request`: a transformer gets the whole request, which is v1's unless it says otherwise.
    """
    usual: tuple[Protocol, ...] = ("v1", "v2") if whole_request else ("v2", "v1")
    asked = (protocol_of(config.protocol_version),) if config.protocol_version else ()
    if config.container("predictor") is not None:
        # KServe's own default for what it knows nothing of.
        return CUSTOM, (*asked, "v1")[0]
    for protocol in asked or (*usual, "grpc-v2", "grpc-v1"):
        try:
            return select(model_format, protocol, config.runtime, table.runtimes).name, protocol
        except UnsupportedModel:
            continue
    # Preflight says so, beside all else that is wrong.
    return config.runtime or "", (*asked, *usual)[0]


def refuse(key: ServiceKey, findings: list[Finding]) -> None:
    """Raise `PreflightFailed` where a finding is an error; `NameTaken` and `ClusterUnavailable` by their own names."""
    if errors := [one for one in findings if one.severity == "error"]:
        own = _OWN.get(errors[0].code)
        if own is not None:
            raise own(errors[0].message, subject=key.name, hint=errors[0].fix)
        raise PreflightFailed(
            f"{key.name} would not start: {errors[0].message}",
            subject=key.name,
            hint=errors[0].fix,
            details={"findings": [one.to_json() for one in findings]},
        )


def _ref(artifact: Artifact | None) -> ArtifactRef | None:
    return None if artifact is None else ArtifactRef.from_json(artifact.to_json())
