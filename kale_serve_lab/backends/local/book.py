"""What is known of one service: what is asked and recorded of it, what is seen of it, and who is told."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.local import logs, records
from kale_serve_lab.backends.local.around import Slot, Surroundings
from kale_serve_lab.backends.local.records import Record
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.plan import with_revision
from kale_serve_lab.serving.types import InferenceService, Observed, ObservedRevision, ServiceKey

LOG_TAIL_LINES = 40
KEPT_LOGS = 3


class Book:
    """`told` is called after each change that others may want to see."""

    def __init__(self, record: Record, around: Surroundings, slots: Slots, told: Callable[[], None]) -> None:
        self.record = record
        self.key: ServiceKey = record.desired.key
        self.observed = Observed(self.key, deleting=record.deleting, changed_at=_now())
        self.gone = asyncio.Event()
        self._around = around
        self._slots = slots
        self._told = told
        self._began: dict[tuple[int, str], float] = {}
        self._loop = asyncio.get_running_loop()

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

    def entry(self, number: int) -> Slot:
        """Where the revision's callers come in."""
        return (number, self.record.specs[number].components[-1])

    def has(self, slot: Slot) -> bool:
        """Whether the component is still part of what is seen."""
        revision = self.observed.revision(slot[0])
        return revision is not None and any(part.component == slot[1] for part in revision.components)

    def put(self, revision: ObservedRevision) -> None:
        """See a revision as this."""
        self.observed = with_revision(self.observed, revision)

    def change(self, number: int, **changes: Any) -> None:
        """See something of a revision differently, and tell."""
        revision = self.observed.revision(number)
        if revision is not None and replace(revision, **changes) != revision:
            self.put(replace(revision, **changes))
            self.tell()

    def set(self, slot: Slot, **changes: Any) -> None:
        """See something of a component differently, and tell."""
        revision = self.observed.revision(slot[0])
        if revision is None:
            return
        parts = tuple(
            replace(part, **changes) if part.component == slot[1] else part for part in revision.components
        )
        if parts != revision.components:
            self.put(replace(revision, components=parts))
            self.tell()

    def begin(self, number: int, stage: str) -> None:
        """A stage begins; a second beginning (another component's) does not count."""
        self._began.setdefault((number, stage), self._loop.time())

    def took(self, number: int, stage: str) -> None:
        """Note how long a stage has taken until now; a restart does not count again."""
        revision, began = self.observed.revision(number), self._began.get((number, stage))
        restarted = revision is not None and any(part.restarts for part in revision.components)
        if revision is not None and began is not None and not restarted:
            seconds = dict(revision.seconds) | {stage: self._loop.time() - began}
            self.put(replace(revision, seconds=seconds))

    def fail(self, number: int, error: KaleServeError) -> None:
        """The revision has failed, with the log's last lines beside the reason."""
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
        self.put(replace(revision, phase="failed", error=inner))
        self.save()
        self.tell()

    def forget(self, number: int) -> None:
        """Nothing of the revision is left but what is asked."""
        self._slots.forget(number)
        if number != self.desired.revision:
            self.record.specs.pop(number, None)
        self.record.proven.discard(number)
        for kept in (self.record.failed, self.record.warnings):
            kept.pop(number, None)
        for began in [began for began in self._began if began[0] == number]:
            del self._began[began]
        self._remove_old_logs()

    def save(self, *, durable: bool = False) -> None:
        """Write the record; nothing is written once the service is gone."""
        if self.gone.is_set():
            return
        self.record.processes = self._slots.records()
        self.record.seconds = {found.number: dict(found.seconds) for found in self.observed.revisions}
        records.write(self._around.services_dir, self.record, durable=durable)

    def tell(self) -> None:
        """What is seen has changed."""
        self.observed = replace(self.observed, changed_at=_now())
        self._told()

    def close(self) -> None:
        """Remove the logs and the record."""
        shutil.rmtree(self.log_folder, ignore_errors=True)
        records.path_of(self._around.services_dir, self.key).unlink(missing_ok=True)
        self.gone.set()

    def _remove_old_logs(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in self.log_folder.iterdir():
                number = path.name.partition("-")[0]
                old = number.isdigit() and int(number) <= self.desired.revision - KEPT_LOGS
                if old and self.observed.revision(int(number)) is None:
                    path.unlink(missing_ok=True)


def _now() -> int:
    return int(time.time() * 1000)
