"""What the daemon asks of a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from kale_serve_lab.serving.types import InferenceService, Observed, ServiceKey


class Backend(Protocol):
    """Realises InferenceServices. All calls come from one event loop, that of the process's main thread."""

    target: str

    async def start(self, changed: Callable[[ServiceKey], None]) -> None:
        """Take over what already runs, then go on. `changed` is called whenever `observed` of a service may differ."""

    async def apply(self, service: InferenceService) -> None:
        """Ask for this revision; accepted and durable when it returns. Of several, the highest revision is meant.

        An older revision than the one that is asked already changes nothing. Raises `Conflict` while it is being deleted.
        """

    async def delete(self, key: ServiceKey) -> None:
        """Nothing of the service is left when it returns. Raises `EndpointNotFound`."""

    def observed(self, key: ServiceKey) -> Observed | None:
        """What is there now."""

    def desired(self, key: ServiceKey) -> InferenceService | None:
        """What is asked."""

    def revisions(self, key: ServiceKey) -> list[InferenceService]:
        """What is asked, and the older revisions of which something is still there."""

    def keys(self) -> list[ServiceKey]:
        """All services, sorted."""

    def logs(
        self,
        key: ServiceKey,
        *,
        component: str | None = None,
        revision: int | None = None,
        tail: int = 200,
        follow: bool = False,
    ) -> AsyncIterator[str]:
        """Pieces of the log's text: its last `tail` lines, and with `follow` what is written until the service is gone.

        `component` is by default the predictor, `revision` the newest that has a log. Raises `EndpointNotFound`.
        """

    async def close(self, *, stop_services: bool) -> None:
        """Let go of everything; the services run on unless `stop_services`, which deletes them all."""
