"""A parked interpreter: the heavy imports are done; it forks a server in milliseconds. It imports and never computes.

`python -m kale_serve_lab.model_server.parked --import sklearn`, with a connected SOCK_SEQPACKET Unix socket as fd 0.
OpenMP's workers do not survive a fork, so nothing here may start them: no array is multiplied before the fork.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import warnings
from typing import Any

from kale_serve_lab.model_server import loaders

_MAX_MESSAGE = 8 << 20
# listen, control, log, and gRPC where it is offered
_FDS = 4
# What a server imports itself, beside its framework.
_OWN = (
    "numpy",
    "kale_serve_lab.model_server.run",
    "kale_serve_lab.model_server.predict",
    "kale_serve_lab.model_server.grpc_server",
)


def main() -> None:
    """Import, say so, and fork on demand until EOF."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    parser = argparse.ArgumentParser()
    parser.add_argument("--import", dest="modules", action="append", default=[])
    modules = parser.parse_args().modules
    daemon = socket.socket(fileno=os.dup(0))
    os.set_inheritable(daemon.fileno(), False)
    _null_stdin()
    for module in (*_OWN, *modules, *_heavy(modules)):
        # A package that is missing is the forked server's to report, with the model that needs it.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # What is here now is shared with every child; the collector would otherwise copy the pages by touching them.
    gc.collect()
    gc.freeze()
    _Parked(daemon).run()


def _heavy(modules: list[str]) -> list[str]:
    return [
        name for module in modules if module in loaders.FRAMEWORKS for name in loaders.loader(module).PRELOAD
    ]


class _Parked:
    def __init__(self, daemon: socket.socket) -> None:
        self._daemon = daemon
        self._children: set[int] = set()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Until the daemon's end of the socket is closed. Children live on."""
        if not self._tell({"type": "parked", "pid": os.getpid()}):
            return
        poller = select.poll()
        poller.register(self._daemon, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._wake_read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                    self._reap()
                elif not self._serve_message():
                    return

    def _serve_message(self) -> bool:
        try:
            data, fds = self._receive()
        except OSError:
            return False
        if not data:
            return False
        try:
            message = json.loads(data)
            if message["type"] != "fork" or len(fds) not in (_FDS - 1, _FDS):
                raise ValueError("fork takes a spec and three or four descriptors")
            spec = message["spec"]
        except (ValueError, KeyError, TypeError) as error:
            for fd in fds:
                os.close(fd)
            return self._tell({"type": "error", "message": str(error)})
        pid, go = self._fork(spec, fds)
        self._children.add(pid)
        for fd in fds:
            os.close(fd)
        try:
            # A daemon that has given up waiting never takes it over: the closed pipe then ends it.
            if self._tell({"type": "forked", "pid": pid}) and self._taken():
                os.write(go, b"!")
                return True
            return False
        finally:
            os.close(go)

    def _taken(self) -> bool:
        try:
            return bool(json.loads(self._daemon.recv(_MAX_MESSAGE))["type"] == "go")
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _receive(self) -> tuple[bytes, list[int]]:
        fds = array.array("i")
        data, ancillary, _, _ = self._daemon.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(_FDS * fds.itemsize))
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        return data, list(fds)

    def _fork(self, spec: dict[str, Any], fds: list[int]) -> tuple[int, int]:
        """The child's pid, and the pipe whose first byte lets it begin."""
        wait, go = os.pipe()
        with warnings.catch_warnings():
            # Python sees BLAS's workers and warns; BLAS has its own handlers around fork, and nothing has computed yet.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # the child does it too: whoever comes first
                os.setpgid(pid, pid)
            os.close(wait)
            return pid, go
        try:
            os.close(go)
            if not os.read(wait, 1):
                os._exit(0)
            os.close(wait)
            self._become_server(spec, *fds)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)

    def _become_server(
        self, spec: dict[str, Any], listen_fd: int, control_fd: int, log_fd: int, grpc_fd: int | None = None
    ) -> None:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)
        self._daemon.close()
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        _reseed()
        from kale_serve_lab.model_server.run import run_and_exit
        from kale_serve_lab.model_server.spec import LaunchSpec

        run_and_exit(LaunchSpec.from_json(spec, listen_fd=listen_fd, control_fd=control_fd, grpc_fd=grpc_fd))

    def _reap(self) -> None:
        for pid in list(self._children):
            with contextlib.suppress(ChildProcessError):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self._children.discard(pid)
                    self._tell({"type": "exited", "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> bool:
        try:
            self._daemon.send(json.dumps(message).encode())
        except OSError:
            return False
        return True


def _reseed() -> None:
    """Two children of one parent must not draw the same numbers."""
    import random

    import numpy as np

    random.seed()
    np.random.seed()  # noqa: NPY002 (the global one is what scikit-learn's models draw from)


def _null_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    main()
