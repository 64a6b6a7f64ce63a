"""An endpoint's log: its last lines as text, or what is written from now on as server-sent events."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
from typing import Any
from urllib.parse import quote

from tornado import iostream

from kale_serve_lab.client.aio import Answer
from kale_serve_lab.errors import UpstreamFailed
from kale_serve_lab.jupyter.api import PLACE, NamedHandler
from kale_serve_lab.jupyter.base import permitted
from kale_serve_lab.jupyter.forward import unavailable

_PARAMETERS = (*PLACE, "component", "revision", "tail")


class LogsHandler(NamedHandler):
    """What an endpoint's processes have written."""

    _following: asyncio.Task[None] | None = None

    # Logs hold what users' code prints: who may only look at states does not see them.
    @permitted("execute")
    async def get(self, name: str) -> None:
        """The last lines as text/plain; with follow=1 each piece as `data: {"text": ...}` as it comes."""
        path = f"{self.named(name)}/logs"
        if self.get_query_argument("follow", "") not in ("1", "true"):
            await self.hand_on(path, *_PARAMETERS)
            return
        self._following = asyncio.create_task(self._follow(path))
        # Not awaited itself: its being cancelled is how it ends when the browser goes.
        await asyncio.wait({self._following})
        if not self._following.cancelled():
            self._following.result()

    def on_connection_close(self) -> None:
        """Let go of the daemon's stream as soon as the browser has gone."""
        super().on_connection_close()
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, path: str) -> None:
        query = "&".join(
            f"{name}={quote(self.get_query_argument(name), safe='')}"
            for name in _PARAMETERS
            if name in self.request.query_arguments
        )
        try:
            async with self.kale.client.stream(
                "GET", f"{path}?follow=1{'&' + query if query else ''}"
            ) as answer:
                if answer.status != 200:
                    self.set_status(answer.status)
                    self.finish(await answer.read())
                    return
                await self._pass_on(answer)
        except iostream.StreamClosedError:
            return
        except OSError as error:
            raise unavailable(error, f"GET {path}") from error

    async def _pass_on(self, answer: Answer) -> None:
        self.set_header("Content-Type", "text/event-stream")
        # nginx would else keep lines back until its buffer is full.
        self.set_header("X-Accel-Buffering", "no")
        await self.flush()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        parts = answer.parts()
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(parts))
                done, _ = await asyncio.wait({coming}, timeout=self.kale.heartbeat_seconds)
                if not done:
                    self.write(": \n\n")
                    await self.flush()
                    continue
                try:
                    text = decoder.decode(coming.result())
                except (StopAsyncIteration, UpstreamFailed):
                    break
                finally:
                    coming = None
                self._tell(text)
                await self.flush()
        finally:
            if coming is not None:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await coming
        self._tell(decoder.decode(b"", final=True))
        self.finish(set_content_type="text/event-stream")

    def _tell(self, text: str) -> None:
        if text:
            said: dict[str, Any] = {"text": text}
            self.write(f"data: {json.dumps(said)}\n\n")
