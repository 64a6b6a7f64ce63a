"""A revision's files put where the cluster reads them, with progress, and given up when the revision is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kale_serve_lab.backends.kserve.around import Around
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.kserve.seen import Publishing
from kale_serve_lab.serving.kserve.volumes import is_rok
from kale_serve_lab.serving.types import ArtifactRef, InferenceService

# A panel shows no more than that.
TELL_SECONDS = 0.5


class Upload:
    """One try; `told` is called as it goes on."""

    def __init__(self, service: InferenceService, around: Around, told: Callable[[], None]) -> None:
        self._service, self._around, self._told = service, around, told
        self._cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._told_at = 0.0
        self.publishing = Publishing(0, 0, "")

    def cancel(self) -> None:
        """Give up soon; what is there already stays for the next try."""
        self._cancelled.set()

    async def run(self) -> dict[str, Placed] | None:
        """Where each component's files are; None where it was given up. Raises what publishers raise."""
        placed: dict[str, Placed] = {}
        try:
            for component, artifact in parts(self._service):
                self.publishing = Publishing(0, 0, f"{artifact.name} {artifact.version}")
                send = partial(self._send, component, artifact)
                placed[component] = await self._around.upload(send)
        except BaseException:
            given_up = self._cancelled.is_set()
            self.cancel()
            if given_up:
                return None
            raise
        return placed

    def _send(self, component: str, artifact: ArtifactRef) -> Placed:
        return self._around.publishing.publish(
            self._around.cluster,
            self._service,
            component,
            artifact,
            self._progress,
            self._cancelled.is_set,
        )

    def _progress(self, done: int, total: int) -> None:
        self._loop.call_soon_threadsafe(self._put, done, total)

    def _put(self, done: int, total: int) -> None:
        self.publishing = Publishing(done, total, self.publishing.message)
        now = self._loop.time()
        if done == total or now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._told()


def parts(service: InferenceService) -> list[tuple[str, ArtifactRef]]:
    """The artifacts of the components that must be where the cluster finds them; not a model that lies elsewhere already."""
    storage = service.config.storage or {}
    model = service.model
    if model is not None and is_rok(storage.get("uri")):
        model = replace(model, uri=storage["uri"])
    elif any(storage.get(key) for key in ("uri", "key", "path")):
        model = None
    found = (("predictor", model), ("transformer", service.transformer))
    return [(component, artifact) for component, artifact in found if artifact is not None]
