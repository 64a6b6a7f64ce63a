"""One model-server process: started or adopted, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.local import logs, procs, sockets
from kale_serve_lab.backends.local.control import Control
from kale_serve_lab.backends.local.parked import ParkedKey, ParkedPool
from kale_serve_lab.backends.local.records import ProcessRecord
from kale_serve_lab.serving.config import PROTOCOLS
from kale_serve_lab.serving.types import Protocol, protocol_of

# The server gives requests in flight 5 s itself.
STOP_SECONDS = 6.0
HELLO_SECONDS = 2.0


@dataclass(frozen=True)
class Launch:
    """What a process is started from. `parked` None: only a fresh interpreter will do."""

    spec: dict[str, Any]
    python: str
    environment: dict[str, str]
    listener: socket.socket
    grpc_listener: socket.socket | None
    control_path: Path
    log_path: Path
    parked: ParkedKey | None


class Process:
    """`state` is the last message of the control socket; `changed` is called after each, and after the exit."""

    def __init__(self, record: ProcessRecord, changed: Callable[[Process], None], pool: ParkedPool) -> None:
        self.record = record
        self.state: dict[str, Any] = {"state": "starting"}
        self.exit_status: int | None = None
        self.exited = asyncio.Event()
        self.loaded_at: float | None = None
        # Why we killed it, which says more than the signal.
        self.killed_for = ""
        # The interpreter that is worth keeping at hand for the next one of its kind.
        self.parkable: ParkedKey | None = None
        self._changed = changed
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self._control: Control | None = None
        self._hello: asyncio.Future[bool] = self._loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._asked = False

    @property
    def pid(self) -> int | None:
        """None before it is started."""
        return self.record.pid

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What it offers; empty before it has loaded."""
        said = self.state.get("protocols")
        return tuple(protocol_of(one) for one in PROTOCOLS if one in said) if isinstance(said, list) else ()

    @property
    def binary(self) -> bool | None:
        """Whether it takes v2's binary tensors; None before it has said so."""
        said = self.state.get("binary")
        return said if isinstance(said, bool) else None

    async def start(self, launch: Launch) -> None:
        """Fork it from a parked interpreter, else start a fresh one. Raises `OSError` where that cannot be started."""
        self.parkable = launch.parked
        control = sockets.listen(launch.control_path)
        log = logs.open_for_server(launch.log_path)
        pid = None
        try:
            if launch.parked is not None:
                fds = [launch.listener.fileno(), control.fileno(), log]
                fds += [] if launch.grpc_listener is None else [launch.grpc_listener.fileno()]
                pid = await self._pool.fork(launch.parked, launch.spec, fds)
            if pid is None:
                pid = _fresh(launch, control, log)
            # A connection made while the listener is certainly there cannot come too early.
            self._control = await Control.connect(launch.control_path, self._received)
        except BaseException:
            # The service may be deleted at this very moment: what nobody watches must not run.
            if pid is not None:
                _end_now(pid)
            raise
        finally:
            control.close()
            os.close(log)
        self.record = replace(self.record, pid=pid, start_time=procs.start_time(pid))
        self._watch()

    async def adopt(self, control_path: Path) -> list[socket.socket]:
        """Take over the process that says this record's nonce on its control socket; its listening sockets, else none.

        Whoever says anything else is left alone. Ours that does not answer (stopped, hung) is killed.
        """
        try:
            self._control = await Control.connect(control_path, self._received)
            ours = await asyncio.wait_for(asyncio.shield(self._hello), HELLO_SECONDS)
            if ours:
                self._watch()
                return await asyncio.wait_for(self._control.listening_sockets(), HELLO_SECONDS)
        except (OSError, asyncio.TimeoutError):
            pass
        self.let_go()
        self._kill_unanswering()
        return []

    def _kill_unanswering(self) -> None:
        pid, began = self.record.pid, self.record.start_time
        if pid is None or began is None:
            return
        with contextlib.suppress(ProcessLookupError):
            # Opened before the look at the start time: from then on the pid cannot become another's unseen.
            pidfd = os.pidfd_open(pid)
            try:
                if procs.start_time(pid) == began:
                    procs.end_group(pid)
            finally:
                os.close(pidfd)

    def send(self, kind: str) -> bool:
        """Whether the command could be sent."""
        return self._control is not None and self._control.send(kind)

    async def end(self) -> None:
        """Ask it to stop; kill its whole group when it does not. Nothing of it is left when this returns."""
        if self.exited.is_set() or self.record.pid is None:
            return
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        await asyncio.shield(self._ending)

    def ask_to_end(self) -> None:
        """Ask it to stop, once; it has been told when this returns, whatever becomes of us."""
        if self._asked or self.exited.is_set() or self.record.pid is None:
            return
        self._asked = True
        if not self.send("stop"):
            self.signal(signal.SIGTERM)

    async def _end(self) -> None:
        self.ask_to_end()
        try:
            await asyncio.wait_for(self.exited.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            self.signal(signal.SIGKILL)
            await self.exited.wait()

    def signal(self, number: signal.Signals) -> None:
        """Signal its group, if it still runs."""
        if self.record.pid is not None and not self.exited.is_set() and self._pidfd >= 0:
            procs.end_group(self.record.pid, number)

    def let_go(self) -> None:
        """Watch it no longer; it runs on."""
        if self._control is not None:
            self._control.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _watch(self) -> None:
        assert self.record.pid is not None
        try:
            self._pidfd = os.pidfd_open(self.record.pid)
        except ProcessLookupError:
            self._loop.call_soon(self._gone, None)
            return
        self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        assert self.record.pid is not None
        status: int | None = None
        try:
            # Its zombie keeps the number, so the group that is killed here is certainly its own.
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            procs.end_group(self.record.pid)
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if found is not None:
                status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        except ChildProcessError:
            procs.end_orphans(self.record.pid)
            self._loop.remove_reader(self._pidfd)
            self._ask_status = asyncio.ensure_future(self._gone_after_status(self.record.pid))
            return
        self._gone(status)

    async def _gone_after_status(self, pid: int) -> None:
        self._gone(await self._pool.status(pid))

    def _gone(self, status: int | None) -> None:
        if self.exited.is_set():
            return
        # What it said last (why it failed) may still wait to be read.
        if self._control is not None:
            self._control.read_rest()
        self.exit_status = status
        self.exited.set()
        self.let_go()
        self._changed(self)

    def _received(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "hello" and not self._hello.done():
            self._hello.set_result(self._is_ours(message))
        elif kind == "state" and self._hello.done() and self._hello.result():
            self.state = message
            if message.get("state") == "loaded" and self.loaded_at is None:
                self.loaded_at = self._loop.time()
            self._changed(self)

    def _is_ours(self, hello: dict[str, Any]) -> bool:
        pid = hello.get("pid")
        # A record without a nonce only names sockets; nobody can prove to be it.
        if not self.record.nonce or hello.get("nonce") != self.record.nonce or not isinstance(pid, int):
            return False
        if self.record.pid is None:
            # The daemon ended between the start and its record of it.
            self.record = replace(self.record, pid=pid, start_time=procs.start_time(pid))
        began = procs.start_time(pid)
        return pid == self.record.pid and began is not None and began == self.record.start_time

    def how_it_ended(self) -> str:
        """For a sentence: `exit status 3`, `killed by SIGSEGV`."""
        status = self.exit_status
        if self.killed_for:
            return self.killed_for
        error = self.state.get("error") if self.state.get("state") == "failed" else None
        if isinstance(error, dict) and error.get("message"):
            return str(error["message"]).rstrip(".")
        if status is None:
            return "it ended"
        if status >= 0:
            return f"exit status {status}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
        return f"killed by signal {-status}"


def _end_now(pid: int) -> None:
    procs.end_group(pid)
    # One that was forked is its parent's to reap.
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED)


def _fresh(launch: Launch, control: socket.socket, log: int) -> int:
    spec = launch.spec | {"listen_fd": launch.listener.fileno(), "control_fd": control.fileno()}
    handed = [launch.listener.fileno(), control.fileno()]
    if launch.grpc_listener is not None:
        spec["grpc_fd"] = launch.grpc_listener.fileno()
        handed.append(launch.grpc_listener.fileno())
    with tempfile.TemporaryFile() as stdin:
        # A file, not a pipe: the spec is whole however soon this process ends, and no writer waits for a reader.
        stdin.write(json.dumps(spec).encode())
        stdin.seek(0)
        process = subprocess.Popen(
            [launch.python, "-m", "kale_serve_lab.model_server"],
            stdin=stdin,
            stdout=log,
            stderr=log,
            env=launch.environment,
            cwd="/",
            pass_fds=handed,
            start_new_session=True,
        )
    process.returncode = 0  # its end is seen and reaped through the pidfd
    return process.pid
