"""The Service of the API: what is asked, what is seen, and how it is reached."""

from __future__ import annotations

from typing import Any

from kale_serve_lab.backends.protocol import Backend
from kale_serve_lab.daemon.endpoints import Endpoints
from kale_serve_lab.serving.status import status
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, Status


class Views:
    """Services in the API's words; `gateway` is where programs without Unix sockets reach them."""

    def __init__(self, endpoints: Endpoints, gateway: str) -> None:
        self._endpoints, self._gateway = endpoints, gateway

    async def service(
        self, backend: Backend, service: InferenceService, *, asked_only: bool = False
    ) -> dict[str, Any]:
        """One service; with `asked_only` as it would begin."""
        key = service.key
        reach = backend.reach(service)
        seen = None if asked_only else backend.status(key)
        return {
            "name": key.name,
            "namespace": key.namespace,
            "target": backend.target,
            "managed": backend.managed(key),
            "revision": service.revision,
            "created_at": service.created_at,
            "updated_at": service.updated_at,
            "model": await self._artifact(service.model),
            "transformer": await self._artifact(service.transformer),
            "config": service.config.to_json(),
            "runtime": service.runtime,
            "protocol": service.protocol,
            "protocols": list(reach.protocols or (service.protocol,)),
            "binary": bool(reach.binary),
            "grpc_socket": reach.grpc_socket,
            "signature": None if service.signature is None else service.signature.to_json(),
            **(seen or nothing(service)).to_json(),
            "socket": reach.socket,
            "base": reach.base,
            "addresses": [address.to_json() for address in reach.addresses],
            "url": f"{self._gateway}/serving/{key.namespace}/{key.name}",
        }

    async def _artifact(self, artifact: ArtifactRef | None) -> dict[str, Any] | None:
        if artifact is None:
            return None
        known = await self._endpoints.recorded(artifact)
        # What is served goes on being told where the database lost it.
        return known.to_json() if known else {**artifact.to_json(), "key": f"artifact:{artifact.id}"}


def nothing(service: InferenceService) -> Status:
    """The status of a service of which nothing is there yet."""
    return status(service, None)
