"""What the daemon asks of a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.runtimes import Runtime
from kale_serve_lab.serving.types import InferenceService, Reach, ServiceKey, Status


class Backend(Protocol):
    """Realises InferenceServices. All calls come from one event loop, that of the process's main thread.

    `target` is its name; `namespace` is meant where a caller names none.
    """

    target: str

    @property
    def namespace(self) -> str:
        """The namespace that is meant where a caller names none."""

    async def start(self, changed: Callable[[ServiceKey], None]) -> None:
        """Take over what already runs, then go on. `changed` is called whenever `status` of a service may differ."""

    async def apply(self, service: InferenceService, *, overwrite: bool = False) -> None:
        """Ask for this revision; accepted and durable when it returns. Of several, the highest revision is meant.

        An older revision than the one that is asked already changes nothing. Raises `Conflict` while it is being deleted,
        `NameTaken` where somebody else's object has the name. `overwrite` takes back what others have changed or made.
        """

    async def delete(self, key: ServiceKey) -> None:
        """Nothing of the service is left when it returns. Raises `EndpointNotFound`, and `Forbidden` where it is not ours."""

    async def pause(self, key: ServiceKey) -> None:
        """Let go of what serves, keep the service. Raises `EndpointNotFound`, and `InvalidRequest` where this cannot be."""

    async def resume(self, key: ServiceKey) -> None:
        """Serve again. Raises as `pause`."""

    async def check(self, service: InferenceService) -> list[Finding]:
        """What only the backend can see of what would go wrong: rights, names, the server's own checks."""

    async def render(self, service: InferenceService) -> Mapping[str, Any] | None:
        """The object that `apply` would send; None where there is none."""

    async def runtimes(self, namespace: str) -> tuple[Runtime, ...] | None:
        """The kinds of model servers that a service of this namespace may choose from; None: the table of this machine."""

    def status(self, key: ServiceKey) -> Status | None:
        """What is there now, in words; None where there is nothing."""

    def reach(self, service: InferenceService) -> Reach:
        """How its predictions are reached, or will be; `service` is `desired(key)`, or what is to be applied."""

    def desired(self, key: ServiceKey) -> InferenceService | None:
        """What is asked; of an object that is not ours, as much as can be read off it, as revision 0."""

    def managed(self, key: ServiceKey) -> bool:
        """Whether it was made by us; what others have made is shown and predicted with, and not changed."""

    def revisions(self, key: ServiceKey) -> list[InferenceService]:
        """What is asked, and the older revisions of which something is still there."""

    def keys(self) -> list[ServiceKey]:
        """All services, sorted."""

    def busy(self) -> bool:
        """Whether something would not go on without this process."""

    def objects(self, key: ServiceKey) -> Mapping[str, Any]:
        """{applied, live, yaml, drift}: what we sent and what is there. Raises `EndpointNotFound`, `InvalidRequest` where there is none."""

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

    def about(self) -> dict[str, Any]:
        """Its entry of `GET /api/targets`."""

    async def close(self, *, stop_services: bool) -> None:
        """Let go of everything; the services run on unless `stop_services`, which deletes those that live by this process."""
