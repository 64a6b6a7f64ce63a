"""What all handlers have in common: who may come in, and every error in our one form."""

from __future__ import annotations

import http
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import iostream, web

from kale_serve_lab.client.version import own_version
from kale_serve_lab.errors import Forbidden, InvalidRequest, KaleServeError, NotFound, Unauthorized

if TYPE_CHECKING:
    from kale_serve_lab.jupyter.shared import Shared

AUTH_RESOURCE = "kale-serve"
F = TypeVar("F", bound=Callable[..., Any])
_OF_STATUS = {401: Unauthorized, 403: Forbidden, 404: NotFound}


def permitted(action: str) -> Callable[[F], F]:
    """For each verb of each handler: only who is logged in, and may do this `action` on our resource.

    Action and resource are given and not left to `authorized`, which would keep those of its first call.
    """

    def decorate(method: F) -> F:
        decorated: Any = web.authenticated(authorized(action, AUTH_RESOURCE)(method))
        decorated.kale_action = action
        return cast("F", decorated)

    return decorate


class KaleHandler(ExtensionHandlerMixin, APIHandler):
    """A call under `<base>/kale-serve/`."""

    auth_resource = AUTH_RESOURCE

    @property
    def kale(self) -> Shared:
        """The extension, with what the handlers ask."""
        app: Shared = self.settings["kale_serve_lab"]
        return app

    async def prepare(self) -> None:  # type: ignore[override]
        """Let in only who is known and comes from our own pages, whatever verb the handler has."""
        try:
            await super().prepare()
        except web.HTTPError as error:
            # Jupyter hides a foreign origin behind a 404.
            if error.status_code == 404:
                raise Forbidden(
                    f"The page at {self.get_origin()} may not call this server.",
                    hint="Allow it with ServerApp.allow_origin, or send the token in the Authorization header.",
                ) from error
            raise
        if self.current_user is None and self.request.method != "OPTIONS":
            # Verbs that no handler has would else be answered to strangers where unauthenticated access is allowed.
            raise web.HTTPError(403)

    def set_default_headers(self) -> None:
        """Nothing in an answer is to be guessed at or kept."""
        super().set_default_headers()
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Kale-Serve-Version", own_version())

    def compute_etag(self) -> str | None:
        """No caller of ours asks with one."""
        return None

    def refuse_type(self, *allowed: str) -> None:
        """Raise `InvalidRequest` (415) unless the body is of one of these types.

        A page of another origin can send text/plain without asking first; these it cannot.
        """
        sent = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        encoding = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if sent in allowed and encoding == "identity":
            return
        error = InvalidRequest(
            f"The body is {sent or 'of no type'}{'' if encoding == 'identity' else ', compressed as ' + encoding}.",
            code="UnsupportedMediaType",
            hint=f"Send it uncompressed as {' or '.join(allowed)}.",
        )
        error.http_status = 415
        raise error

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Take the status from our own errors."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        super().send_error(error.http_status if isinstance(error, KaleServeError) else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send any error as `{"error": {...}}`; what is not ours is logged and told without its inside."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if not isinstance(error, KaleServeError):
            error = self._told(status_code, error)
        self.finish(error.to_json())

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is a fault of ours; errors that are answers are the caller's to read."""
        if not isinstance(value, (KaleServeError, iostream.StreamClosedError)):
            super().log_exception(typ, value, tb)

    def _told(self, status_code: int, error: BaseException | None) -> KaleServeError:
        call = f"{self.request.method} {self.request.path[:200]}"
        if status_code >= 500:
            return KaleServeError(
                "The Jupyter server failed at this call.",
                code="InternalError",
                subject=call,
                hint="The Jupyter server's log says why.",
            )
        said = error.log_message if isinstance(error, web.HTTPError) and error.log_message else ""
        phrase = (
            http.HTTPStatus(status_code).phrase if status_code in set(http.HTTPStatus) else str(status_code)
        )
        kind = _OF_STATUS.get(status_code, InvalidRequest)
        hint = (
            "Log in to this Jupyter server, or send its token."
            if status_code == 403 and not self.current_user
            else None
        )
        return kind(f"{call}: {said or phrase}", subject=call, hint=hint)


def unreadable(path: str) -> NoReturn:
    """Raise `NotFound` for a path that is no route."""
    raise NotFound(f"There is no {path[:200]!r} here.", subject=path[:200])
