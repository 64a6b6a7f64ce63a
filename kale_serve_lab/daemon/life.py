"""The daemon's life: put together, take calls, leave; what it holds is let go in the opposite order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tornado import httpserver

from kale_serve_lab import paths
from kale_serve_lab.backends.local import LocalBackend
from kale_serve_lab.backends.local.environments import Environments
from kale_serve_lab.client.version import PROTOCOL, own_version
from kale_serve_lab.daemon import api, election
from kale_serve_lab.daemon.asking import Artifacts
from kale_serve_lab.daemon.cluster_relay import ClusterRelay
from kale_serve_lab.daemon.clusters import ClusterSource
from kale_serve_lab.daemon.endpoints import Endpoints
from kale_serve_lab.daemon.events import EventLog
from kale_serve_lab.daemon.gateway import Gateway
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.daemon.runtimes import Runtimes
from kale_serve_lab.daemon.services import Services
from kale_serve_lab.daemon.sockets import bind
from kale_serve_lab.daemon.submissions import Submissions, now, recover
from kale_serve_lab.daemon.targets import Targets
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.daemon.views import Views
from kale_serve_lab.errors import EndpointNotReady
from kale_serve_lab.metadata.opening import open_store
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.stores.local import LocalStore

_log = logging.getLogger(__name__)
MAX_API_BODY = 64 << 20
# For calls under way when the daemon leaves; one that only follows a log would stay for good.
LEAVE_SECONDS = 2.0
# For a submission under way: hashing some tens of gigabytes. One that needs longer is dropped as by a crash.
FINISH_SECONDS = 60.0


async def live(data: Path, idle_seconds: float, ready: Callable[[], None]) -> None:
    """Be the daemon of `data`, whose lock this process holds; `ready` is called when calls are taken."""
    before = election.noted(data)
    leaving = asyncio.Event()
    stop_services = False
    cut_short = False

    def stop(services: bool = False) -> None:  # noqa: FBT001, FBT002
        nonlocal stop_services
        stop_services = stop_services or services
        leaving.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop)

    threads, events = Threads(), EventLog()
    store = LocalStore(data / "store")
    async with contextlib.AsyncExitStack() as held:
        held.callback(lambda: os._exit(0) if cut_short else threads.close())
        held.callback(store.close)
        metadata = await threads.metadata(_open, data, store, crashed=before.get("pid") is not None)
        held.push_async_callback(threads.metadata, metadata.close)
        gateway = Gateway(data, before.get("gateway_port"))
        held.push_async_callback(gateway.close)
        environments = Environments(paths.environments_dir())
        backend = LocalBackend(environments=environments)
        runtimes = Runtimes(data / "runtimes", environments, backend, threads)
        targets = Targets(backend, ClusterSource(data))
        artifacts, endpoints = Artifacts(store, metadata, threads), Endpoints(metadata, threads)
        views = Views(endpoints, gateway.url)
        services = Services(targets, artifacts, endpoints, events, views, runtimes)
        held.push_async_callback(services.close)
        idle = services.idle = Idle(idle_seconds, services.any, stop)
        held.callback(idle.close)
        held.push_async_callback(_close_targets, targets, lambda: stop_services)
        await targets.start(services.changed, services.came)
        await services.reconcile()
        started_at = now()
        about = {
            "version": own_version(),
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "started_at": started_at,
            "python": sys.executable,
            "data_dir": str(data),
            "gateway": gateway.url,
        }
        submissions = Submissions(data, store, metadata, threads, events)
        parts = api.Parts(
            about, data, metadata, threads, submissions, services, targets, runtimes, events, idle, stop
        )
        server = httpserver.HTTPServer(
            api.application(parts), max_buffer_size=MAX_API_BODY, max_body_size=MAX_API_BODY
        )
        held.push_async_callback(server.close_all_connections)
        held.push_async_callback(idle.gone, LEAVE_SECONDS)

        async def finish() -> None:
            nonlocal cut_short
            cut_short = not await submissions.finish(FINISH_SECONDS)
            if cut_short:
                _log.warning("A submission has not ended within %g s and is dropped.", FINISH_SECONDS)

        held.push_async_callback(finish)
        held.callback(events.close)
        path = paths.daemon_socket()
        listening = bind(path)
        held.callback(_leave_socket, path, listening)
        server.add_socket(listening)
        held.callback(server.stop)

        def find(namespace: str, name: str, target: str | None) -> tuple[str, str]:
            meant, key = targets.meant(name, namespace, target)
            service = meant.desired(key)
            assert service is not None
            reach = meant.reach(service)
            if reach.socket is None:
                raise EndpointNotReady(f"The endpoint {name} has no address yet.", subject=name)
            return reach.socket, reach.base

        relay = ClusterRelay(
            lambda: next((ways for one in targets.all() if (ways := getattr(one, "ways", None))), None)
        )
        held.push_async_callback(relay.close)
        relay.start(idle)
        gateway.start(idle, find)
        election.note(data, started_at, own_version(), gateway.port)
        idle.look()
        _log.info("The daemon is ready: pid %d, %s, gateway %s", os.getpid(), path, gateway.url)
        ready()
        await leaving.wait()
        _log.info("The daemon leaves.")
    # The next one then need not look for what was cut short.
    election.note_left(data, gateway.port)


def _leave_socket(path: Path, listening: socket.socket) -> None:
    # First the name goes, so that a caller finds nothing rather than a connection that nobody takes.
    path.unlink(missing_ok=True)
    listening.close()


async def _close_targets(targets: Targets, stop_services: Callable[[], bool]) -> None:
    await targets.close(stop_services=stop_services())


def _open(data: Path, store: LocalStore, *, crashed: bool) -> MetadataStore:
    metadata = open_store(data / "metadata.sqlite", lambda: (one for _, one in store.manifests()))
    recover(data, store, metadata, crashed=crashed)
    return metadata
