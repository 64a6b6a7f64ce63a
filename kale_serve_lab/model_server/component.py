"""What a server process serves: a predictor or a transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server.http import Request, Response

Protocol_ = Literal["v1", "v2"]


class Component(Protocol):
    """Loaded once, then asked from the server thread."""

    platform: str

    def load(self) -> dict[str, float]:
        """In the main thread; returns `{"import": seconds, "load": seconds}`."""

    def infer(self, protocol: Protocol_, request: Request, respond: Callable[[Response], None]) -> None:
        """In the server thread; must not block and must call `respond` once, in the server thread."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the server's metadata lists."""

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Likewise."""
