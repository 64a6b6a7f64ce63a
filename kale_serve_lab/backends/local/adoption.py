"""Taking a service over from an earlier daemon: which of its processes are there, and which revision stands at the front."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from kale_serve_lab.backends.local import procs, sockets
from kale_serve_lab.backends.local.around import Slot, Surroundings
from kale_serve_lab.backends.local.book import Book
from kale_serve_lab.backends.local.front import Front
from kale_serve_lab.backends.local.process import Process
from kale_serve_lab.backends.local.records import ProcessRecord
from kale_serve_lab.backends.local.slots import Listeners, Slots
from kale_serve_lab.serving.types import ObservedComponent, ObservedRevision, RevisionPhase


async def adopt(
    book: Book,
    slots: Slots,
    front: Front,
    around: Surroundings,
    changed: Callable[[Process, Slot], None],
) -> None:
    """Fill `slots` and `book` with what is there; `changed` is what each process then reports to."""
    record = book.record
    if record.boot_id != procs.boot_id():
        record.processes = []
        record.boot_id = procs.boot_id()
    await asyncio.gather(*(_adopt_one(slots, around, process, changed) for process in record.processes))
    for number in record.specs:
        _see(book, slots, front, number)
    for slot, process in list(slots.processes.items()):
        changed(process, slot)
    for revision in book.observed.revisions:
        loaded = all(part.phase == "loaded" for part in revision.components)
        if revision.phase == "loading" and revision.number in record.proven and loaded:
            book.put(replace(revision, phase="ready"))
    for number in list(record.specs):
        if book.observed.revision(number) is None and number != book.desired.revision:
            book.forget(number)
    book.save()


async def _adopt_one(
    slots: Slots, around: Surroundings, record: ProcessRecord, changed: Callable[[Process, Slot], None]
) -> None:
    slot = (record.revision, record.component)
    slots.ids[slot] = record.id
    process = Process(record, lambda process: changed(process, slot), around.pool)
    found = await process.adopt(slots.path(slot, "c"))
    if not found:
        sockets.remove(slots.path(slot, "c"))
        return
    slots.processes[slot] = process
    slots.listeners[slot] = Listeners(found[0], found[1] if len(found) > 1 else None)


def _see(book: Book, slots: Slots, front: Front, number: int) -> None:
    record, spec = book.record, book.record.specs[number]
    if number in record.failed:
        book.put(ObservedRevision(number, "failed", error=record.failed[number]))
        return
    every: list[Slot] = [(number, component) for component in spec.components]
    alive = [slot for slot in every if slot in slots.processes]
    at_front = front.is_at(every[-1])
    if not alive and not at_front:
        return
    draining = any(slots.processes[slot].state.get("state") == "draining" for slot in alive)
    phase: RevisionPhase = "draining" if draining else "loading"
    parts = tuple(
        ObservedComponent(slot[1], number, phase="loading")
        if slot in slots.processes
        else ObservedComponent(slot[1], number, phase="due", message="it had ended")
        for slot in every
    )
    book.put(
        ObservedRevision(
            number,
            phase,
            parts,
            seconds=record.seconds.get(number, {}),
            warnings=tuple(record.warnings.get(number, ())),
        )
    )
    if at_front:
        book.observed = replace(book.observed, front=number)
