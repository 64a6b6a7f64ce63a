"""What all answers of the daemon have in common: JSON bodies, our errors, the version header, and being counted."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Awaitable
from typing import Any

from tornado import iostream, web

from kale_serve_lab.client.version import own_version
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.errors import InvalidRequest, KaleServeError, NotFound
from kale_serve_lab.inference import strict_json

_log = logging.getLogger(__name__)
VERSION = own_version()
_REASONS = {400: "InvalidRequest", 404: "NotFound", 405: "InvalidRequest", 413: "InvalidRequest"}


class Handler(web.RequestHandler):
    """A call that keeps the daemon awake while it lasts, and whose errors are JSON."""

    def initialize(self, idle: Idle) -> None:
        """Take what all handlers need."""
        self._idle = idle

    def prepare(self) -> Awaitable[None] | None:
        """Count the call."""
        self._idle.enter(self)
        return None

    def on_finish(self) -> None:
        """Stop counting it."""
        self._idle.leave(self)

    def on_connection_close(self) -> None:
        """Stop counting it when the caller has gone."""
        self._idle.leave(self)

    def set_default_headers(self) -> None:
        """Say who answers, and that nothing in it is to be guessed at or kept."""
        self.clear_header("Server")
        self.set_header("X-Kale-Serve-Version", VERSION)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        """No caller of ours asks with one."""
        return None

    def body_json(self) -> dict[str, Any]:
        """The object in the request's body, empty where there is none; raises `InvalidRequest`."""
        if not self.request.body:
            return {}
        value = strict_json.loads(self.request.body)
        if not isinstance(value, dict):
            raise InvalidRequest("The body must be a JSON object.")
        return value

    def answer(self, value: Any, status: int = 200) -> None:
        """Send a value as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, separators=(",", ":")).encode())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send any error in our form; what is not ours is logged and told without its inside."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if not isinstance(error, KaleServeError):
            reason = http.client.responses.get(status_code, "Unknown")
            if status_code == 404:
                error = NotFound(f"There is no {self.request.path[:200]!r} here.")
            elif status_code < 500:
                error = KaleServeError(
                    f"{self.request.method} {self.request.path[:200]!r}: {reason}.",
                    code=_REASONS.get(status_code, "InvalidRequest"),
                )
            else:
                error = KaleServeError(
                    "The daemon failed at this call.",
                    code="InternalError",
                    subject=f"{self.request.method} {self.request.path[:200]}",
                    hint="The daemon's log says why: logs/daemon.log in the data directory.",
                )
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed()))
        self.answer(error.to_json(), status_code)

    def allowed(self) -> list[str]:
        """The methods that this address takes."""
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not getattr(web.RequestHandler, method.lower())
        ]

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Take the status from our own errors."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, KaleServeError):
            status_code = error.http_status
        super().send_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is a fault of ours; errors that are answers are the caller's to read."""
        if not isinstance(value, KaleServeError | web.HTTPError | iostream.StreamClosedError):
            _log.error("%s %s failed", self.request.method, self.request.path, exc_info=(typ, value, tb))


class Missing(Handler):
    """Any other path."""

    def prepare(self) -> None:
        """Answer before a body is looked at."""
        super().prepare()
        raise NotFound(f"There is no {self.request.path[:200]!r} here.")
