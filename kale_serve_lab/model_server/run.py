"""The life of a model-server process: load in the main thread, serve from the server thread, leave on request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.model_server.app import App
from kale_serve_lab.model_server.component import Component
from kale_serve_lab.model_server.control import ControlServer
from kale_serve_lab.model_server.grpc_door import GrpcDoor
from kale_serve_lab.model_server.http import HttpServer
from kale_serve_lab.model_server.loaders import load_error
from kale_serve_lab.model_server.spec import LaunchSpec
from kale_serve_lab.model_server.state import State
from kale_serve_lab.model_server.work import MainThreadWork

FAILED = 3
_FAILED_SECONDS = 1.0
# A failed server stays this long for a daemon that has not connected yet, so that the cause is told, not guessed.
_TELL_FAILURE_SECONDS = 2.0
# A model in pure Python would hold the interpreter for 5 ms (the default) before the server thread gets its turn.
_SWITCH_SECONDS = 0.001

log = logging.getLogger("kale_serve_lab.model_server")


def run(spec: LaunchSpec, failed: Callable[[KaleServeError], None] = lambda _: None) -> int:
    """Serve until the daemon (or SIGTERM) ends it; to be called in the process's main thread. Returns the exit status.

    0: asked to leave; 3: the model did not load (told on the control socket, with the cause, and to `failed`).
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    sys.setswitchinterval(_SWITCH_SECONDS)
    work = MainThreadWork()
    server = _Server(spec, work)
    with _signals() as signal_fd:
        thread = threading.Thread(target=server.run, args=(signal_fd,), name="kale-serve", daemon=True)
        thread.start()
        server.started.wait()
        began = time.perf_counter()
        with contextlib.ExitStack() as last:
            try:
                component = _component(
                    spec, work, last, lambda error: server.tell(lambda: server.fail(error))
                )
                seconds = component.load()
            except BaseException as error:  # a model file may raise SystemExit
                failure = load_error(spec, error)
                log.error("%s", failure.message, exc_info=error)
                failed(failure)
                server.tell(lambda: server.fail(failure))
            else:
                log.info("%s: loaded in %.3f s", spec.service, time.perf_counter() - began)
                server.tell(lambda: server.serve(component, seconds))
            work.serve_forever()
            thread.join()
    return server.status


def _component(
    spec: LaunchSpec,
    work: MainThreadWork,
    last: contextlib.ExitStack,
    ended: Callable[[KaleServeError], None],
) -> Component:
    if spec.runtime is not None:
        from kale_serve_lab.model_server.foreign.component import Foreign

        foreign = Foreign(spec, ended)
        last.callback(foreign.close)
        return foreign
    if spec.component == "transformer":
        from kale_serve_lab.model_server.transformer import Transformer

        return Transformer(spec, work)
    from kale_serve_lab.model_server.predict import Predictor

    return Predictor(spec, work)


class _signals(contextlib.AbstractContextManager[int]):  # noqa: N801
    """SIGTERM and SIGINT as bytes on a descriptor, also while the main thread is deep inside a native call."""

    def __enter__(self) -> int:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self._read

    def __exit__(self, *_: object) -> None:
        # The handlers stay: a second SIGTERM in the last moment must not turn an orderly end into a kill.
        signal.set_wakeup_fd(-1)


