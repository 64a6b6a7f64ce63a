"""One service: carries out what `plan` says, and tells it what came of it.

Everything runs in one event loop. `_wake` after each change of `observed`; the loop plans, marks the actions as begun
(`after`), and starts them. Work that takes time is a task that ends by changing `observed` again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.backends.local import logs, procs, records, sample, sockets
from kale_serve_lab.backends.local.parked import ParkedKey, ParkedPool
from kale_serve_lab.backends.local.process import Launch, Process
from kale_serve_lab.backends.local.records import ProcessRecord, Record
from kale_serve_lab.errors import KaleServeError, LoadTimeout, ModelLoadFailed, PredictFailed, from_json
from kale_serve_lab.serving.plan import after, plan, with_revision
from kale_serve_lab.serving.types import (
    Action,
    ComponentName,
    InferenceService,
    Observed,
    ObservedComponent,
    ObservedRevision,
    RevisionPhase,
    ServiceKey,
)

log = logging.getLogger("kale_serve_lab.backends.local")

# Before the first restart and the following ones; after the last the revision has failed.
BACKOFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
# A server that has stayed up this long starts to count its restarts anew.
STEADY_SECONDS = 60.0
DRAIN_SECONDS = 600.0
LOG_TAIL_LINES = 40
KEPT_LOGS = 3

Slot = tuple[int, ComponentName]


@dataclass(frozen=True)
class Surroundings:
    """What all services of a backend share."""

    services_dir: Path
    logs_dir: Path
    sdk_path: Path
    python: str
    pool: ParkedPool
    backoff: tuple[float, ...] = BACKOFF_SECONDS


class Service:
    """`changed` is called whenever `observed` or `desired` may differ."""

    def __init__(self, record: Record, around: Surroundings, changed: Callable[[ServiceKey], None]) -> None:
        self.record = record
        self.key = record.desired.key
        self.observed = Observed(self.key, deleting=record.deleting, changed_at=_now())
        self.gone = asyncio.Event()
        self._around = around
        self._changed = changed
        self._front = paths.front_socket(self.key.namespace, self.key.name)
        self._processes: dict[Slot, Process] = {}
        self._listeners: dict[Slot, socket.socket] = {}
        self._ids: dict[Slot, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._timers: dict[Slot, asyncio.TimerHandle] = {}
        self._began: dict[tuple[int, str], float] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._runner: asyncio.Task[None] | None = None

    @property
    def desired(self) -> InferenceService:
        """What is asked."""
        return self.record.desired

    @property
    def log_folder(self) -> Path:
        """Holds one log a component and revision."""
        return self._around.logs_dir / f"{self.key.namespace}.{self.key.name}"

    def log_path(self, component: str, revision: int) -> Path:
        """The log of one component of one revision."""
        return self.log_folder / f"{revision}-{component}.log"

    def live_logs(self) -> list[Path]:
        """The logs that are being written."""
        return [self.log_path(component, revision) for revision, component in self._processes]

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
        self._save(durable=True)
        self._tell()

    async def delete(self) -> None:
        """Nothing of it is left when this returns."""
        if not self.record.deleting:
            self.record.deleting = True
            self._save(durable=True)
            self.observed = replace(self.observed, deleting=True)
            sockets.remove(self._front)
            self._tell()
        await self.gone.wait()

    async def let_go(self) -> None:
        """Stop acting; the processes run on."""
        tasks = [task for task in (self._runner, *self._tasks, *self._endings) if task is not None]
        for timer in self._timers.values():
            timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for process in self._processes.values():
            process.let_go()
        for listener in self._listeners.values():
            listener.close()

    def end_stopped(self, seen: set[int]) -> set[int]:
        """Kill the servers that are stopped (SIGSTOP) now and were so at the last look; those that are stopped now."""
        stopped = set()
        for process in self._processes.values():
            if process.pid is not None and not process.exited.is_set() and procs.is_stopped(process.pid):
                stopped.add(process.pid)
                if process.pid in seen:
                    log.warning("%s: process %d is stopped and is replaced", self.key, process.pid)
                    process.signal(signal.SIGKILL)
        return stopped

    def end_too_large(self) -> None:
        """Kill the servers that hold more memory than their `limits.memory`; they are restarted like those that crash."""
        for (number, component), process in self._processes.items():
            limit = self.record.specs[number].config.memory_limit(component)
            if limit is None or process.pid is None or process.exited.is_set():
                continue
            held = procs.memory(process.pid)
            if held > limit:
                process.killed_for = (
                    f"it held {held >> 20:,} MiB of memory, above its limit of {limit / (1 << 20):,.0f} MiB"
                )
                log.warning("%s: process %d is replaced: %s", self.key, process.pid, process.killed_for)
                process.signal(signal.SIGKILL)

    # -- taking over from an earlier daemon

    async def adopt(self) -> None:
        """Take over the processes of the record that are there, and see which revision stands at the front."""
        if self.record.boot_id != procs.boot_id():
            self.record.processes = []
            self.record.boot_id = procs.boot_id()
        await asyncio.gather(*(self._adopt_one(process) for process in self.record.processes))
        for number, spec in self.record.specs.items():
            slots = [(number, component) for component in spec.components]
            known = [slot for slot in slots if slot in self._ids]
            entry = slots[-1]
            at_front = entry in self._ids and sockets.same(self._socket_path(entry), self._front)
            if number in self.record.failed:
                self._put(ObservedRevision(number, "failed", error=self.record.failed[number]))
                continue
            alive = [slot for slot in known if slot in self._processes]
            if not alive and not at_front:
                continue
            draining = any(self._processes[slot].state.get("state") == "draining" for slot in alive)
            parts = tuple(
                ObservedComponent(component, number, phase="loading")
                if (number, component) in self._processes
                else ObservedComponent(component, number, phase="due", message="it had ended")
                for _, component in slots
            )
            phase: RevisionPhase = "draining" if draining else "loading"
            seconds = self.record.seconds.get(number, {})
            self._put(ObservedRevision(number, phase, parts, seconds=seconds))
            if at_front:
                self.observed = replace(self.observed, front=number)
        for slot, process in list(self._processes.items()):
            self._on_process(process, slot)
        for revision in self.observed.revisions:
            if (
                revision.phase == "loading"
                and revision.number in self.record.proven
                and _all_loaded(revision)
            ):
                self._put(replace(revision, phase="ready"))
        for number in [
            n for n in self.record.specs if self.observed.revision(n) is None and n != self.desired.revision
        ]:
            self._forget(number)
        self._save()

    async def _adopt_one(self, record: ProcessRecord) -> None:
        slot = (record.revision, record.component)
        self._ids[slot] = record.id
        process = Process(record, lambda process: self._on_process(process, slot), self._around.pool)
        listener = await process.adopt(sockets.path_of("c", record.id))
        if listener is None:
            sockets.remove(sockets.path_of("c", record.id))
            return
        self._processes[slot] = process
        self._listeners[slot] = listener

    # -- the loop

    async def _run(self) -> None:
        while not self.gone.is_set():
            await self._wake.wait()
            self._wake.clear()
            actions = plan(self.desired, self.observed)
            for action in actions:
                self.observed = after(self.observed, action)
                try:
                    self._do(action)
                except OSError as error:
                    self._fail(action.revision, _os_failure(self.key.name, error))
            if actions:
                self._save()
                self._tell()
            if self.observed.deleting and not self.observed.revisions:
                await self._leave_nothing()

    def _do(self, action: Action) -> None:
        number = action.revision
        if action.kind in ("start", "restart") and action.component is not None:
            self._spawn(self._launch(number, action.component))
        elif action.kind == "try":
            self._spawn(self._try(number))
        elif action.kind == "switch":
            sockets.put_at_front(self._socket_path(self._entry(number)), self._front)
            self._took(number, "ready")
        elif action.kind == "drain":
            entry = self._processes.get(self._entry(number))
            if entry is None or not entry.send("drain"):
                self._spawn(self._end_drained(number))
            else:
                self._timers[self._entry(number)] = self._loop.call_later(
                    DRAIN_SECONDS, lambda: self._spawn(self._end_drained(number))
                )
        elif action.kind == "end":
            if sockets.same(self._socket_path(self._entry(number)), self._front):
                sockets.remove(self._front)
            self._end_processes(number)
        elif action.kind == "stop":
            self._end_processes(number)
            self._forget(number)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)

    # -- actions that take time

    async def _launch(self, number: int, component: ComponentName) -> None:
        slot = (number, component)
        spec = self.record.specs[number]
        self._began.setdefault((number, "create"), self._loop.time())
        self._ids.setdefault(slot, secrets.token_hex(8))
        try:
            if slot not in self._listeners:
                at_front = slot == self._entry(number) and self.observed.front == number
                self._listeners[slot] = sockets.listen(self._socket_path(slot))
                if at_front:
                    sockets.put_at_front(self._socket_path(slot), self._front)
            record = ProcessRecord(component, number, self._ids[slot], secrets.token_hex(16))
            process = Process(record, lambda process: self._on_process(process, slot), self._around.pool)
            self._processes[slot] = process
            self._save()
            launch = self._launch_of(spec, slot, record)
            await process.start(launch)
        except OSError as error:
            self._processes.pop(slot, None)
            self._fail(number, _os_failure(self.key.name, error))
            return
        self._save()
        if self._processes.get(slot) is not process or not self._has(slot):
            # Superseded while it was being started.
            self._end_later(process)
            return
        self._took(number, "create")
        self._set(slot, phase="loading", pid=process.pid)
        self._timers[slot] = self._loop.call_later(
            spec.config.load_seconds, self._on_load_timeout, slot, process
        )

    def _launch_of(self, spec: InferenceService, slot: Slot, record: ProcessRecord) -> Launch:
        number, component = slot
        artifact = spec.model if component == "predictor" else spec.transformer
        if artifact is None or artifact.path is None:
            raise FileNotFoundError(f"the {component}'s artifact has no folder in the store")
        own = artifact.environment.get("python")
        model_python = spec.model.environment.get("python") if spec.model else None
        python = own or model_python or self._around.python
        variables = spec.config.component_env(component)
        framework = (spec.model.framework if spec.model else None) or ""
        # A parked interpreter has its environment already; variables of the user's need a fresh one.
        parked: ParkedKey | None = None if variables else (python, framework)
        return Launch(
            spec={
                "component": component,
                "service": self.key.name,
                "namespace": self.key.namespace,
                "revision": number,
                "nonce": record.nonce,
                "artifact_dir": str(artifact.path),
                "framework": artifact.framework,
                "class_name": artifact.class_name,
                "signature": None if artifact.signature is None else artifact.signature.to_json(),
                "method": None,
                "predictor_socket": (
                    str(self._socket_path((number, "predictor"))) if component == "transformer" else None
                ),
                "protocol": spec.protocol,
                "model_name": self.key.name,
                "max_body_bytes": 1 << 30,
                "listen_fd": 0,
                "control_fd": 0,
            },
            python=python,
            environment=procs.server_environment(self._around.sdk_path, variables),
            listener=self._listeners[slot],
            control_path=sockets.path_of("c", record.id),
            log_path=self.log_path(component, number),
            parked=parked,
        )

    async def _try(self, number: int) -> None:
        spec = self.record.specs[number]
        began = self._loop.time()
        try:
            await asyncio.wait_for(self._predict(spec), spec.config.load_seconds)
        except asyncio.TimeoutError:
            self._fail(
                number,
                PredictFailed(
                    f"{self.key.name} loads but has not predicted its own sample within {spec.config.load_seconds:g} s.",
                    subject=self.key.name,
                    hint="Give ServeConfig(timeout=…) more seconds, or a smaller sample.",
                    details={"stage": "predict"},
                ),
            )
            return
        except KaleServeError as error:
            self._fail(number, error)
            return
        except (OSError, ValueError) as error:
            await self._after_lost_connection(number, error)
            return
        revision = self.observed.revision(number)
        if revision is None or revision.phase != "trying":
            return
        self.record.proven.add(number)
        self._put(
            replace(
                revision,
                phase="ready",
                seconds=dict(revision.seconds) | {"predict": self._loop.time() - began},
            )
        )
        self._began[number, "ready"] = self._loop.time()
        self._save()
        self._tell()
        self._park(spec)

    def _park(self, spec: InferenceService) -> None:
        # After the first answer, so that parking does not take the processor from the server that is waited for.
        if spec.model is not None and not spec.config.component_env("predictor"):
            python = spec.model.environment.get("python") or self._around.python
            self._around.pool.park((python, spec.model.framework or ""))

    async def _predict(self, spec: InferenceService) -> None:
        number, name = spec.revision, self.key.name
        if spec.transformer is None:
            await sample.predict(
                self._socket_path((number, "predictor")), name, spec.signature, spec.protocol
            )
            return
        model_signature = spec.model.signature if spec.model is not None else None
        await sample.predict(self._socket_path((number, "predictor")), name, model_signature, spec.protocol)
        await sample.predict(
            self._socket_path((number, "transformer")), name, spec.transformer.signature, spec.protocol
        )

    async def _after_lost_connection(self, number: int, error: Exception) -> None:
        # A crash has two signs, the connection's end and the exit; the exit says more and comes a moment later.
        processes = [process for slot, process in self._processes.items() if slot[0] == number]
        waits = [asyncio.ensure_future(process.exited.wait()) for process in processes]
        done, _ = (
            await asyncio.wait(waits, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            if waits
            else (set(), None)
        )
        for wait in waits:
            wait.cancel()
        if not done:
            self._fail(
                number,
                PredictFailed(
                    f"{self.key.name} loads but gave no answer to its own sample: {error}",
                    subject=self.key.name,
                    details={"stage": "predict"},
                ),
            )

    async def _end_drained(self, number: int) -> None:
        for process in [process for slot, process in self._processes.items() if slot[0] == number]:
            await process.end()
        revision = self.observed.revision(number)
        if revision is not None and revision.phase == "draining":
            left = tuple(found for found in self.observed.revisions if found.number != number)
            self.observed = replace(self.observed, revisions=left)
            self._forget(number)
            self._save()
            self._tell()

    # -- what the processes say

    def _on_process(self, process: Process, slot: Slot) -> None:
        if self._processes.get(slot) is not process:
            return
        if process.exited.is_set():
            self._on_exit(process, slot)
            return
        state = process.state.get("state")
        if state == "failed":
            # One that has served before is tried again once it has exited.
            if slot[0] not in self.record.proven:
                self._fail(slot[0], from_json(process.state.get("error") or {"code": "ModelLoadFailed"}))
        elif state in ("loading", "loaded"):
            if state == "loaded":
                self._cancel_timer(slot)
            message = str(process.state.get("message", ""))
            self._set(
                slot, phase="loaded" if state == "loaded" else "loading", pid=process.pid, message=message
            )
            seconds = process.state.get("seconds")
            revision = self.observed.revision(slot[0])
            if state == "loaded" and revision is not None and isinstance(seconds, dict):
                load = sum(value for value in seconds.values() if isinstance(value, int | float))
                longest = max(load, revision.seconds.get("load", 0.0))
                self._put(replace(revision, seconds=dict(revision.seconds) | {"load": longest}))

    def _on_exit(self, process: Process, slot: Slot) -> None:
        number, component = slot
        self._cancel_timer(slot)
        del self._processes[slot]
        revision = self.observed.revision(number)
        if revision is None or revision.phase == "failed":
            return
        if revision.phase == "draining":
            if slot == self._entry(number):
                self._spawn(self._end_drained(number))
            return
        part = next(found for found in revision.components if found.component == component)
        how = process.how_it_ended()
        steady = process.loaded_at is not None and self._loop.time() - process.loaded_at > STEADY_SECONDS
        tries = 0 if steady else part.tries
        loading = part.phase in ("starting", "loading")
        if number not in self.record.proven or tries >= len(self._around.backoff):
            what = "ended while it loaded" if loading else "ended"
            again = f" {tries} times" if tries else ""
            self._fail(
                number,
                ModelLoadFailed(
                    f"The {component} of {self.key.name} {what}{again}: {how}.",
                    subject=self.key.name,
                    hint="Give it more by ServeConfig(limits={'memory': …}), or serve a smaller model."
                    if process.killed_for
                    else "Its last words are in the log; mend the model and serve it again.",
                    details={"component": component, "exit": process.exit_status}
                    | ({} if loading else {"stage": "predict"}),
                ),
            )
            return
        self._put(replace(revision, phase="loading"))
        self._set(slot, phase="ended", pid=None, message=how, tries=tries, ended=how)
        self._timers[slot] = self._loop.call_later(self._around.backoff[tries], self._on_due, slot)
        self._save()

    def _on_due(self, slot: Slot) -> None:
        self._timers.pop(slot, None)
        if self._has(slot):
            self._set(slot, phase="due")

    def _on_load_timeout(self, slot: Slot, process: Process) -> None:
        self._timers.pop(slot, None)
        if self._processes.get(slot) is not process:
            return
        if slot[0] in self.record.proven:
            process.signal(signal.SIGKILL)
            return
        seconds = self.record.specs[slot[0]].config.load_seconds
        self._fail(
            slot[0],
            LoadTimeout(
                f"The {slot[1]} of {self.key.name} has not loaded within {seconds:g} s.",
                subject=self.key.name,
                hint="If it only needs longer: ServeConfig(timeout=…) in seconds.",
                details={"component": slot[1]},
            ),
        )

    def _fail(self, number: int, error: KaleServeError) -> None:
        revision = self.observed.revision(number)
        if revision is None or revision.phase in ("failed", "draining"):
            return
        inner: dict[str, Any] = error.to_json()["error"]
        component = inner["details"].get("component", "predictor")
        if not self.log_path(component, number).exists():
            component = "predictor"
        tail = logs.tail(self.log_path(component, number), LOG_TAIL_LINES)
        inner["details"] = {"log_tail": tail, **inner["details"]}
        self.record.failed[number] = inner
        self._put(replace(revision, phase="failed", error=inner))
        self._save()
        self._tell()

    # -- small things

    def _entry(self, number: int) -> Slot:
        return (number, self.record.specs[number].components[-1])

    def _socket_path(self, slot: Slot) -> Path:
        return sockets.path_of("r", self._ids.setdefault(slot, secrets.token_hex(8)))

    def _has(self, slot: Slot) -> bool:
        revision = self.observed.revision(slot[0])
        return revision is not None and any(part.component == slot[1] for part in revision.components)

    def _put(self, revision: ObservedRevision) -> None:
        self.observed = with_revision(self.observed, revision)

    def _took(self, number: int, stage: str) -> None:
        """Note how long a stage has taken until now; a restart does not count again."""
        revision, began = self.observed.revision(number), self._began.get((number, stage))
        restarted = revision is not None and any(part.restarts for part in revision.components)
        if revision is not None and began is not None and not restarted:
            seconds = dict(revision.seconds) | {stage: self._loop.time() - began}
            self._put(replace(revision, seconds=seconds))

    def _set(self, slot: Slot, **changes: Any) -> None:
        revision = self.observed.revision(slot[0])
        if revision is None:
            return
        parts = tuple(
            replace(part, **changes) if part.component == slot[1] else part for part in revision.components
        )
        if parts != revision.components:
            self._put(replace(revision, components=parts))
            self._tell()

    def _cancel_timer(self, slot: Slot) -> None:
        timer = self._timers.pop(slot, None)
        if timer is not None:
            timer.cancel()

    def _end_processes(self, number: int) -> None:
        for slot in [slot for slot in self._processes if slot[0] == number]:
            self._end_later(self._processes.pop(slot))
        for slot in [slot for slot in (*self._listeners, *self._timers) if slot[0] == number]:
            self._cancel_timer(slot)
            listener = self._listeners.pop(slot, None)
            if listener is not None:
                listener.close()

    def _end_later(self, process: Process) -> None:
        task = self._loop.create_task(process.end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _forget(self, number: int) -> None:
        for slot in [slot for slot in self._ids if slot[0] == number]:
            listener = self._listeners.pop(slot, None)
            if listener is not None:
                listener.close()
            self._cancel_timer(slot)
            for kind in ("r", "c"):
                sockets.remove(sockets.path_of(kind, self._ids[slot]))
            del self._ids[slot]
        if number != self.desired.revision:
            self.record.specs.pop(number, None)
        self.record.proven.discard(number)
        self.record.failed.pop(number, None)
        for began in [began for began in self._began if began[0] == number]:
            del self._began[began]
        self._remove_old_logs()

    def _remove_old_logs(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in self.log_folder.iterdir():
                number = path.name.partition("-")[0]
                old = number.isdigit() and int(number) <= self.desired.revision - KEPT_LOGS
                if old and self.observed.revision(int(number)) is None:
                    path.unlink(missing_ok=True)

    async def _leave_nothing(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._processes.values():
            self._end_later(process)
        await asyncio.gather(*self._endings, return_exceptions=True)
        sockets.remove(self._front)
        for number in {slot[0] for slot in self._ids}:
            self._forget(number)
        shutil.rmtree(self.log_folder, ignore_errors=True)
        records.path_of(self._around.services_dir, self.key).unlink(missing_ok=True)
        self.gone.set()
        self._changed(self.key)

    def _save(self, *, durable: bool = False) -> None:
        if self.gone.is_set():
            return
        self.record.processes = [process.record for process in self._processes.values()]
        # The sockets' names outlive a process that waits to be started again.
        waiting = [slot for slot in self._ids if slot not in self._processes and slot in self._listeners]
        self.record.seconds = {found.number: dict(found.seconds) for found in self.observed.revisions}
        self.record.processes += [ProcessRecord(slot[1], slot[0], self._ids[slot], "") for slot in waiting]
        records.write(self._around.services_dir, self.record, durable=durable)

    def _tell(self) -> None:
        self.observed = replace(self.observed, changed_at=_now())
        self._wake.set()
        self._changed(self.key)


def _all_loaded(revision: ObservedRevision) -> bool:
    return all(part.phase == "loaded" for part in revision.components)


def _os_failure(name: str, error: OSError) -> KaleServeError:
    return ModelLoadFailed(
        f"A process for {name} could not be started: {error}.",
        subject=name,
        hint="The interpreter, the disk or the limits of this machine may be the cause.",
    )


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("A step of a service failed.", exc_info=task.exception())


def _now() -> int:
    return int(time.time() * 1000)
