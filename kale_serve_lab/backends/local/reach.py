"""How a service of this machine is reached: the sockets at its front, and what they offer."""

from __future__ import annotations

from kale_serve_lab import paths
from kale_serve_lab.serving.runtimes import RUNTIMES, served
from kale_serve_lab.serving.types import InferenceService, Observed, Protocol, Reach, protocol_of


def reach(service: InferenceService, observed: Observed | None) -> Reach:
    """What the entry answers, as was seen of the revision at the front; before that what the table promises."""
    key = service.key
    seen = (
        observed.revision(observed.front if observed.front is not None else service.revision)
        if observed
        else None
    )
    row = next((one for one in RUNTIMES if one.name == service.runtime), None)
    protocols: tuple[Protocol, ...] = seen.protocols if seen else ()
    if not protocols:
        found = served(row, service.model.framework) if row and service.model else None
        promised = found.protocols if found else (service.protocol,)
        protocols = tuple(
            protocol_of(one) for one in promised if one == service.protocol or not one.startswith("grpc")
        )
    binary = seen.binary if seen else None
    grpc = any(one.startswith("grpc") for one in protocols)
    return Reach(
        protocols=protocols,
        binary=binary if binary is not None else bool(row and row.binary),
        socket=str(paths.front_socket(key.namespace, key.name)),
        grpc_socket=str(paths.grpc_socket(key.namespace, key.name)) if grpc else None,
    )
