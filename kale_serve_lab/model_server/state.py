"""What the process is doing, as the daemon sees it on the control socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from kale_serve_lab.errors import KaleServeError

Phase = Literal["starting", "loading", "loaded", "failed", "draining"]


@dataclass
class State:
    """Belongs to the server thread; `watchers` are told of each change. `protocols` and `binary`: what is offered, once it is loaded."""

    phase: Phase = "starting"
    message: str = "The model server starts."
    error: KaleServeError | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    protocols: tuple[str, ...] = ()
    binary: bool | None = None
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def change(
        self,
        phase: Phase,
        message: str,
        *,
        error: KaleServeError | None = None,
        seconds: dict[str, float] | None = None,
    ) -> None:
        """Go to `phase` and tell the watchers."""
        self.phase, self.message, self.error = phase, message, error
        self.seconds.update(seconds or {})
        for watcher in list(self.watchers):
            watcher()

    def to_json(self) -> dict[str, Any]:
        """The `state` message of the control socket."""
        return {
            "type": "state",
            "state": self.phase,
            "message": self.message,
            "error": None if self.error is None else self.error.to_json()["error"],
            "protocols": list(self.protocols),
            "binary": self.binary,
            "seconds": {key: round(value, 6) for key, value in self.seconds.items()},
        }