class _Server:
    """The server thread."""

    def __init__(self, spec: LaunchSpec, work: MainThreadWork) -> None:
        self._spec = spec
        self._work = work
        self._state = State()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: HttpServer | None = None
        self._grpc: GrpcDoor | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._stopping = False
        self.started = threading.Event()
        self.status = 0

    def tell(self, call: Callable[[], None]) -> None:
        """Run `call` in the server thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call)

    def run(self, signal_fd: int) -> None:
        """The thread's body."""
        try:
            asyncio.run(self._main(signal_fd))
        except BaseException:
            log.exception("The server thread ended.")
            self.status = 1
            self.started.set()
        self._work.close()

    async def _main(self, signal_fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = asyncio.Event()
        self._loop.add_reader(signal_fd, self._on_signal, signal_fd)
        self._control: ControlServer | None = None
        if self._spec.control_fd is not None:
            self._control = ControlServer(self._spec, self._state, {"stop": self.stop, "drain": self.drain})
        self._state.change("loading", f"{self._spec.service} is being loaded.")
        self.started.set()
        await self._left.wait()
        self._loop.remove_reader(signal_fd)
        if self._control is not None:
            self._control.close()

    def _on_signal(self, signal_fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(signal_fd, 64)
        self.stop()

    def serve(self, component: Component, seconds: dict[str, float]) -> None:
        """Open the doors. Until now connections waited in the backlog, as they do while a crashed server restarts."""
        if self._left.is_set():
            return
        self._grpc = GrpcDoor(self._spec, component)
        if self._grpc.opening is None:
            self._open(component, seconds)
        else:
            # Whoever finds one port open may take the other for open, too.
            self._grpc.opening.add_done_callback(lambda _: self._open(component, seconds))

    def _open(self, component: Component, seconds: dict[str, float]) -> None:
        if self._left.is_set():
            return
        assert self._grpc is not None
        app = App(self._spec, component, lambda: not self._stopping)
        listener = socket.socket(fileno=self._spec.listen_fd)
        if listener.family != socket.AF_UNIX:
            # Bound until now, and refusing: a port that takes connections counts as ready on a cluster.
            listener.listen(1024)
        self._http = HttpServer(
            listener,
            app.answer,
            headers={"X-Kale-Serve-Revision": str(self._spec.revision), "Server": "kale-serve"},
            max_body_bytes=self._spec.max_body_bytes,
        )
        self._state.protocols = self._grpc.protocols
        self._state.binary = self._spec.runtime is None or self._spec.runtime.binary
        self._state.change("loaded", f"{self._spec.service} is loaded.", seconds=seconds)

    def fail(self, error: KaleServeError) -> None:
        """Say why, then leave. Requests that are in flight get their answer, be it an error."""
        if self._stopping:
            return
        self._stopping = True
        self.status = FAILED
        self._state.change("failed", error.message, error=error)

        async def leave() -> None:
            await self._finish_in_flight(_FAILED_SECONDS)
            if self._control is not None:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._control.greeted.wait(), _TELL_FAILURE_SECONDS)
                self._control.accept()
            self._left.set()

        self._leave_by(leave())

    def drain(self) -> None:
        """Serve who is there or still comes by the old path, then leave."""
        if self._http is None:
            self.stop()
        elif self._leaving is None:
            http, grpc = self._http, self._grpc
            assert grpc is not None
            http.draining = True
            self._state.change("draining", f"{self._spec.service} serves its last connections.")

            async def leave() -> None:
                await asyncio.gather(http.drain(), grpc.drain())
                self._left.set()

            self._leave_by(leave())

    def stop(self) -> None:
        """Finish what is in flight, then leave; a load or a prediction that does not end is not waited for."""
        if self._stopping:
            return
        self._stopping = True
        if self._http is not None:
            # Before anyone hears of it: what is answered from now on is the connection's last.
            self._http.draining = True
        self._state.change("draining", f"{self._spec.service} finishes what is in flight.")

        async def leave() -> None:
            if self._http is not None:
                # Those that send requests here hear of the end later than we do.
                await asyncio.sleep(self._spec.linger_seconds)
            if not await self._finish_in_flight(self._spec.grace_seconds):
                # The main thread is inside the user's code and may never come back.
                _exit(self.status)
            self._left.set()

        self._leave_by(leave())

    async def _finish_in_flight(self, seconds: float) -> bool:
        """Whether the doors were open, and everyone has been answered."""
        http, grpc = self._http, self._grpc
        if http is None or grpc is None:
            return False
        http.draining = True
        await asyncio.gather(http.finish_in_flight(seconds), grpc.finish_in_flight(seconds))
        return not http.in_flight and not grpc.in_flight

    def _leave_by(self, way: object) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        assert self._loop is not None
        self._leaving = self._loop.create_task(way)  # type: ignore[arg-type]


def _exit(status: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def run_and_exit(spec: LaunchSpec, failed: Callable[[KaleServeError], None] = lambda _: None) -> None:
    """`run`, then end at once: threads that a model left behind must not keep the process."""
    _exit(run(spec, failed))
