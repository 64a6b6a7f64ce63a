"""The daemon's API on its Unix socket: each call checks, asks the part that knows, and answers in its words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado import iostream, web

from kale_serve_lab.daemon import requests
from kale_serve_lab.daemon.events import EventLog
from kale_serve_lab.daemon.http import Handler, Missing
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.daemon.runtimes import Runtimes, listed
from kale_serve_lab.daemon.services import Services
from kale_serve_lab.daemon.submissions import Submissions, check_unused, lookup
from kale_serve_lab.daemon.targets import Targets
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import Query
from kale_serve_lab.metadata.versions import following

MAX_PAGE = 500
HEARTBEAT_SECONDS = 15.0


@dataclass(frozen=True)
class Parts:
    """What the calls are answered from."""

    about: dict[str, Any]
    data_dir: Path
    metadata: MetadataStore
    threads: Threads
    submissions: Submissions
    services: Services
    targets: Targets
    runtimes: Runtimes
    events: EventLog
    idle: Idle
    stop: Callable[[bool], None]


class ApiHandler(Handler):
    """A call of the API."""

    def initialize(self, parts: Parts) -> None:  # type: ignore[override]
        """Take the parts."""
        super().initialize(parts.idle)
        self.parts = parts


class VersionHandler(ApiHandler):
    """Who answers here."""

    def get(self) -> None:
        """Version, protocol, process, and the gateway's address."""
        self.answer(self.parts.about)


class ArtifactsHandler(ApiHandler):
    """Artifacts, all of them."""

    async def get(self) -> None:
        """A page, newest first."""
        token = self.get_query_argument("page_token", "")
        query = Query(
            types=tuple(filter(None, self.get_query_argument("type", "").split(","))),
            name=self.get_query_argument("name", "")[: requests.MAX_TEXT] or None,
            text=self.get_query_argument("q", "")[: requests.MAX_TEXT] or None,
            limit=requests.number(self.get_query_argument("limit", ""), "limit", 50, MAX_PAGE) or 1,
            before_id=requests.number(token, "page_token", 0, 1 << 62) if token else None,
        )
        page = await self.parts.threads.metadata(self.parts.metadata.list, query)
        self.answer(
            {
                "items": [artifact.to_json() for artifact in page.items],
                "next_page_token": None if page.next_before_id is None else str(page.next_before_id),
                "total": page.total,
            }
        )

    async def post(self) -> None:
        """Submit one."""
        asked = requests.submission(self.body_json(), self.parts.data_dir)
        artifact, created = await self.parts.submissions.submit(asked)
        self.answer(artifact.to_json(), 201 if created else 200)


class ArtifactHandler(ApiHandler):
    """One artifact, by id, `name:version` or `name`."""

    async def get(self, ref: str) -> None:
        """What is recorded of it."""
        artifact = await self.parts.threads.metadata(lookup, self.parts.metadata, ref)
        self.answer(artifact.to_json())

    async def delete(self, ref: str) -> None:
        """Drop it; 409 while it is served."""
        artifact = await self.parts.threads.metadata(lookup, self.parts.metadata, ref)
        check_unused(artifact, self.parts.services.using)
        await self.parts.submissions.delete(artifact)
        self.set_status(204)
        self.finish()


class LineageHandler(ApiHandler):
    """What an artifact came from and what came of it."""

    async def get(self, ref: str) -> None:
        """The graph."""
        threads, metadata = self.parts.threads, self.parts.metadata
        artifact = await threads.metadata(lookup, metadata, ref)
        lineage = await threads.metadata(metadata.lineage, artifact.id)
        self.answer(lineage.to_json())


class NextVersionHandler(ApiHandler):
    """Versions of a name."""

    async def get(self) -> None:
        """Those that are there, and the one that comes next."""
        name = requests.artifact_name(self.get_query_argument("name", ""))
        kind = self.get_query_argument("type", "") or None
        versions = await self.parts.threads.metadata(self.parts.metadata.versions, name, kind)
        self.answer({"name": name, "versions": versions, "next": following(versions)})


class ServicesHandler(ApiHandler):
    """Services, all of them."""

    async def get(self) -> None:
        """All, with the number of the last event they include."""
        # Taken first: an event that comes while they are read is told again rather than lost.
        seq = self.parts.events.seq
        self.answer({"seq": seq, "items": await self.parts.services.listing()})

    async def post(self) -> None:
        """Create one, or make the next revision."""
        status, value = await self.parts.services.apply(self.body_json())
        self.answer(value, status)


class NamedHandler(ApiHandler):
    """A call that names a service, and may say by its query which one of that name is meant."""

    def place(self) -> tuple[str | None, str | None]:
        """Namespace and target, None where the caller leaves them open."""
        return self.get_query_argument("namespace", "") or None, self.get_query_argument("target", "") or None


class ServiceHandler(NamedHandler):
    """One service."""

    async def get(self, name: str) -> None:
        """What it is and how it is."""
        self.answer(await self.parts.services.get(name, *self.place()))

    async def delete(self, name: str) -> None:
        """Delete it; the answer comes when nothing is left."""
        await self.parts.services.delete(name, *self.place())
        self.set_status(204)
        self.finish()


