"""The launch spec: what the local backend tells a model-server process about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kale_serve_lab.errors import InvalidConfig
from kale_serve_lab.inference.signature import Signature


@dataclass(frozen=True)
class RuntimeSpec:
    """The server that we did not write: which one, by which interpreter, and where it may put its files.

    `command` is the user's own command with its arguments; `env` are the user's variables. `programs` are the paths of what
    the runtime needs from PATH. `work` is the process's private folder; the child may listen on `http_socket`.
    """

    name: str
    adapter: str
    python: str
    binary: bool
    protocols: tuple[str, ...]
    command: tuple[str, ...]
    env: Mapping[str, str]
    programs: Mapping[str, str]
    work: Path
    http_socket: Path

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RuntimeSpec:
        """Raises `KeyError` where a key is missing."""
        return cls(
            name=str(value["name"]),
            adapter=str(value["adapter"]),
            python=str(value["python"]),
            binary=bool(value.get("binary")),
            protocols=tuple(value.get("protocols") or ()),
            command=tuple(value.get("command") or ()),
            env=dict(value.get("env") or {}),
            programs=dict(value.get("programs") or {}),
            work=Path(value["work"]),
            http_socket=Path(value["http_socket"]),
        )


@dataclass(frozen=True)
class PredictorAddress:
    """Where a transformer's predictor is, over TCP; `seconds` is how long one answer of it may take."""

    host: str
    port: int
    tls: bool = False
    seconds: float = 600.0

    @property
    def named(self) -> str:
        """As a Host header has it."""
        return self.host if self.port == (443 if self.tls else 80) else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class LaunchSpec:
    """docs/interfaces.md, "Model-server process". The descriptors are *listening* Unix sockets that the daemon bound.

    `protocol` is the service's; `runtime` None is the built-in server. `grpc_behind` is where this process's own gRPC server
    listens (or its child's), for the connections that come by `grpc_fd`.

    In a container the doors are TCP sockets and nobody controls the process (`control_fd` None): its gRPC listens at
    `grpc_address`, a transformer's predictor is at `predictor` and not behind Unix sockets, and at its end it takes requests
    for `linger_seconds` more and finishes what is in flight in `grace_seconds`.
    """

    component: Literal["predictor", "transformer"]
    service: str
    namespace: str
    revision: int
    nonce: str
    artifact_dir: Path
    framework: str | None
    class_name: str | None
    signature: Signature | None
    method: str | None
    listen_fd: int
    control_fd: int | None
    predictor_socket: str | None
    protocol: Literal["v1", "v2", "grpc-v1", "grpc-v2"]
    model_name: str
    max_body_bytes: int
    grpc_fd: int | None = None
    grpc_behind: Path | None = None
    predictor_grpc_socket: str | None = None
    runtime: RuntimeSpec | None = None
    grpc_address: str | None = None
    predictor: PredictorAddress | None = None
    linger_seconds: float = 0.0
    grace_seconds: float = 5.0

    @classmethod
    def from_json(
        cls,
        value: dict[str, Any],
        *,
        listen_fd: int | None = None,
        control_fd: int | None = None,
        grpc_fd: int | None = None,
    ) -> LaunchSpec:
        """Reads the daemon's JSON; the descriptors of a forked server came beside it and win.

        Raises `InvalidConfig` where a key is missing.
        """
        try:
            signature, runtime, protocol = value.get("signature"), value.get("runtime"), value.get("protocol")
            behind = value.get("grpc_behind")
            if grpc_fd is None and value.get("grpc_fd") is not None:
                grpc_fd = int(value["grpc_fd"])
            return cls(
                component="transformer" if value["component"] == "transformer" else "predictor",
                service=str(value["service"]),
                namespace=str(value["namespace"]),
                revision=int(value["revision"]),
                nonce=str(value["nonce"]),
                artifact_dir=Path(value["artifact_dir"]),
                framework=value.get("framework"),
                class_name=value.get("class_name"),
                signature=None if signature is None else Signature.from_json(signature),
                method=value.get("method"),
                listen_fd=int(value["listen_fd"]) if listen_fd is None else listen_fd,
                control_fd=int(value["control_fd"]) if control_fd is None else control_fd,
                predictor_socket=value.get("predictor_socket"),
                protocol=protocol if protocol in ("v1", "grpc-v1", "grpc-v2") else "v2",
                model_name=str(value.get("model_name") or value["service"]),
                max_body_bytes=int(value.get("max_body_bytes") or 1 << 30),
                grpc_fd=grpc_fd,
                grpc_behind=None if behind is None else Path(behind),
                predictor_grpc_socket=value.get("predictor_grpc_socket"),
                runtime=None if runtime is None else RuntimeSpec.from_json(runtime),
            )
        except KeyError as error:
            raise InvalidConfig(
                f"The launch spec has no {error.args[0]}.", subject=str(value.get("service"))
            ) from error
