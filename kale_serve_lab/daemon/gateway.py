"""The endpoints over TCP on the loopback address, for curl and programs that know no Unix sockets.

Every request needs the bearer token of the data directory's `token` file. A request's head is written anew for the front
socket and its body framed anew, so that what this server and the one behind it take for one request is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tornado import httpserver, iostream, web

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.daemon.http import Handler, Missing
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.errors import (
    EndpointGone,
    EndpointNotReady,
    Forbidden,
    InvalidRequest,
    KaleServeError,
    Unauthorized,
    UpstreamFailed,
)

MAX_BODY = 1 << 30
# Namespace, name and target (None: the local one if there is one) to the socket and what stands before /v1 or /v2 there.
Find = Callable[[str, str, "str | None"], "tuple[str | Path, str]"]
# What belongs to one connection, and what is written anew.
_DROPPED = {
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%-]+")
_ASKED = re.compile(r"/infer$|:[a-z]+$")
_TRAVERSAL = re.compile(r"(?:^|/|%2f|%5c)(?:\.|%2e){1,2}(?=/|%2f|%5c|$)|%00|//", re.IGNORECASE)


class PredictHandler(Handler):
    """A prediction, streamed both ways without being looked into."""

    def initialize(self, idle: Idle, token: str, hosts: set[str], find: Find) -> None:  # type: ignore[override]
        """Take the secret, the names this server answers to, and what finds endpoints."""
        super().initialize(idle)
        self._token, self._hosts, self._find = token, hosts, find
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._passing: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Check all that can be checked before a byte of the body is taken."""
        super().prepare()
        request = self.request
        if request.headers.get("Host", "").lower() not in self._hosts:
            raise Forbidden("This address answers to its own name only.", hint=f"Use {min(self._hosts)}.")
        if "Origin" in request.headers:
            raise Forbidden(
                "No web page may call this address.",
                hint="In JupyterLab, use the endpoint's path below the Jupyter server instead.",
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), self._token.encode()
        ):
            self.set_header("WWW-Authenticate", 'Bearer realm="kale-serve"')
            raise Unauthorized(
                "The request has no valid token.",
                hint="Send `Authorization: Bearer …` with the content of the file `token` in the data directory.",
            )
        tail = request.path.split("/", 4)[4]
        if not _PATH.fullmatch(request.path) or _TRAVERSAL.search(request.path):
            raise InvalidRequest(
                "The path is not one of the prediction protocols.", subject=request.path[:200]
            )
        namespace, name = (self.path_args[0] or ""), (self.path_args[1] or "")
        targets = self.get_query_arguments("target")
        front, base = self._find(namespace, name, targets[0] if targets else None)
        self._passing = asyncio.create_task(self._pass(name, front, f"{base}/{tail}"))

    async def data_received(self, chunk: bytes) -> None:
        """Hand a piece of the body on; the caller waits while the server behind does."""
        await self._put(chunk)

    async def get(self, *_: str) -> None:
        """Metadata and health."""
        await self._passed()

    async def post(self, *_: str) -> None:
        """Predictions."""
        await self._passed()

    def allowed(self) -> list[str]:
        """What the server behind takes there: predictions are posted, all else is read."""
        return ["POST" if _ASKED.search(self.request.path) else "GET"]

    def on_connection_close(self) -> None:
        """Give up with the caller."""
        super().on_connection_close()
        if self._passing is not None:
            self._passing.cancel()

    async def _passed(self) -> None:
        assert self._passing is not None
        await self._put(None)
        with contextlib.suppress(asyncio.CancelledError, iostream.StreamClosedError):
            await self._passing

    async def _put(self, part: bytes | None) -> None:
        assert self._passing is not None
        putting = asyncio.ensure_future(self._parts.put(part))
        # A server that answers before it has taken the body takes no more of it.
        await asyncio.wait({putting, self._passing}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    async def _body(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part

    async def _pass(self, name: str, front: str | Path, path: str) -> None:
        request = self.request
        headers = {key: value for key, value in request.headers.get_all() if key.lower() not in _DROPPED}
        has_body = request.method == "POST"
        if "Content-Length" in request.headers and has_body:
            headers["Content-Length"] = request.headers["Content-Length"]
        kept = "&".join(part for part in request.query.split("&") if not part.startswith("target="))
        query = f"?{kept}" if kept else ""
        began = False
        try:
            upstream = AsyncClient(front)
            async with upstream.stream(
                request.method or "GET",
                path + query,
                headers=headers,
                body=self._body() if has_body else None,
            ) as answer:
                if 300 <= answer.status < 400:
                    raise UpstreamFailed(f"The endpoint {name} answers with a redirect.", subject=name)
                self.set_status(answer.status)
                for key, value in answer.headers.items():
                    if key not in _DROPPED:
                        self.set_header(key, value)
                if "content-length" in answer.headers:
                    self.set_header("Content-Length", answer.headers["content-length"])
                began = True
                async for part in answer.parts():
                    self.write(part)
                    await self.flush()
            self.finish()
        except iostream.StreamClosedError:
            return
        except (FileNotFoundError, ConnectionRefusedError):
            self._fail(EndpointNotReady(f"The endpoint {name} does not answer yet.", subject=name), began)
        except KaleServeError as error:
            self._fail(error, began)
        except (OSError, ValueError) as error:
            self._fail(
                EndpointGone(f"The endpoint {name} ended the connection ({error}).", subject=name), began
            )

    def _fail(self, error: KaleServeError, began: bool) -> None:  # noqa: FBT001
        if began:
            # Part of the answer is sent: only the connection's end can still say that the rest does not come.
            self.request.connection.stream.close()  # type: ignore[union-attr]
            return
        self.clear()
        self.answer(error.to_json(), error.http_status)


@web.stream_request_body
class StreamedPredictHandler(PredictHandler):
    """The handler with its body streamed."""


class Gateway:
    """The TCP server; its port stays the same over restarts where it is free."""

    def __init__(self, data_dir: Path, wish: int | None) -> None:
        self._token = _token(data_dir / "token")
        self._sockets = [_bound(wish)]
        self.port: int = self._sockets[0].getsockname()[1]
        self._server: httpserver.HTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, idle: Idle, find: Find) -> None:
        """Take requests; `find` gives the socket and the base path of an endpoint, and raises for what is none."""
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        options: dict[str, Any] = {"idle": idle, "token": self._token, "hosts": hosts, "find": find}
        application = web.Application(
            [(r"/serving/([^/]+)/([^/]+)/v[12](?:/[^?]*)?", StreamedPredictHandler, options)],
            default_handler_class=Missing,
            default_handler_args={"idle": idle},
            log_function=lambda _: None,
        )
        self._server = httpserver.HTTPServer(application, max_body_size=MAX_BODY, idle_connection_timeout=300)
        self._server.add_sockets(self._sockets)

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
        for one in self._sockets:
            one.close()


def _bound(wish: int | None) -> socket.socket:
    for port in (wish or 0, 0):
        one = socket.socket(socket.AF_INET)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setblocking(False)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            one.close()
            continue
        one.listen(128)
        return one
    raise KaleServeError(
        "No port is free on 127.0.0.1.", code="GatewayFailed", hint="Too many connections are open?"
    )


def _token(path: Path) -> str:
    """The bearer token; made once, readable by its owner only."""
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o600)
        if found := path.read_text().strip():
            return found
    token = secrets.token_urlsafe(32)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(token)
    return token
