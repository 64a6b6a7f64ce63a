"""When a process has ended by itself: whether its revision has failed, or after how long it is started again."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import Any

from kale_serve_lab.backends.local.around import Slot
from kale_serve_lab.backends.local.book import Book
from kale_serve_lab.backends.local.process import Process
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.errors import KaleServeError, LoadTimeout, ModelLoadFailed, from_json
from kale_serve_lab.serving.types import ObservedRevision

# A server that has stayed up this long starts to count its restarts anew.
STEADY_SECONDS = 60.0


class Restarts:
    """Judges the ends of one service's processes."""

    def __init__(self, book: Book, slots: Slots, backoff: tuple[float, ...]) -> None:
        self._book, self._slots, self._backoff = book, slots, backoff
        self._loop = asyncio.get_running_loop()

    def ended(self, process: Process, slot: Slot, revision: ObservedRevision) -> None:
        """Start it again after its back-off, or let the revision fail."""
        book, (number, component) = self._book, slot
        part = next(found for found in revision.components if found.component == component)
        steady = process.loaded_at is not None and self._loop.time() - process.loaded_at > STEADY_SECONDS
        tries = 0 if steady else part.tries
        how = process.how_it_ended()
        if number not in book.record.proven or tries >= len(self._backoff):
            loading = part.phase in ("starting", "loading")
            book.fail(number, _ended(process, slot, book.key.name, tries=tries, loading=loading))
            return
        book.put(replace(revision, phase="loading"))
        book.set(slot, phase="ended", pid=None, message=how, tries=tries, ended=how)
        self._slots.call_later(slot, self._backoff[tries], lambda: self._due(slot))
        book.save()

    def said_failed(self, process: Process, number: int) -> None:
        """It says itself why it fails; one that has served before is tried again once it has exited."""
        if number not in self._book.record.proven:
            self._book.fail(number, from_json(process.state.get("error") or {"code": "ModelLoadFailed"}))

    def not_loaded_in_time(self, slot: Slot, process: Process) -> None:
        """The load's time is over: the revision fails, and one that has served before is ended and tried again."""
        if self._slots.processes.get(slot) is not process:
            return
        if slot[0] in self._book.record.proven:
            process.signal(signal.SIGKILL)
            return
        seconds = self._book.record.specs[slot[0]].config.load_seconds
        name = self._book.key.name
        self._book.fail(
            slot[0],
            LoadTimeout(
                f"The {slot[1]} of {name} has not loaded within {seconds:g} s.",
                subject=name,
                hint="If it only needs longer: ServeConfig(timeout=…) in seconds.",
                details={"component": slot[1]},
            ),
        )

    def _due(self, slot: Slot) -> None:
        if self._book.has(slot):
            self._book.set(slot, phase="due")


def _ended(process: Process, slot: Slot, name: str, *, tries: int, loading: bool) -> KaleServeError:
    what = "ended while it loaded" if loading else "ended"
    again = f" {tries} times" if tries else ""
    details: dict[str, Any] = {"component": slot[1], "exit": process.exit_status}
    return ModelLoadFailed(
        f"The {slot[1]} of {name} {what}{again}: {process.how_it_ended()}.",
        subject=name,
        hint="Give it more by ServeConfig(limits={'memory': …}), or serve a smaller model."
        if process.killed_for
        else "Its last words are in the log; mend the model and serve it again.",
        details=details | ({} if loading else {"stage": "predict"}),
    )
