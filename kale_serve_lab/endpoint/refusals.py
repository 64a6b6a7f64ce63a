"""What a server's refusal means to the caller: a typed error, never a parsed HTML page."""

from __future__ import annotations

from typing import Any

from kale_serve_lab import errors
from kale_serve_lab.endpoint.http1 import Response
from kale_serve_lab.inference import strict_json

_BY_STATUS: dict[int, type[errors.KaleServeError]] = {
    400: errors.InvalidInput,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.EndpointNotFound,
    408: errors.Timeout,
    413: errors.InvalidInput,
    422: errors.InvalidInput,
    500: errors.PredictFailed,
    503: errors.EndpointNotReady,
    504: errors.Timeout,
}
_HINTS = {
    401: 'Give Endpoint(..., token="...") or token="file:path".',
    403: "The token is known but may not do this, or it is meant for another service: ask for access to the endpoint.",
    404: "Is the name right, and does the server speak this protocol?",
    503: "Look at its state and logs; try again when it is ready.",
}
_LOGIN_HINT = (
    'This is what a login page does. Give Endpoint(..., token="...") with a token for programs, or the address of the model '
    "server itself; a browser's address does not serve programs."
)


def check(response: Response, name: str) -> None:
    """Returns for a 2xx answer that may hold a prediction; raises a typed error for all else."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= response.status < 400:
        target = _bounded(response.headers.get("location", "nowhere"))
        raise errors.Unauthorized(
            f"{name}: the server redirects to {target}; redirects are not followed.",
            subject=name,
            hint=_LOGIN_HINT,
        )
    if kind in ("text/html", "application/xhtml+xml"):
        cls = _BY_STATUS.get(
            response.status, errors.Unauthorized if response.status < 300 else errors.UpstreamFailed
        )
        raise cls(
            f"{name}: a web page came in place of a prediction (status {response.status}).",
            subject=name,
            hint=_HINTS.get(response.status, _LOGIN_HINT) if response.status >= 400 else _LOGIN_HINT,
        )
    if response.status < 300:
        return
    raise _of_body(response, name)


def is_mute(response: Response) -> bool:
    """Whether TorchServe said this: it has no such path, which says nothing of the model."""
    return response.status == 404 and b'"ResourceNotFoundException"' in bytes(response.body[:1000])


def _of_body(response: Response, name: str) -> errors.KaleServeError:
    try:
        value: Any = strict_json.loads(response.body[:1_000_000])
    except errors.InvalidInput:
        # MLServer's 500 is the whole traceback, whose last line is the error.
        traceback = bytes(response.body[:9]) == b"Traceback"
        text = bytes(response.body[-2000:] if traceback else response.body[:400]).strip()
        value = (text.rpartition(b"\n")[2] if traceback else text).decode("utf-8", "replace")
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        return _told(errors.from_json(value), name)
    cls = _BY_STATUS.get(response.status, errors.UpstreamFailed)
    said = value
    if isinstance(value, dict):
        # KServe and Triton say "error", FastAPI "detail", others "message".
        said = next((value[key] for key in ("error", "detail", "message") if value.get(key)), "")
        if value.get("type") == "InternalServerException":
            # TorchServe's 503 for a model that raised.
            cls = errors.PredictFailed
    message = f"{name}: the server answered {response.status}" + (f": {_bounded(str(said))}" if said else ".")
    return cls(message, subject=name, hint=_HINTS.get(response.status))


def _told(error: errors.KaleServeError, name: str) -> errors.KaleServeError:
    """What a server somewhere else says of itself may be anything: it is shown, never obeyed by a terminal."""
    error.args = (_bounded(error.message, 2000),)
    error.message = error.args[0]
    error.code = error.code if error.code == type(error).__name__ else type(error).__name__
    error.subject = _bounded(error.subject or name)
    error.hint = _bounded(error.hint) if error.hint else None
    return error


def _bounded(text: str, most: int = 300) -> str:
    cleaned = "".join(char if char.isprintable() else " " for char in text)
    return cleaned if len(cleaned) <= most else cleaned[: most - 3] + "..."
