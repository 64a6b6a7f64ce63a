"""Predictions: both bodies stream through to the endpoint's front socket and back, unread and unparsed.

Where to is the daemon's word for the endpoint's name; nothing that the caller sends is an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from tornado import iostream, web

from kale_serve_lab.client.aio import Answer, AsyncClient
from kale_serve_lab.errors import EndpointGone, InvalidRequest, UpstreamFailed
from kale_serve_lab.jupyter.base import KaleHandler, permitted
from kale_serve_lab.jupyter.fronts import not_ready
from kale_serve_lab.serving.names import check_service_name

BODY_TYPES = ("application/json", "application/octet-stream")
ANSWER_TYPES = (*BODY_TYPES, "text/plain")
_JSON_LENGTH = "Inference-Header-Content-Length"
_BACK = ("Content-Length", _JSON_LENGTH, "X-Kale-Serve-Revision")
_CALL = re.compile(r"v[12](/[A-Za-z0-9_.:-]{1,200}){0,8}\Z")
# What Jupyter's own front end and token links append; none of it reaches the endpoint.
_QUERY = re.compile(r"(\d+|token|_xsrf|no_track_activity)\Z")
_NOT_LISTENING = (FileNotFoundError, ConnectionRefusedError)


@web.stream_request_body
class PredictionHandler(KaleHandler):
    """A call to an endpoint's v1 or v2 API."""

    _end = b""

    def initialize(self, name: str) -> None:
        """Nothing is under way yet."""
        super().initialize(name)
        self._stack = AsyncExitStack()
        # Two parts: one on the way out, one on the way in. What is beyond waits in the caller's socket.
        self._parts: asyncio.Queue[bytes] = asyncio.Queue(maxsize=2)
        self._opening: asyncio.Task[Answer] | None = None
        self._target: str | None = None
        self._working: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse before the body is read, else begin to send it on."""
        await super().prepare()
        if self.request.method == "POST":
            self.request.connection.set_max_body_size(self.kale.max_prediction_bytes)  # type: ignore[union-attr]
            await self._begin()

    @permitted("execute")
    async def _begin(self) -> None:
        self.refuse_type(*BODY_TYPES)
        length = self.request.headers.get("Content-Length")
        if length is not None and int(length) > self.kale.max_prediction_bytes:
            error = InvalidRequest(
                f"The request is {length} bytes long; {self.kale.max_prediction_bytes} are allowed.",
                hint="Send it in parts, or raise KaleServeApp.max_prediction_bytes.",
            )
            error.http_status = 413
            raise error
        self._opening = asyncio.create_task(self._open())

    @permitted("read")
    async def get(self, *_path: str) -> None:
        """Metadata and readiness."""
        self._opening = asyncio.create_task(self._open())
        await self._finish_exchange()

    @permitted("execute")
    async def post(self, *_path: str) -> None:
        """A prediction; its body is on its way already."""
        await self._put(self._end)
        await self._finish_exchange()

    async def data_received(self, chunk: bytes) -> None:
        """Pass a part of the body on, no faster than the endpoint takes it."""
        await self._put(chunk)

    def on_connection_close(self) -> None:
        """Leave the endpoint alone when the caller has gone."""
        super().on_connection_close()
        for task in (self._opening, self._working):
            if task is not None:
                task.cancel()
        asyncio.get_running_loop().create_task(self._stack.aclose())

    async def _put(self, part: bytes) -> None:
        if self._opening is None or self._opening.done():
            # It has answered before it had the whole body: it wants no more of it.
            return
        putting = asyncio.ensure_future(self._parts.put(part))
        await asyncio.wait({putting, self._opening}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    async def _body(self) -> AsyncIterator[bytes]:
        while part := await self._parts.get():
            yield part

    async def _open(self) -> Answer:
        namespace, name, call = self.path_args
        check_service_name(name, namespace)
        if not _CALL.match(call) or any(part in (".", "..") for part in call.split("/")):
            raise InvalidRequest(f"{ascii(call)[:80]} is no call of the v1 or v2 protocol.", subject=name)
        self._target = self.get_query_argument("target", None)
        if self._target not in (None, "local", "kserve"):
            raise InvalidRequest(f"There is no target {ascii(self._target)[:80]}.", subject=name)
        for key in self.request.query_arguments:
            if key != "target" and not _QUERY.match(key):
                raise InvalidRequest(
                    f"A prediction takes no query parameter {ascii(key)[:80]}.",
                    subject=name,
                    hint="The endpoint's name in the path says where it goes.",
                )
        try:
            return await self._connect(namespace, name, call)
        except _NOT_LISTENING:
            # It may have moved, or gone, since it was looked up.
            self.kale.fronts.forget(namespace, name)
        try:
            return await self._connect(namespace, name, call)
        except _NOT_LISTENING as error:
            front = await self.kale.fronts.find(namespace, name, self._target)
            self.kale.fronts.forget(namespace, name)
            raise not_ready(front, name) from error

    async def _connect(self, namespace: str, name: str, call: str) -> Answer:
        front = await self.kale.fronts.find(namespace, name, self._target)
        self.kale.events.wake()
        sent = {key: self.request.headers[key] for key in ("Accept",) if key in self.request.headers}
        body = None
        if self.request.method == "POST":
            body = self._body()
            for key in ("Content-Type", "Content-Length", _JSON_LENGTH):
                if key in self.request.headers:
                    sent[key] = self.request.headers[key]
        client = AsyncClient(front.socket)
        assert self.request.method is not None
        return await self._stack.enter_async_context(
            client.stream(self.request.method, f"{front.base}/{call}", headers=sent, body=body)
        )

    async def _finish_exchange(self) -> None:
        self._working = asyncio.create_task(self._pass_back())
        try:
            await asyncio.wait({self._working})
            if not self._working.cancelled():
                self._working.result()
        finally:
            await self._stack.aclose()

    async def _pass_back(self) -> None:
        assert self._opening is not None
        name = self.path_args[1]
        try:
            answer = await self._opening
        except ConnectionError as error:
            raise _gone(name) from error
        except UpstreamFailed as error:
            # No head has come: it ended in the middle, or it is not HTTP.
            error.subject = error.subject or name
            error.hint = (
                error.hint or "Read its log; if it was being replaced just now, send the request again."
            )
            raise
        kind = self._checked(answer, name)
        self.set_status(answer.status)
        for key in _BACK:
            if key.lower() in answer.headers:
                self.set_header(key, answer.headers[key.lower()])
        self.set_header("Content-Type", kind)
        count = 0
        try:
            async for part in answer.parts():
                count += len(part)
                if count > self.kale.max_prediction_bytes:
                    raise UpstreamFailed(f"The answer is longer than {self.kale.max_prediction_bytes} bytes.")
                self.write(part)
                await self.flush()
        except iostream.StreamClosedError:
            return
        except (UpstreamFailed, OSError) as error:
            if not self._headers_written:
                raise (error if isinstance(error, UpstreamFailed) else _gone(name)) from error
            # Half of it is out: only a cut connection says that it is not whole.
            self.log.warning("The answer of the endpoint %s ended early: %s", name, error)
            with contextlib.suppress(AttributeError):
                self.request.connection.stream.close()  # type: ignore[union-attr]
            return
        self.finish(set_content_type=kind)

    def _checked(self, answer: Answer, name: str) -> str:
        kind = answer.headers.get("content-type", "application/json")
        problem = None
        if 300 <= answer.status < 400:
            problem = "it redirects, and redirects are not followed"
        elif kind.partition(";")[0].strip().lower() not in ANSWER_TYPES:
            problem = f"it answers with {kind[:80]}"
        elif answer.headers.get("content-encoding", "identity") != "identity":
            problem = "it answers with a compressed body"
        else:
            length = answer.headers.get("content-length", "0")
            if not length.isdigit() or int(length) > self.kale.max_prediction_bytes:
                problem = (
                    f"its answer is {length[:40]} bytes long, {self.kale.max_prediction_bytes} are allowed"
                )
        if problem is not None:
            raise UpstreamFailed(
                f"What the endpoint {name} says is not passed on: {problem}.",
                subject=name,
                hint="Is its image or transformer one that speaks the v1 or v2 protocol?",
            )
        return kind


def _gone(name: str) -> EndpointGone:
    return EndpointGone(
        f"The endpoint {name} ended the connection before its whole answer had come.",
        subject=name,
        hint="Read its log; if it was being replaced just now, send the request again.",
    )
