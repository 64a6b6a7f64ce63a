"""Where callers find a service, whatever its revision: one path for HTTP, and one for gRPC where it is offered."""

from __future__ import annotations

from kale_serve_lab import paths
from kale_serve_lab.backends.local import sockets
from kale_serve_lab.backends.local.around import Slot
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.serving.types import ServiceKey


class Front:
    """The front paths of one service."""

    def __init__(self, key: ServiceKey, slots: Slots) -> None:
        self._slots = slots
        self._http = paths.front_socket(key.namespace, key.name)
        self._grpc = paths.grpc_socket(key.namespace, key.name)

    def put(self, entry: Slot, *, grpc: bool) -> None:
        """Let both paths lead to this entry; whoever connects finds the old one or the new one, never none."""
        sockets.put_at_front(self._slots.path(entry), self._http)
        listeners = self._slots.listeners.get(entry)
        if grpc and listeners is not None and listeners.grpc is not None:
            sockets.put_at_front(self._slots.path(entry, "s"), self._grpc)
        else:
            sockets.remove(self._grpc)

    def is_at(self, entry: Slot) -> bool:
        """Whether this entry stands there."""
        return entry in self._slots.ids and sockets.same(self._slots.path(entry), self._http)

    def remove(self) -> None:
        """Nobody finds the service any more."""
        sockets.remove(self._http)
        sockets.remove(self._grpc)
