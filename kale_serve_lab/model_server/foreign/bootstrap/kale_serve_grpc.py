"""Have a server's gRPC listen on a Unix socket, where the server itself knows only ports that all of the machine can reach."""

from __future__ import annotations

from typing import Any

from grpc import aio


def listen_on(path: str) -> None:
    """Every `grpc.aio.server()` made from now on listens there, whatever address it is given."""
    made = aio.server

    def server(*positional: Any, **named: Any) -> Any:
        found = made(*positional, **named)
        add = found.add_insecure_port
        found.add_insecure_port = lambda _: add(f"unix:{path}")
        return found

    aio.server = server
