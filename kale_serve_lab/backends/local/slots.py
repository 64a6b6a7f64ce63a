"""The processes, sockets and timers of one service, by revision and component."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.backends.local import sockets
from kale_serve_lab.backends.local.around import Slot
from kale_serve_lab.backends.local.process import Process
from kale_serve_lab.backends.local.records import ProcessRecord
from kale_serve_lab.model_server.foreign import leftovers

# r: HTTP, s: gRPC, both bound by us; c: control; h and b: where a server behind the process listens by itself.
_KINDS = ("r", "s", "c", "h", "b")


@dataclass(frozen=True)
class Listeners:
    """The listening sockets of one component; a server that was adopted from an older daemon may have no gRPC one."""

    http: socket.socket
    grpc: socket.socket | None

    def close(self) -> None:
        """Ours only: the server's copies go on."""
        self.http.close()
        if self.grpc is not None:
            self.grpc.close()


class Slots:
    """A slot's id names its sockets and its work folder, and stays the same over restarts."""

    def __init__(self, work_dir: Path) -> None:
        self.processes: dict[Slot, Process] = {}
        self.listeners: dict[Slot, Listeners] = {}
        self.ids: dict[Slot, str] = {}
        self.endings: set[asyncio.Task[None]] = set()
        self._timers: dict[Slot, asyncio.TimerHandle] = {}
        self._work_dir = work_dir
        self._loop = asyncio.get_running_loop()

    def id_of(self, slot: Slot) -> str:
        """Made on first use."""
        return self.ids.setdefault(slot, secrets.token_hex(8))

    def path(self, slot: Slot, kind: str = "r") -> Path:
        """One of the slot's sockets."""
        return sockets.path_of(kind, self.id_of(slot))

    def work(self, slot: Slot) -> Path:
        """The private folder of a server that we did not write."""
        return self._work_dir / self.id_of(slot)

    def listen(self, slot: Slot) -> Listeners:
        """Bind the slot's sockets."""
        http = sockets.listen(self.path(slot))
        try:
            grpc = sockets.listen(self.path(slot, "s"))
        except BaseException:
            http.close()
            raise
        self.listeners[slot] = Listeners(http, grpc)
        return self.listeners[slot]

    def of(self, number: int) -> list[Process]:
        """The processes of a revision."""
        return [process for slot, process in self.processes.items() if slot[0] == number]

    def records(self) -> list[ProcessRecord]:
        """The processes; and the sockets' names, which outlive a process that waits to be started again."""
        waiting = [slot for slot in self.ids if slot not in self.processes and slot in self.listeners]
        return [process.record for process in self.processes.values()] + [
            ProcessRecord(slot[1], slot[0], self.ids[slot], "") for slot in waiting
        ]

    def call_later(self, slot: Slot, seconds: float, call: Callable[[], object]) -> None:
        """One timer a slot; it is forgotten when it rings."""
        self.cancel_timer(slot)

        def ring() -> None:
            del self._timers[slot]
            call()

        self._timers[slot] = self._loop.call_later(seconds, ring)

    def cancel_timer(self, slot: Slot) -> None:
        """If there is one."""
        timer = self._timers.pop(slot, None)
        if timer is not None:
            timer.cancel()

    def end(self, number: int) -> None:
        """End the processes of a revision and close its sockets; the names stay."""
        for slot in [slot for slot in self.processes if slot[0] == number]:
            self.end_later(self.processes.pop(slot))
        for slot in [slot for slot in (*self.listeners, *self._timers) if slot[0] == number]:
            self._close(slot)

    def end_later(self, process: Process) -> None:
        """End one that is in no slot any more.

        It is told at once: the record that is written next does not name it, and we may be killed before a task begins.
        """
        process.ask_to_end()
        task = self._loop.create_task(process.end())
        self.endings.add(task)
        task.add_done_callback(self.endings.discard)

    def forget(self, number: int) -> None:
        """Remove the sockets and folders of a revision."""
        for slot in [slot for slot in self.ids if slot[0] == number]:
            self._close(slot)
            for kind in _KINDS:
                sockets.remove(self.path(slot, kind))
            leftovers.remove(self.work(slot))
            del self.ids[slot]

    def let_go(self) -> None:
        """Close what is ours; the processes run on."""
        for timer in self._timers.values():
            timer.cancel()
        for process in self.processes.values():
            process.let_go()
        for listeners in self.listeners.values():
            listeners.close()

    def _close(self, slot: Slot) -> None:
        self.cancel_timer(slot)
        listeners = self.listeners.pop(slot, None)
        if listeners is not None:
            listeners.close()
