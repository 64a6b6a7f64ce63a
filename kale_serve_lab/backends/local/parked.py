"""Parked interpreters, the daemon's end: one an environment and framework, parked on first use and gone when idle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.local import procs

IDLE_SECONDS = 900.0
# Importing the heavy packages on a busy machine takes seconds; forking takes milliseconds.
ANSWER_SECONDS = 2.0
log = logging.getLogger("kale_serve_lab.backends.local")
_MAX_MESSAGE = 1 << 20

ParkedKey = tuple[str, str]  # interpreter, framework


@dataclass
class _Interpreter:
    connection: socket.socket
    pid: int
    pidfd: int
    ready: bool = False
    answer: asyncio.Future[int] | None = None
    idle: asyncio.TimerHandle | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ParkedPool:
    """Forks servers. What it cannot fork at once it leaves to a fresh interpreter: None is an ordinary answer."""

    def __init__(self, environment: dict[str, str], log_path: Path) -> None:
        self._environment = environment
        self._log_path = log_path
        self._parked: dict[ParkedKey, _Interpreter] = {}
        self._statuses: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def park(self, key: ParkedKey) -> None:
        """Have an interpreter for the next server; it is of use when its imports are done."""
        if key in self._parked or self._closed:
            return
        python, framework = key
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [python, "-m", "kale_serve_lab.model_server.parked"]
        if framework:
            command += ["--import", framework]
        log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            ours.close()
            return
        finally:
            theirs.close()
            os.close(log)
        process.returncode = 0  # its end is seen and reaped through the pidfd
        ours.setblocking(False)
        interpreter = _Interpreter(ours, process.pid, os.pidfd_open(process.pid))
        self._parked[key] = interpreter
        self._loop.add_reader(ours, self._read, key, interpreter)
        self._rest(key, interpreter)

    async def fork(self, key: ParkedKey, spec: dict[str, Any], fds: list[int]) -> int | None:
        """The pid of a server forked with these descriptors (listen, control, log); None: start a fresh one."""
        interpreter = self._parked.get(key)
        if interpreter is None or not interpreter.ready:
            return None
        async with interpreter.lock:
            interpreter.answer = self._loop.create_future()
            taken = False
            try:
                message = json.dumps({"type": "fork", "spec": spec}).encode()
                socket.send_fds(interpreter.connection, [message], fds)
                pid = await asyncio.wait_for(interpreter.answer, ANSWER_SECONDS)
                interpreter.connection.send(b'{"type": "go"}')
                taken = True
            except (OSError, asyncio.TimeoutError):
                return None
            finally:
                if not taken:
                    # Also where nobody waits any more. What it has forked, or still forks, ends with it: it was not let go.
                    self._drop(key, interpreter)
            self._statuses[pid] = self._loop.create_future()
            self._rest(key, interpreter)
            return pid

    async def status(self, pid: int) -> int | None:
        """How a forked server ended (negative: by that signal); None where it cannot be known."""
        found = self._statuses.pop(pid, None)
        if found is None:
            return None
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(found, 1.0)
        return None

    def close(self) -> None:
        """Their servers go on. Nothing is parked any more: a service that is only now ready would leave it behind."""
        self._closed = True
        for key, interpreter in list(self._parked.items()):
            self._drop(key, interpreter)

    def _rest(self, key: ParkedKey, interpreter: _Interpreter) -> None:
        if interpreter.idle is not None:
            interpreter.idle.cancel()
        interpreter.idle = self._loop.call_later(IDLE_SECONDS, self._drop, key, interpreter)

    def _drop(self, key: ParkedKey, interpreter: _Interpreter) -> None:
        if self._parked.get(key) is not interpreter:
            return
        del self._parked[key]
        self._loop.remove_reader(interpreter.connection)
        interpreter.connection.close()
        if interpreter.idle is not None:
            interpreter.idle.cancel()
        if interpreter.answer is not None and not interpreter.answer.done():
            interpreter.answer.set_exception(ConnectionError("the parked interpreter ended"))
        # Its servers have left its group. It holds nothing that a kill could damage.
        procs.end_group(interpreter.pid)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, interpreter.pidfd, os.WEXITED)
        os.close(interpreter.pidfd)

    def _read(self, key: ParkedKey, interpreter: _Interpreter) -> None:
        try:
            data = interpreter.connection.recv(_MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(key, interpreter)
            return
        waited = interpreter.answer
        match _message(data):
            case {"type": "parked"}:
                interpreter.ready = True
            case {"type": "forked", "pid": int(pid)}:
                if waited is not None and not waited.done():
                    waited.set_result(pid)
            case {"type": "exited", "pid": int(pid), "status": int(code)}:
                status = self._statuses.get(pid)
                if status is not None and not status.done():
                    status.set_result(code)
            case found:
                # An error, or what no interpreter of ours says: it is of no use, and whoever waits need not go on waiting.
                log.warning("A parked interpreter said %.200r and is ended.", found)
                self._drop(key, interpreter)


def _message(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data
