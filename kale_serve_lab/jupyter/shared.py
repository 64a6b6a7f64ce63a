"""What the handlers ask of the extension, so that they need not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.jupyter.events import EventFollower
from kale_serve_lab.jupyter.fronts import Fronts

T = TypeVar("T")


class Shared(Protocol):
    """One for all handlers of a Jupyter server; `KaleServeApp` is it."""

    client: AsyncClient
    fronts: Fronts
    events: EventFollower

    @property
    def heartbeat_seconds(self) -> float:
        """Seconds of silence after which a followed log sends a comment."""

    @property
    def max_prediction_bytes(self) -> int:
        """The longest body of a prediction's request and of its answer."""

    async def in_thread(self, call: Callable[[], T]) -> T:
        """The result of a call that waits for disk or socket."""
