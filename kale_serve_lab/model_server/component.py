"""What a server process serves: a predictor or a transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.inference import v2
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server.http import Request, Response

Protocol_ = Literal["v1", "v2"]
Told = Callable[[v2.InferResponse | KaleServeError], None]


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


class TensorComponent(Component, Protocol):
    """One that also predicts without HTTP: what the built-in gRPC server asks."""

    def infer_tensors(self, asked: v2.InferRequest, headers: Mapping[str, str], respond: Told) -> None:
        """As `infer`; `respond` gets the answer or the error."""
