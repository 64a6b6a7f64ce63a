"""Services: from a caller's words to an InferenceService for the backend, and from what is observed to its answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.backends.local.rows import Rows
from kale_serve_lab.backends.protocol import Backend
from kale_serve_lab.daemon import requests
from kale_serve_lab.daemon.events import EventLog
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.daemon.runtimes import Runtimes
from kale_serve_lab.daemon.submissions import lookup, now
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.errors import (
    ArtifactNotFound,
    EndpointNotFound,
    InvalidConfig,
    InvalidRequest,
    KaleServeError,
    NameTaken,
    PreflightFailed,
    UnsupportedModel,
)
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import ENDPOINT_TYPE, Artifact, Query
from kale_serve_lab.serving import names
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.preflight import Finding, preflight
from kale_serve_lab.serving.runtimes import CUSTOM, RUNTIMES, select, served
from kale_serve_lab.serving.status import status
from kale_serve_lab.serving.types import (
    ArtifactRef,
    InferenceService,
    Observed,
    Protocol,
    ServiceKey,
    protocol_of,
)
from kale_serve_lab.stores.protocol import ArtifactStore

_log = logging.getLogger(__name__)


class Services:
    """Applies, shows and deletes services; one change of a service at a time."""

    def __init__(  # noqa: PLR0917
        self,
        backend: Backend,
        store: ArtifactStore,
        metadata: MetadataStore,
        threads: Threads,
        events: EventLog,
        gateway: str,
        runtimes: Runtimes,
    ) -> None:
        self._backend, self._store, self._metadata = backend, store, metadata
        self._threads, self._events, self._gateway = threads, events, gateway
        self._runtimes = runtimes
        self._locks: weakref.WeakValueDictionary[ServiceKey, asyncio.Lock] = weakref.WeakValueDictionary()
        # Content that a service is just being made from, and must not be dropped meanwhile.
        self._wanted: Counter[str] = Counter()
        self._told: dict[ServiceKey, dict[str, Any]] = {}
        self.idle: Idle | None = None

    def any(self) -> bool:
        """Whether there is a service."""
        return bool(self._backend.keys())

    def using(self, uri: str) -> list[str]:
        """Names of the services of which a revision, also an older one that still serves, is made from this content."""
        found = [
            key.name
            for key in self._backend.keys()  # noqa: SIM118 (a backend is no dict)
            if any(
                artifact and artifact.uri == uri
                for service in self._backend.revisions(key)
                for artifact in (service.model, service.transformer)
            )
        ]
        return found or (["a new endpoint"] if self._wanted[uri] else [])

    async def listing(self) -> list[dict[str, Any]]:
        """All services, by namespace and name."""
        return [await self._view(service) for service in self._all()]

    async def get(self, name: str, namespace: str) -> dict[str, Any]:
        """One service; raises `InvalidName` or `EndpointNotFound`."""
        return await self._view(self._desired(_key(name, namespace)))

    async def apply(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to `POST /api/services`."""
        target = requests.text(body, "target") or self._backend.target
        if target != self._backend.target:
            raise InvalidConfig(
                f"There is no target {target[:100]!r}.", subject="target", hint=f"Use: {self._backend.target}"
            )
        model = await self._find(body, "model", ("kale.Model", "system.Model"))
        transformer = await self._find(body, "transformer", ("kale.Transformer",))
        config = ServeConfig.from_value(body.get("config"))
        key = self._name(body, model)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            table = await self._runtimes.rows()
            service = self._next(key, model, transformer, config, table)
            around = await self._runtimes.around(service, table)
            findings = preflight(service, [other for other in self._all() if other.key != key], around)
            remarks = {"findings": [one.to_json() for one in findings]}
            if requests.flag(body, "dry_run"):
                view = await self._view(service, asked_only=True)
                return 200, {**remarks, "service": view}
            if service.revision > 1 and requests.flag(body, "create_only"):
                raise NameTaken(
                    f"There is an endpoint {key.name} already.",
                    subject=key.name,
                    hint="Choose another name, or update the endpoint.",
                )
            refuse(key, findings)
            with self._keeping(model, transformer):
                await self._backend.apply(await self._with_paths(service))
                await self._record(service)
        self.changed(key)
        return 202, await self._view(self._desired(key)) | remarks

    async def delete(self, name: str, namespace: str) -> None:
        """Delete a service; nothing of it is left when this returns."""
        key = _key(name, namespace)
        async with self._locks.setdefault(key, asyncio.Lock()):
            service = self._desired(key)
            await self._backend.delete(key)
            await self._threads.metadata(self._metadata.delete_endpoint, key.namespace, key.name)
            self._gone(key, service.revision)

    def logs(self, name: str, namespace: str, **options: Any) -> AsyncIterator[str]:
        """Pieces of a service's log; see the backend's protocol."""
        key = _key(name, namespace)
        self._desired(key)
        return self._backend.logs(key, **options)

    def changed(self, key: ServiceKey) -> None:
        """Tell everyone who listens, where what they would see has changed."""
        service = self._backend.desired(key)
        if service is None:
            return
        seen = status(service, self._backend.observed(key)).to_json() | {"revision": service.revision}
        if self._told.get(key) == seen:
            return
        self._told[key] = seen
        self._publish(key, service.revision, seen["state"], deleted=False)

    async def reconcile(self) -> None:
        """Make the recorded endpoints those that are there: a crash may lie between the two."""
        for service in self._all():
            await self._record(service)
        live = {(service.key.namespace, service.key.name) for service in self._all()}
        page = await self._threads.metadata(self._metadata.list, Query(types=(ENDPOINT_TYPE,), limit=10_000))
        for endpoint in page.items:
            known = (str(endpoint.properties.get("namespace")), endpoint.name)
            if known not in live:
                await self._threads.metadata(self._metadata.delete_endpoint, *known)

    def _all(self) -> list[InferenceService]:
        keys = self._backend.keys()
        return [service for key in keys if (service := self._backend.desired(key))]

    def _desired(self, key: ServiceKey) -> InferenceService:
        service = self._backend.desired(key)
        if service is None:
            raise EndpointNotFound(
                f"There is no endpoint {key.name}.",
                subject=key.name,
                hint="`kale-serve status` shows what there is.",
            )
        return service

    def _name(self, body: Mapping[str, Any], model: Artifact | None) -> ServiceKey:
        namespace = requests.text(body, "namespace") or names.DEFAULT_NAMESPACE
        name = body.get("name")
        if name is None:
            name = names.derive_service_name(
                model.name if model else "model", names.check_namespace(namespace)
            )
        return _key(name, namespace)

    async def _find(self, body: Mapping[str, Any], field: str, types: tuple[str, ...]) -> Artifact | None:
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

    def _next(
        self,
        key: ServiceKey,
        model: Artifact | None,
        transformer: Artifact | None,
        config: ServeConfig,
        table: Rows,
    ) -> InferenceService:
        before = self._backend.desired(key)
        whole_request = transformer is not None or config.container("transformer") is not None
        runtime, protocol = choose(
            model.framework if model else None, config, table, whole_request=whole_request
        )
        time = now()
        return InferenceService(
            key=key,
            revision=before.revision + 1 if before else 1,
            model=_ref(model),
            transformer=_ref(transformer),
            config=config,
            runtime=runtime,
            protocol=protocol,
            created_at=before.created_at if before else time,
            updated_at=time,
        )

    async def _with_paths(self, service: InferenceService) -> InferenceService:
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

    @contextlib.contextmanager
    def _keeping(self, *artifacts: Artifact | None) -> Iterator[None]:
        uris = [artifact.uri for artifact in artifacts if artifact]
        self._wanted.update(uris)
        try:
            yield
        finally:
            self._wanted.subtract(uris)

    async def _record(self, service: InferenceService) -> None:
        """The endpoint in the lineage. It serves all the same when this fails, so that is only logged."""
        try:
            inputs = []
            for artifact in (service.model, service.transformer):
                if artifact and (known := await self._recorded(artifact)):
                    inputs.append(known.id)
            await self._threads.metadata(
                self._metadata.record_endpoint,
                service.key.namespace,
                service.key.name,
                service.revision,
                inputs=inputs,
                created_at=service.created_at,
            )
        except KaleServeError as error:
            _log.error("Endpoint %s is not recorded: %s", service.key, error)

    async def _recorded(self, artifact: ArtifactRef) -> Artifact | None:
        try:
            found = await self._threads.metadata(self._metadata.get, artifact.id)
        except ArtifactNotFound:
            return None
        return found if found.digest == artifact.digest else None

    async def _view(self, service: InferenceService, *, asked_only: bool = False) -> dict[str, Any]:
        """The Service of the API."""
        key = service.key
        observed = None if asked_only else self._backend.observed(key)
        return {
            "name": key.name,
            "namespace": key.namespace,
            "target": self._backend.target,
            "revision": service.revision,
            "created_at": service.created_at,
            "updated_at": service.updated_at,
            "model": await self._artifact_view(service.model),
            "transformer": await self._artifact_view(service.transformer),
            "config": service.config.to_json(),
            "runtime": service.runtime,
            "protocol": service.protocol,
            **_offers(service, observed),
            "signature": None if service.signature is None else service.signature.to_json(),
            **status(service, observed).to_json(),
            "socket": str(paths.front_socket(key.namespace, key.name)),
            "url": f"{self._gateway}/serving/{key.namespace}/{key.name}",
        }

    async def _artifact_view(self, artifact: ArtifactRef | None) -> dict[str, Any] | None:
        if artifact is None:
            return None
        known = await self._recorded(artifact)
        # What is served goes on being told where the database lost it.
        return known.to_json() if known else {**artifact.to_json(), "key": f"artifact:{artifact.id}"}

    def _gone(self, key: ServiceKey, revision: int) -> None:
        self._told.pop(key, None)
        self._publish(key, revision, "Deleting", deleted=True)
        if self.idle is not None:
            self.idle.look()

    def _publish(self, key: ServiceKey, revision: int, state: str, *, deleted: bool) -> None:
        self._events.publish(
            {
                "kind": "service",
                "name": key.name,
                "namespace": key.namespace,
                "id": None,
                "revision": revision,
                "state": state,
                "deleted": deleted,
            }
        )