class ObjectHandler(NamedHandler):
    """A service's object on its cluster."""

    async def get(self, name: str) -> None:
        """What was sent, what is there, and what others have changed."""
        self.answer(self.parts.services.object(name, *self.place()))


class PauseHandler(NamedHandler):
    """Let a service rest."""

    async def post(self, name: str) -> None:
        """Let go of what serves, keep the service."""
        self.answer(await self.parts.services.pause(name, *self.place()), 202)


class ResumeHandler(NamedHandler):
    """The end of a rest."""

    async def post(self, name: str) -> None:
        """Serve again."""
        self.answer(await self.parts.services.resume(name, *self.place()), 202)


class TargetsHandler(ApiHandler):
    """Where services can be."""

    async def get(self) -> None:
        """What there is: this machine, and the cluster."""
        await self.parts.targets.look()
        self.answer(self.parts.targets.listing())


class StreamHandler(ApiHandler):
    """An answer that lasts; it ends at once when the caller goes."""

    _task: asyncio.Task[Any] | None = None

    def on_connection_close(self) -> None:
        """Stop waiting for more to tell."""
        super().on_connection_close()
        if self._task is not None:
            self._task.cancel()

    async def stream(self, lines: Any) -> None:
        """Send the texts of an async iterator as they come."""
        self._task = asyncio.current_task()
        try:
            async for line in lines:
                self.write(line)
                await self.flush()
        except (asyncio.CancelledError, iostream.StreamClosedError):
            return
        finally:
            self._task = None
            with contextlib.suppress(RuntimeError):
                await lines.aclose()
        self.finish()


class LogsHandler(StreamHandler, NamedHandler):
    """What a service's processes have written."""

    async def get(self, name: str) -> None:
        """The last lines, and with follow=1 each further one."""
        revision = self.get_query_argument("revision", "")
        lines = self.parts.services.logs(
            name,
            *self.place(),
            component=self.get_query_argument("component", "") or None,
            revision=requests.number(revision, "revision", 0, 1 << 31) if revision else None,
            tail=requests.number(self.get_query_argument("tail", ""), "tail", 200, 10_000),
            follow=self.get_query_argument("follow", "") in {"1", "true"},
        )
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.stream(lines)


class EventsHandler(StreamHandler):
    """Changes, as they happen."""

    async def get(self) -> None:
        """One event a line, a blank line as heartbeat."""
        since = self.get_query_argument("since", "")
        number = requests.number(since, "since", 0, 1 << 62) if since else None
        self.set_header("Content-Type", "application/x-ndjson")
        # The head goes out at once, so that a caller knows it is listening before it causes what it listens for.
        events = self.parts.events.follow(number, HEARTBEAT_SECONDS)
        await self.flush()

        async def lines() -> Any:
            async for event in events:
                yield b"\n" if event is None else json.dumps(event, separators=(",", ":")).encode() + b"\n"

        await self.stream(lines())


class RuntimesHandler(ApiHandler):
    """The kinds of model servers."""

    async def get(self) -> None:
        """The table with the user's rows, and whether each can run here; of a target those that it has."""
        target = self.get_query_argument("target", "")
        backend = self.parts.targets.get(target) if target else None
        rows = await backend.runtimes(backend.namespace) if backend else None
        self.answer(await self.parts.runtimes.listing() if rows is None else listed(rows))


class EnvironmentsHandler(ApiHandler):
    """Environments that were made on demand."""

    async def get(self) -> None:
        """All, and who uses them."""
        self.answer(await self.parts.runtimes.environments())


class EnvironmentHandler(ApiHandler):
    """One environment."""

    async def delete(self, name: str) -> None:
        """Remove it; 409 while something uses it."""
        await self.parts.runtimes.remove(name)
        self.set_status(204)
        self.finish()


class StopHandler(ApiHandler):
    """The end."""

    async def post(self) -> None:
        """Stop the daemon, with `services` all endpoints too."""
        services = requests.flag(self.body_json(), "services")
        self.answer({"services": services}, 202)
        self.parts.stop(services)


def application(parts: Parts) -> web.Application:
    """All routes."""
    one = "([^/]+)"
    routes: list[tuple[str, type[ApiHandler]]] = [
        ("/api/version", VersionHandler),
        ("/api/artifacts", ArtifactsHandler),
        (f"/api/artifacts/{one}", ArtifactHandler),
        (f"/api/artifacts/{one}/lineage", LineageHandler),
        ("/api/next_version", NextVersionHandler),
        ("/api/services", ServicesHandler),
        (f"/api/services/{one}", ServiceHandler),
        (f"/api/services/{one}/logs", LogsHandler),
        (f"/api/services/{one}/object", ObjectHandler),
        (f"/api/services/{one}/pause", PauseHandler),
        (f"/api/services/{one}/resume", ResumeHandler),
        ("/api/targets", TargetsHandler),
        ("/api/runtimes", RuntimesHandler),
        ("/api/environments", EnvironmentsHandler),
        (f"/api/environments/{one}", EnvironmentHandler),
        ("/api/events", EventsHandler),
        ("/api/stop", StopHandler),
    ]
    return web.Application(
        [(path, handler, {"parts": parts}) for path, handler in routes],
        default_handler_class=Missing,
        default_handler_args={"idle": parts.idle},
        log_function=lambda _: None,
    )
