"""Predictions for services on a cluster, on one Unix socket: the lean transport ends here and the cluster's way begins.

Where a request goes is the backend's word for the name in its path. Bodies are not looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from tornado import httpserver, iostream, web

from kale_serve_lab import paths
from kale_serve_lab.daemon.http import Handler, Missing
from kale_serve_lab.daemon.sockets import bind
from kale_serve_lab.errors import ClusterUnavailable, InvalidRequest, KaleServeError
from kale_serve_lab.serving.names import check_service_name
from kale_serve_lab.serving.types import ServiceKey

if TYPE_CHECKING:
    from kale_serve_lab.backends.kserve.way import Ways
    from kale_serve_lab.daemon.idle import Idle

MAX_BODY: Final = 1 << 30
# What is this small is sent in one piece, by a connection that is kept.
_SMALL: Final = 1 << 20
_CALL: Final = re.compile(r"/v[12](?:/[A-Za-z0-9_.:-]{1,200}){0,8}")
_UP: Final = frozenset(
    {"accept", "content-type", "content-length", "inference-header-content-length", "x-request-id"}
)
_DOWN: Final = ("content-type", "inference-header-content-length", "x-kale-serve-revision")


@web.stream_request_body
class ClusterHandler(Handler):
    """A prediction, or a question about a model."""

    def initialize(self, idle: Idle, ways: Callable[[], Ways | None]) -> None:  # type: ignore[override]
        """Take what finds the way."""
        super().initialize(idle)
        self._ways = ways
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._small: bytearray | None = None
        self._passing: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Check all that can be checked before a byte of the body is taken."""
        super().prepare()
        request = self.request
        namespace, name, path = (part or "" for part in self.path_args)
        check_service_name(name, namespace)
        if request.method not in ("GET", "POST"):
            raise web.HTTPError(405)
        if not _CALL.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
            raise InvalidRequest(f"{ascii(path)[:80]} is no call of the v1 or v2 protocol.", subject=name)
        if request.query:
            raise InvalidRequest("A prediction takes no query.", subject=name)
        ways = self._ways()
        if ways is None:
            raise ClusterUnavailable(
                f"{name} is asked for on a cluster, and none is configured.",
                subject=f"{namespace}/{name}",
                hint="kale-serve cluster set --context NAME names one.",
            )
        self._pass_on = (ways, ServiceKey(namespace, name), path)
        length = request.headers.get("Content-Length")
        if request.method == "GET" or length is None or int(length) <= _SMALL:
            self._small = bytearray()
        if length is None and request.method == "POST" and "Transfer-Encoding" in request.headers:
            self._small = None
        if self._small is None:
            self._passing = asyncio.create_task(self._pass())

    async def data_received(self, chunk: bytes) -> None:
        """Keep what is small, hand the rest on as fast as it is taken."""
        if self._small is not None:
            self._small += chunk
        else:
            await self._put(chunk)

    async def get(self, *_: str) -> None:
        """Metadata and readiness."""
        await self._finish()

    async def post(self, *_: str) -> None:
        """A prediction."""
        await self._finish()

    def on_connection_close(self) -> None:
        """Give up with the caller."""
        super().on_connection_close()
        if self._passing is not None:
            self._passing.cancel()

    async def _finish(self) -> None:
        if self._passing is None:
            self._passing = asyncio.create_task(self._pass())
        else:
            await self._put(None)
        with contextlib.suppress(asyncio.CancelledError, iostream.StreamClosedError):
            await self._passing

    async def _put(self, part: bytes | None) -> None:
        assert self._passing is not None
        putting = asyncio.ensure_future(self._parts.put(part))
        # A server that answers before it has taken the body takes no more of it.
        await asyncio.wait({putting, self._passing}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    async def _streamed(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part

    async def _pass(self) -> None:
        request = self.request
        ways, key, path = self._pass_on
        headers = {name.lower(): value for name, value in request.headers.items() if name.lower() in _UP}
        body: bytes | AsyncIterator[bytes] | None = None
        if request.method == "POST":
            body = self._streamed() if self._small is None else bytes(self._small)
        try:
            async with ways.open(key, request.method or "GET", path, headers, body) as answer:
                self.set_status(answer.status)
                self.set_header("Content-Type", "application/json")
                for name in _DOWN:
                    if name in answer.headers:
                        self.set_header(name, answer.headers[name])
                if "content-length" in answer.headers:
                    self.set_header("Content-Length", answer.headers["content-length"])
                left = int(answer.headers.get("content-length", "-1"))
                async for part in answer.parts():
                    self.write(part)
                    left -= len(part)
                    # The last part goes out with the end: a small answer is one write.
                    if left:
                        await self.flush()
            self.finish()
        except iostream.StreamClosedError:
            return
        except KaleServeError as error:
            self._fail(error)
        except (OSError, ValueError) as error:
            self._fail(
                KaleServeError(
                    f"{key.name}: the request could not be carried to the cluster ({error}).",
                    code="UpstreamFailed",
                    subject=key.name,
                )
            )

    def _fail(self, error: KaleServeError) -> None:
        if self._headers_written:
            # Part of the answer is sent: only the connection's end can still say that the rest does not come.
            self.request.connection.stream.close()  # type: ignore[union-attr]
            return
        self.clear()
        self.answer(error.to_json(), error.http_status)


class ClusterRelay:
    """The socket's server. `ways` gives what finds a service now, None where no cluster is configured."""

    def __init__(self, ways: Callable[[], Ways | None]) -> None:
        self._ways = ways
        self._server: httpserver.HTTPServer | None = None
        self._listening: socket.socket | None = None

    def start(self, idle: Idle) -> None:
        """Take requests."""
        options = {"idle": idle, "ways": self._ways}
        application = web.Application(
            [(r"/serving/([^/]*)/([^/]*)(/.*)", ClusterHandler, options)],
            default_handler_class=Missing,
            default_handler_args={"idle": idle},
            log_function=lambda _: None,
        )
        self._server = httpserver.HTTPServer(application, max_body_size=MAX_BODY, idle_connection_timeout=300)
        self._listening = bind(paths.cluster_socket())
        self._server.add_socket(self._listening)

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is None or self._listening is None:
            return
        paths.cluster_socket().unlink(missing_ok=True)
        self._server.stop()
        await self._server.close_all_connections()
        self._listening.close()
        self._server = self._listening = None