def _offers(service: InferenceService, observed: Observed | None) -> dict[str, Any]:
    """What the entry answers, as was seen of the revision at the front; before that what the table promises."""
    key = service.key
    seen = (
        observed.revision(observed.front if observed.front is not None else service.revision)
        if observed
        else None
    )
    row = next((one for one in RUNTIMES if one.name == service.runtime), None)
    protocols: tuple[str, ...] = seen.protocols if seen else ()
    if not protocols:
        found = served(row, service.model.framework) if row and service.model else None
        promised = found.protocols if found else (service.protocol,)
        protocols = tuple(one for one in promised if one == service.protocol or not one.startswith("grpc"))
    binary = seen.binary if seen else None
    grpc = any(one.startswith("grpc") for one in protocols)
    return {
        "protocols": list(protocols),
        "binary": binary if binary is not None else bool(row and row.binary),
        "grpc_socket": str(paths.grpc_socket(key.namespace, key.name)) if grpc else None,
    }


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
    """Raise `PreflightFailed` where a finding is an error."""
    if errors := [one for one in findings if one.severity == "error"]:
        raise PreflightFailed(
            f"{key.name} would not start: {errors[0].message}",
            subject=key.name,
            hint=errors[0].fix,
            details={"findings": [one.to_json() for one in findings]},
        )


def _key(name: Any, namespace: Any) -> ServiceKey:
    return ServiceKey(namespace, names.check_service_name(name, namespace))


def _ref(artifact: Artifact | None) -> ArtifactRef | None:
    return None if artifact is None else ArtifactRef.from_json(artifact.to_json())
