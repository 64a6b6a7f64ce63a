"""One service: carries out what `plan` says, and tells it what came of it.

Everything runs in one event loop. `_wake` after each change of what is seen; the loop plans, marks the actions as begun
(`after`), and starts them. Work that takes time is a task that ends by changing what is seen again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.local import adoption, procs
from kale_serve_lab.backends.local.around import Slot, Surroundings
from kale_serve_lab.backends.local.book import Book
from kale_serve_lab.backends.local.front import Front
from kale_serve_lab.backends.local.launching import Launcher
from kale_serve_lab.backends.local.process import Process
from kale_serve_lab.backends.local.records import ProcessRecord, Record
from kale_serve_lab.backends.local.restarts import Restarts
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.backends.local.trial import Trial
from kale_serve_lab.errors import KaleServeError, ModelLoadFailed
from kale_serve_lab.serving.plan import after, plan
from kale_serve_lab.serving.types import (
    Action,
    ComponentName,
    InferenceService,
    Observed,
    ServiceKey,
)

log = logging.getLogger("kale_serve_lab.backends.local")

DRAIN_SECONDS = 600.0


class Service:
    """`changed` is called whenever `observed` or `desired` may differ."""

    def __init__(self, record: Record, around: Surroundings, changed: Callable[[ServiceKey], None]) -> None:
        self._around = around
        self._changed = changed
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._slots = Slots(around.work_dir)
        self._book = Book(record, around, self._slots, self._told)
        self._front = Front(self._book.key, self._slots)
        self._launcher = Launcher(self._book, self._slots, around)
        self._trial = Trial(self._book, self._slots)
        self._restarts = Restarts(self._book, self._slots, around.backoff)
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    @property
    def key(self) -> ServiceKey:
        """Its name."""
        return self._book.key

    @property
    def record(self) -> Record:
        """What lasts of it."""
        return self._book.record

    @property
    def desired(self) -> InferenceService:
        """What is asked."""
        return self._book.desired

    @property
    def observed(self) -> Observed:
        """What is there."""
        return self._book.observed

    @property
    def gone(self) -> asyncio.Event:
        """Set when nothing of it is left."""
        return self._book.gone

    def log_path(self, component: str, revision: int) -> Path:
        """The log of one component of one revision."""
        return self._book.log_path(component, revision)

    def live_logs(self) -> list[Path]:
        """The logs that are being written."""
        return [self.log_path(component, revision) for revision, component in self._slots.processes]

    # -- asked from outside

    def run(self) -> None:
        """Begin to act."""
        self._runner = self._loop.create_task(self._run())
        self._wake.set()

    def ask(self, service: InferenceService) -> None:
        """Durable when it returns; an older revision than the one asked already changes nothing."""
        if (
            service.revision < self.record.desired.revision
            or self.record.specs.get(service.revision) == service
        ):
            return
        self.record.desired = service
        self.record.specs[service.revision] = service
        self._book.save(durable=True)
        self._book.tell()

    async def delete(self) -> None:
        """Nothing of it is left when this returns."""
        if not self.record.deleting:
            self.record.deleting = True
            self._book.save(durable=True)
            self._book.observed = replace(self.observed, deleting=True)
            self._front.remove()
            self._book.tell()
        await self.gone.wait()

    async def let_go(self) -> None:
        """Stop acting; the processes run on."""
        tasks = [task for task in (self._runner, *self._tasks, *self._slots.endings) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._slots.let_go()

    async def adopt(self) -> None:
        """Take over what an earlier daemon has left."""
        await adoption.adopt(self._book, self._slots, self._front, self._around, self._on_process)

    def end_stopped(self, seen: set[int]) -> set[int]:
        """Kill the servers that are stopped (SIGSTOP) now and were so at the last look; those that are stopped now."""
        stopped = set()
        for process in self._slots.processes.values():
            if process.pid is not None and not process.exited.is_set() and procs.is_stopped(process.pid):
                stopped.add(process.pid)
                if process.pid in seen:
                    log.warning("%s: process %d is stopped and is replaced", self.key, process.pid)
                    process.signal(signal.SIGKILL)
        return stopped

    def end_too_large(self) -> None:
        """Kill the servers that hold more memory than their `limits.memory`; they are restarted like those that crash."""
        for (number, component), process in self._slots.processes.items():
            limit = self.record.specs[number].config.memory_limit(component)
            if limit is None or process.pid is None or process.exited.is_set():
                continue
            held = procs.memory_of_group(process.pid)
            if held > limit:
                process.killed_for = (
                    f"it held {held >> 20:,} MiB of memory, above its limit of {limit / (1 << 20):,.0f} MiB"
                )
                log.warning("%s: process %d is replaced: %s", self.key, process.pid, process.killed_for)
                process.signal(signal.SIGKILL)

    # -- the loop

    async def _run(self) -> None:
        while not self.gone.is_set():
            await self._wake.wait()
            self._wake.clear()
            actions = plan(self.desired, self.observed)
            for action in actions:
                self._book.observed = after(self.observed, action)
                try:
                    self._do(action)
                except OSError as error:
                    self._book.fail(action.revision, _os_failure(self.key.name, error))
            if actions:
                self._book.save()
                self._book.tell()
            if self.observed.deleting and not self.observed.revisions:
                await self._leave_nothing()

    def _do(self, action: Action) -> None:
        number = action.revision
        if action.kind in ("start", "restart") and action.component is not None:
            self._spawn(self._launch(number, action.component))
        elif action.kind == "try":
            self._spawn(self._trial.run(number, self._on_proven))
        elif action.kind == "switch":
            self._put_at_front(number)
            self._book.took(number, "ready")
        elif action.kind == "drain":
            entry = self._slots.processes.get(self._book.entry(number))
            if entry is None or not entry.send("drain"):
                self._spawn(self._end_drained(number))
            else:
                self._slots.call_later(
                    self._book.entry(number), DRAIN_SECONDS, lambda: self._spawn(self._end_drained(number))
                )
        elif action.kind == "end":
            if self._front.is_at(self._book.entry(number)):
                self._front.remove()
            self._end(number)
        elif action.kind == "stop":
            self._end(number)
            self._book.forget(number)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)

    def _put_at_front(self, number: int) -> None:
        revision = self.observed.revision(number)
        grpc = revision is not None and any(one.startswith("grpc") for one in revision.protocols)
        self._front.put(self._book.entry(number), grpc=grpc)

    def _end(self, number: int) -> None:
        self._launcher.cancel(number)
        self._slots.end(number)

    # -- actions that take time

    async def _launch(self, number: int, component: ComponentName) -> None:
        slot: Slot = (number, component)
        spec = self.record.specs[number]
        book, slots = self._book, self._slots
        try:
            runtime = self._launcher.runtime_of(spec, component)
            made = await self._launcher.prepare(slot, runtime)
        except KaleServeError as error:
            book.fail(number, error)
            return
        except OSError as error:
            book.fail(number, _os_failure(self.key.name, error))
            return
        if not book.has(slot):
            return
        book.begin(number, "create")
        book.set(slot, phase="starting", message="")
        try:
            if slot not in slots.listeners:
                slots.listen(slot)
                if slot == book.entry(number) and self.observed.front == number:
                    self._put_at_front(number)
            record = ProcessRecord(component, number, slots.id_of(slot), secrets.token_hex(16))
            process = Process(record, lambda process: self._on_process(process, slot), self._around.pool)
            slots.processes[slot] = process
            book.save()
            await process.start(self._launcher.launch_of(slot, record, runtime, made))
        except OSError as error:
            slots.processes.pop(slot, None)
            book.fail(number, _os_failure(self.key.name, error))
            return
        book.save()
        if slots.processes.get(slot) is not process or not book.has(slot):
            # Superseded while it was being started.
            slots.end_later(process)
            return
        book.took(number, "create")
        book.set(slot, phase="loading", pid=process.pid)
        slots.call_later(
            slot,
            spec.config.load_seconds,
            lambda: self._restarts.not_loaded_in_time(slot, process),
        )

    def _on_proven(self, spec: InferenceService) -> None:
        # After the first answer, so that parking does not take the processor from the server that is waited for.
        process = self._slots.processes.get((spec.revision, "predictor"))
        if process is not None and process.parkable is not None:
            self._around.pool.park(process.parkable)

    async def _end_drained(self, number: int) -> None:
        for process in self._slots.of(number):
            await process.end()
        revision = self.observed.revision(number)
        if revision is not None and revision.phase == "draining":
            left = tuple(found for found in self.observed.revisions if found.number != number)
            self._book.observed = replace(self.observed, revisions=left)
            self._book.forget(number)
            self._book.save()
            self._book.tell()

    # -- what the processes say

    def _on_process(self, process: Process, slot: Slot) -> None:
        if self._slots.processes.get(slot) is not process:
            return
        if process.exited.is_set():
            self._on_exit(process, slot)
            return
        state = process.state.get("state")
        if state == "failed":
            self._restarts.said_failed(process, slot[0])
        elif state == "loading":
            self._book.set(
                slot, phase="loading", pid=process.pid, message=str(process.state.get("message", ""))
            )
        elif state == "loaded":
            self._on_loaded(process, slot)

    def _on_loaded(self, process: Process, slot: Slot) -> None:
        book, number = self._book, slot[0]
        self._slots.cancel_timer(slot)
        message = str(process.state.get("message", ""))
        if slot == book.entry(number):
            book.change(number, protocols=process.protocols, binary=process.binary)
            if self.observed.front == number:
                # It was started again, or adopted: what it offers is known only now.
                self._put_at_front(number)
        book.set(slot, phase="loaded", pid=process.pid, message=message)
        seconds = process.state.get("seconds")
        revision = self.observed.revision(number)
        if revision is not None and isinstance(seconds, dict):
            load = sum(value for value in seconds.values() if isinstance(value, int | float))
            longest = max(load, revision.seconds.get("load", 0.0))
            book.put(replace(revision, seconds=dict(revision.seconds) | {"load": longest}))

    def _on_exit(self, process: Process, slot: Slot) -> None:
        number = slot[0]
        self._slots.cancel_timer(slot)
        del self._slots.processes[slot]
        revision = self.observed.revision(number)
        if revision is None or revision.phase == "failed":
            return
        if revision.phase == "draining":
            if slot == self._book.entry(number):
                self._spawn(self._end_drained(number))
            return
        self._restarts.ended(process, slot, revision)

    def _told(self) -> None:
        self._wake.set()
        self._changed(self._book.key)

    async def _leave_nothing(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._slots.processes.values():
            self._slots.end_later(process)
        await asyncio.gather(*self._slots.endings, return_exceptions=True)
        self._front.remove()
        for number in {slot[0] for slot in self._slots.ids}:
            self._book.forget(number)
        self._book.close()
        self._changed(self.key)


def _os_failure(name: str, error: OSError) -> KaleServeError:
    return ModelLoadFailed(
        f"A process for {name} could not be started: {error}.",
        subject=name,
        hint="The interpreter, the disk or the limits of this machine may be the cause.",
    )


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("A step of a service failed.", exc_info=task.exception())
