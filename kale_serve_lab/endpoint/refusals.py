"""What a server's refusal means to the caller: a typed error, never a parsed HTML page."""

from __future__ import annotations

from kale_serve_lab import errors
from kale_serve_lab.endpoint.http1 import Response
from kale_serve_lab.inference import statuses

_LOGIN_HINT = (
    'This is what a login page does. Give Endpoint(..., token="...") with a token for programs, or the address of the model '
    "server itself; a browser's address does not serve programs."
)


def check(response: Response, name: str) -> None:
    """Returns for a 2xx answer that may hold a prediction; raises a typed error for all else."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= response.status < 400:
        target = statuses.bounded(response.headers.get("location", "nowhere"))
        raise errors.Unauthorized(
            f"{name}: the server redirects to {target}; redirects are not followed.",
            subject=name,
            hint=_LOGIN_HINT,
        )
    if kind in ("text/html", "application/xhtml+xml"):
        cls = statuses.class_of(response.status)
        raise (cls or (errors.Unauthorized if response.status < 300 else errors.UpstreamFailed))(
            f"{name}: a web page came in place of a prediction (status {response.status}).",
            subject=name,
            hint=(statuses.hint_of(cls) if response.status >= 400 else None) or _LOGIN_HINT,
        )
    if response.status < 300:
        return
    raise statuses.of_http(response.status, response.body, name)


def is_mute(response: Response) -> bool:
    """Whether TorchServe said this: it has no such path, which says nothing of the model."""
    return response.status == 404 and b'"ResourceNotFoundException"' in bytes(response.body[:1000])
