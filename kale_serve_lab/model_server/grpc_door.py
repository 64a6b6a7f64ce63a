"""The service's gRPC socket in this process: what stands behind it, and its orderly end."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from kale_serve_lab.model_server.component import Component, TensorComponent
from kale_serve_lab.model_server.relay import Relay
from kale_serve_lab.model_server.spec import LaunchSpec

if TYPE_CHECKING:
    from kale_serve_lab.model_server.foreign.component import Foreign
    from kale_serve_lab.model_server.grpc_server import GrpcServer

_HTTP = ("v1", "v2")

log = logging.getLogger("kale_serve_lab.model_server")


class GrpcDoor:
    """`protocols` are those that the process offers in all, HTTP's included; without gRPC the rest does nothing.

    The built-in server's gRPC is started by the first connection: importing grpcio takes longer than loading a small model.
    """

    def __init__(self, spec: LaunchSpec, component: Component) -> None:
        self._spec = spec
        self._server: GrpcServer | None = None
        self._starting = asyncio.Lock()
        self._relay: Relay | None = None
        # A TCP address of its own is listened at before this is done.
        self.opening: asyncio.Task[None] | None = None
        self.protocols: tuple[str, ...] = _HTTP
        behind: Callable[[], Awaitable[str]] | None = None
        if spec.runtime is not None:
            foreign = cast("Foreign", component)
            self.protocols = foreign.protocols
            behind = foreign.grpc_address if foreign.offers_grpc else None
        elif (
            (spec.grpc_behind is not None or spec.grpc_address is not None)
            and hasattr(component, "infer_tensors")
            and _has_grpcio()
        ):
            self.protocols = (*_HTTP, "grpc-v2")
            self._component = cast("TensorComponent", component)
            behind = self._started
            if spec.grpc_address is not None:
                self.opening = asyncio.get_running_loop().create_task(self._opened(spec.grpc_address))
        if spec.grpc_fd is not None and behind is not None:
            self._relay = Relay(socket.socket(fileno=spec.grpc_fd), behind)

    @property
    def in_flight(self) -> int:
        """Calls that are not answered yet."""
        return 0 if self._relay is None else self._relay.in_flight

    async def drain(self) -> None:
        """Answer who is there or still comes by the old path; return when none is left."""
        if self._relay is not None:
            await self._relay.drain()
        await self._stop()

    async def finish_in_flight(self, seconds: float) -> None:
        """Accept no more; give the calls that are open this long."""
        if self._relay is not None:
            await self._relay.finish_in_flight(seconds)
        await self._stop(seconds if self._relay is None else 0)

    async def _opened(self, address: str) -> None:
        from kale_serve_lab.model_server import grpc_server

        try:
            self._server = await grpc_server.start(self._component, self._spec, address)
        except (OSError, RuntimeError) as error:
            log.error("gRPC cannot be offered at %s: %s", address, error)

    async def _started(self) -> str:
        path = self._spec.grpc_behind
        assert path is not None
        async with self._starting:
            if self._server is None:
                from kale_serve_lab.model_server import grpc_server

                path.unlink(missing_ok=True)
                self._server = await grpc_server.start(self._component, self._spec, f"unix:{path}")
        return f"unix:{path}"

    async def _stop(self, seconds: float = 0) -> None:
        if self._server is not None:
            await self._server.stop(seconds)


def _has_grpcio() -> bool:
    return importlib.util.find_spec("grpc") is not None
