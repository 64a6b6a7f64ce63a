"""What an adapter is given, and what it gives back: how its server is started and where it will answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kale_serve_lab.model_server.spec import LaunchSpec, RuntimeSpec


@dataclass(frozen=True)
class Given:
    """Everything that this start may use. Nothing else of the machine is the adapter's.

    `folder` is the artifact's folder, read-only (it is the store's own); `work` is private (0700) and goes with the
    process. The child starts in `work`. Ports are free on 127.0.0.1; the socket paths are short enough for the kernel.
    """

    spec: LaunchSpec
    runtime: RuntimeSpec
    folder: Path
    work: Path
    python: Path
    http_port: int
    grpc_port: int
    http_socket: Path
    grpc_socket: Path


@dataclass(frozen=True)
class Launch:
    """How the child is started and reached.

    `env` is added to the environment that the child gets. `http` is where it will listen: (host, port) or a Unix socket;
    `grpc` is "unix:/path", "127.0.0.1:port" or None, and speaks `grpc_protocol`. `ready_path` answers 200 once the **model** is ready (None: nobody listens before). `paths` says
    which of v1 and v2 the server speaks and where it takes predictions, under its own name for the model. `needs_id`: a v2
    request without an id gets one. `headers` gives what each of our requests carries beside its own, for a server that makes up
    a secret as it starts: it is called until the server is ready. `instead` is a Unix socket that the server may choose to
    listen on in place of `http`. `any_answer`: nothing is known of the server, and each answer that is no 5xx says that it is
    ready, as a connection does in a cluster. `version`: what the server's own version is, for the log.
    """

    argv: Sequence[str]
    http: tuple[str, int] | Path
    ready_path: str | None
    paths: Mapping[str, str]
    env: Mapping[str, str] = field(default_factory=dict)
    grpc: str | None = None
    grpc_protocol: str = "grpc-v2"
    needs_id: bool = False
    headers: Callable[[], Mapping[str, str]] = dict
    instead: Path | None = None
    any_answer: bool = False
    version: str | None = None
