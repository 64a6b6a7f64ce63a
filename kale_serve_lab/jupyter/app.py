"""The extension: its options, its routes, and the one task that follows the daemon's events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Integer

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.jupyter import api, kernel_path
from kale_serve_lab.jupyter.events import SCHEMA_ID, SCHEMA_PATH, EventFollower
from kale_serve_lab.jupyter.fronts import Fronts
from kale_serve_lab.jupyter.logs import LogsHandler
from kale_serve_lab.jupyter.predictions import PredictionHandler

T = TypeVar("T")

# Names may hold anything, so that a name with a slash is refused as a name and not as an unknown path.
ROUTES: list[tuple[str, type[Any]]] = [
    ("/kale-serve/api/health", api.HealthHandler),
    ("/kale-serve/api/kernel", api.KernelHandler),
    ("/kale-serve/api/artifacts", api.ArtifactsHandler),
    ("/kale-serve/api/artifacts/([^/]*)", api.ArtifactHandler),
    ("/kale-serve/api/artifacts/([^/]*)/lineage", api.LineageHandler),
    ("/kale-serve/api/next_version", api.NextVersionHandler),
    ("/kale-serve/api/services", api.ServicesHandler),
    ("/kale-serve/api/services/(.*)/logs", LogsHandler),
    ("/kale-serve/api/services/(.*)/object", api.ObjectHandler),
    ("/kale-serve/api/services/(.*)/pause", api.PauseHandler),
    ("/kale-serve/api/services/(.*)/resume", api.ResumeHandler),
    ("/kale-serve/api/services/(.*)", api.ServiceHandler),
    ("/kale-serve/api/targets", api.TargetsHandler),
    ("/kale-serve/api/runtimes", api.RuntimesHandler),
    ("/kale-serve/api/environments", api.EnvironmentsHandler),
    ("/kale-serve/api/environments/(.*)", api.EnvironmentHandler),
    ("/kale-serve/serving/([^/]*)/(.*?)/(v[12](?:/.*)?)", PredictionHandler),
    ("/kale-serve/(.*)", api.MissingHandler),
]


class KaleServeApp(ExtensionApp):
    """Kale Serve Lab in the Jupyter server: thin handlers in front of the user's own daemon."""

    name = "kale_serve_lab"
    extension_url = "/lab"
    load_other_extensions = True

    heartbeat_seconds = Float(
        15.0,
        min=0.05,
        help="""Seconds of silence after which a followed log sends a comment, so that a proxy between does not close it.""",
    ).tag(config=True)

    max_prediction_bytes = Integer(
        1 << 30,
        min=1,
        help="""The longest body, in bytes, of a prediction's request and of its answer. Bodies stream through: this does
        not cost memory in the Jupyter server. ServerApp.max_body_size does not hold for predictions.""",
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Make what the handlers ask."""
        assert self.serverapp is not None
        self.client = AsyncClient()
        self.fronts = Fronts(self.client)
        logger = self.serverapp.event_logger
        assert logger is not None
        logger.register_event_schema(SCHEMA_PATH)

        def emit(event: dict[str, Any]) -> None:
            self.fronts.on_event(event)
            logger.emit(schema_id=SCHEMA_ID, data=event)

        self.events = EventFollower(self.client, emit, self.log)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend(ROUTES)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """The result of a call that waits for disk or socket."""
        return await asyncio.get_running_loop().run_in_executor(None, call)

    async def _start_jupyter_server_extension(self, _serverapp: Any) -> None:
        try:
            await self.in_thread(kernel_path.note_interpreter)
        except (KaleServeError, OSError) as error:
            # The panel shows it with its hint; Jupyter itself goes on.
            self.log.warning("Kale Serve's data directory cannot be used: %s", error)
        self.events.start()

    async def stop_extension(self) -> None:
        """Let go of the daemon, which goes on."""
        await self.events.stop()
