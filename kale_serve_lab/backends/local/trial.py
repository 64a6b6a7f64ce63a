"""What stands between loaded and ready: a prediction of the revision's own sample, by each of its components."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from kale_serve_lab.backends.local import sample
from kale_serve_lab.backends.local.book import Book
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.errors import KaleServeError, PredictFailed
from kale_serve_lab.serving.types import ComponentName, InferenceService

_CRASH_SECONDS = 1.0


class Trial:
    """Tries revisions of one service."""

    def __init__(self, book: Book, slots: Slots) -> None:
        self._book, self._slots = book, slots
        self._loop = asyncio.get_running_loop()

    async def run(self, number: int, proven: Callable[[InferenceService], None]) -> None:
        """Have the revision predict; it is ready, or has failed, when this returns. `proven` is called for the first."""
        book = self._book
        spec = book.record.specs[number]
        began = self._loop.time()
        try:
            await asyncio.wait_for(self._predict(spec), spec.config.load_seconds)
        except asyncio.TimeoutError:
            book.fail(
                number,
                PredictFailed(
                    f"{spec.key.name} loads but has not predicted its own sample within {spec.config.load_seconds:g} s.",
                    subject=spec.key.name,
                    hint="Give ServeConfig(timeout=…) more seconds, or a smaller sample.",
                    details={"stage": "predict"},
                ),
            )
            return
        except KaleServeError as error:
            book.fail(number, error)
            return
        except (OSError, ValueError) as error:
            await self._after_lost_connection(number, error)
            return
        revision = book.observed.revision(number)
        if revision is None or revision.phase != "trying":
            return
        book.record.proven.add(number)
        seconds = dict(revision.seconds) | {"predict": self._loop.time() - began}
        book.put(replace(revision, phase="ready", seconds=seconds))
        book.begin(number, "ready")
        book.save()
        book.tell()
        proven(spec)

    async def _predict(self, spec: InferenceService) -> None:
        for component in spec.components:
            artifact = spec.model if component == "predictor" else spec.transformer
            await sample.predict(
                self._slots.path((spec.revision, component)),
                spec.key.name,
                artifact.signature if artifact is not None else None,
                self._protocol(spec, component),
            )

    def _protocol(self, spec: InferenceService, component: ComponentName) -> str:
        """The one of v1 and v2 that the service speaks, or that the component can."""
        asked = "v1" if spec.protocol in ("v1", "grpc-v1") else "v2"
        process = self._slots.processes.get((spec.revision, component))
        offered = process.protocols if process is not None else ()
        other = "v2" if asked == "v1" else "v1"
        return other if offered and asked not in offered and other in offered else asked

    async def _after_lost_connection(self, number: int, error: Exception) -> None:
        # A crash has two signs, the connection's end and the exit; the exit says more and comes a moment later.
        waits = [asyncio.ensure_future(process.exited.wait()) for process in self._slots.of(number)]
        done, _ = (
            await asyncio.wait(waits, timeout=_CRASH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if waits
            else (set(), None)
        )
        for wait in waits:
            wait.cancel()
        if not done:
            name = self._book.key.name
            self._book.fail(
                number,
                PredictFailed(
                    f"{name} loads but gave no answer to its own sample: {error}",
                    subject=name,
                    details={"stage": "predict"},
                ),
            )
