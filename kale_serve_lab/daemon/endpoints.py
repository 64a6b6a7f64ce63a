"""Endpoints in the lineage: what each service is made from, on whichever target it runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.errors import ArtifactNotFound, KaleServeError
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import ENDPOINT_TYPE, Artifact, Query
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

_log = logging.getLogger(__name__)
LOCAL = "local"


class Endpoints:
    """Records services as artifacts of type `kale.Endpoint`; one name on two targets is two of them."""

    def __init__(self, metadata: MetadataStore, threads: Threads) -> None:
        self._metadata, self._threads = metadata, threads

    async def record(self, service: InferenceService) -> None:
        """The endpoint in the lineage. It serves all the same when this fails, so that is only logged."""
        try:
            inputs = []
            for artifact in (service.model, service.transformer):
                if artifact and (known := await self.recorded(artifact)):
                    inputs.append(known.id)
            await self._threads.metadata(
                self._metadata.record_endpoint,
                service.key.namespace,
                service.key.name,
                service.revision,
                inputs=inputs,
                created_at=service.created_at,
                target=service.target,
            )
        except KaleServeError as error:
            _log.error("Endpoint %s is not recorded: %s", service.key, error)

    async def forget(self, target: str, key: ServiceKey) -> None:
        """It is there no more; nothing happens to one of that name on another target."""
        await self._threads.metadata(self._metadata.delete_endpoint, key.namespace, key.name, target)

    async def reconcile(self, target: str, services: Iterable[InferenceService]) -> None:
        """Make the recorded endpoints of a target those that are there: a crash may lie between the two."""
        live = set()
        for service in services:
            await self.record(service)
            live.add(service.key)
        page = await self._threads.metadata(self._metadata.list, Query(types=(ENDPOINT_TYPE,), limit=10_000))
        for endpoint in page.items:
            key = ServiceKey(str(endpoint.properties.get("namespace")), endpoint.name)
            if key not in live and (endpoint.properties.get("target") or LOCAL) == target:
                await self.forget(target, key)

    async def recorded(self, artifact: ArtifactRef) -> Artifact | None:
        """What is recorded of this very content; None where the database lost it."""
        try:
            found = await self._threads.metadata(self._metadata.get, artifact.id)
        except ArtifactNotFound:
            return None
        return found if found.digest == artifact.digest else None
