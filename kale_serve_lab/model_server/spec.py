"""The launch spec: what the local backend tells a model-server process about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kale_serve_lab.errors import InvalidConfig
from kale_serve_lab.inference.signature import Signature


@dataclass(frozen=True)
class LaunchSpec:
    """docs/interfaces.md, "Model-server process". Both descriptors are *listening* Unix sockets that the daemon bound."""

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
    control_fd: int
    predictor_socket: str | None
    protocol: Literal["v1", "v2"]
    model_name: str
    max_body_bytes: int

    @classmethod
    def from_json(
        cls, value: dict[str, Any], *, listen_fd: int | None = None, control_fd: int | None = None
    ) -> LaunchSpec:
        """Reads the daemon's JSON; the descriptors of a forked server came beside it and win.

        Raises `InvalidConfig` where a key is missing.
        """
        try:
            signature = value.get("signature")
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
                protocol="v1" if value.get("protocol") == "v1" else "v2",
                model_name=str(value.get("model_name") or value["service"]),
                max_body_bytes=int(value.get("max_body_bytes") or 1 << 30),
            )
        except KeyError as error:
            raise InvalidConfig(
                f"The launch spec has no {error.args[0]}.", subject=str(value.get("service"))
            ) from error
