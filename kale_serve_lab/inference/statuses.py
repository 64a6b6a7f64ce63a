"""Our errors as gRPC's status codes, and back; and what other servers' error bodies say."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from kale_serve_lab import errors
from kale_serve_lab.inference import strict_json

# The whole error beside the status, for a client of ours; gRPC bounds all headers together to 8 KiB.
ERROR_KEY: Final = "kale-serve-error-bin"
REVISION_KEY: Final = "x-kale-serve-revision"
MAX_ERROR: Final = 3000

# What grpcio itself says.
_NO_CONNECTION: Final = (
    "failed to connect",
    "connection refused",
    "no such file",
    "name resolution",
    "dns resolution",
)
_BROKEN: Final = (
    "socket closed",
    "connection reset",
    "broken pipe",
    "goaway",
    "stream removed",
    "transport closed",
)
_GRPC_OF_HTTP: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}
_OF_GRPC: Final[dict[str, type[errors.KaleServeError]]] = {
    "INVALID_ARGUMENT": errors.InvalidInput,
    "OUT_OF_RANGE": errors.InvalidInput,
    "FAILED_PRECONDITION": errors.InvalidInput,
    "NOT_FOUND": errors.EndpointNotFound,
    "UNIMPLEMENTED": errors.UpstreamFailed,
    "UNAVAILABLE": errors.EndpointNotReady,
    "DEADLINE_EXCEEDED": errors.Timeout,
    "UNAUTHENTICATED": errors.Unauthorized,
    "PERMISSION_DENIED": errors.Forbidden,
    "RESOURCE_EXHAUSTED": errors.InvalidInput,
    "INTERNAL": errors.PredictFailed,
    "UNKNOWN": errors.PredictFailed,
}
_OF_HTTP: Final[dict[int, type[errors.KaleServeError]]] = {
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
_HINTS: Final = {
    errors.Unauthorized: 'Give Endpoint(..., token="...") or token="file:path".',
    errors.Forbidden: "The token is known but may not do this, or it is meant for another service: ask for access to the endpoint.",
    errors.EndpointNotFound: "Is the name right, and does the server speak this protocol?",
    errors.EndpointNotReady: "Look at its state and logs; try again when it is ready.",
}


def grpc_status(error: errors.KaleServeError) -> str:
    """The name of gRPC's status code for an error of ours."""
    return _GRPC_OF_HTTP.get(error.http_status, "INTERNAL")


def never_sent(status: str, said: str) -> bool:
    """Whether grpcio says that no connection came about; the status alone is the same as for one that broke."""
    lower = said.lower()
    return status == "UNAVAILABLE" and any(words in lower for words in _NO_CONNECTION)


def of_grpc(status: str, said: str, trailing: Mapping[str, Any], name: str) -> errors.KaleServeError:
    """The error for a status code, the server's (or grpcio's) own words and the trailing metadata; `name` is the service's."""
    told_by_us = trailing.get(ERROR_KEY)
    if isinstance(told_by_us, bytes):
        with contextlib.suppress(errors.InvalidInput):
            return told(errors.from_json(strict_json.loads(told_by_us)), name)
    lower = said.lower()
    if status in ("UNAVAILABLE", "CANCELLED") and any(words in lower for words in _BROKEN):
        return errors.EndpointGone(
            f"{name}: the connection ended before the answer came.",
            subject=name,
            hint="The model server was stopped or crashed while it worked on this; look at the endpoint's logs.",
        )
    cls = _OF_GRPC.get(status, errors.UpstreamFailed)
    shown = bounded(said)
    return cls(
        f"{name}: the server answered {status}" + (f": {shown}" if shown else "."),
        subject=name,
        hint=_HINTS.get(cls),
    )


def class_of(status: int) -> type[errors.KaleServeError] | None:
    """The error's class for an HTTP status; None where the status says nothing about it."""
    return _OF_HTTP.get(status)


def hint_of(cls: type[errors.KaleServeError] | None) -> str | None:
    """What to do about an error that another server gave."""
    return None if cls is None else _HINTS.get(cls)


def of_http(status: int, body: bytes | bytearray | memoryview, name: str) -> errors.KaleServeError:
    """The error for a refusal with a body in any server's shape: ours, or one of

    KServe, Triton, MLServer, TensorFlow Serving  {"error": "..."}
    FastAPI                                       {"detail": "..." | [{"loc": [...], "msg": "..."}]}
    TorchServe                                    {"code": 503, "type": "InternalServerException", "message": "..."}
    """  # noqa: D400, D415
    try:
        value: Any = strict_json.loads(body[:1_000_000])
    except errors.InvalidInput:
        value = _words(bytes(body[:400]), bytes(body[-2000:]))
    if errors.is_prediction_json(value) or (isinstance(value, dict) and isinstance(value.get("error"), dict)):
        return told(errors.from_json(value), name)
    cls = _OF_HTTP.get(status, errors.UpstreamFailed)
    said = value
    if isinstance(value, dict):
        said = next((value[key] for key in ("error", "detail", "message") if value.get(key)), "")
        if value.get("type") == "InternalServerException":
            # TorchServe answers 503 when the model raised.
            cls = errors.PredictFailed
    if isinstance(said, list):
        said = "; ".join(_validation(item) for item in said[:5])
    shown = bounded(str(said))
    return cls(
        f"{name}: the server answered {status}" + (f": {shown}" if shown else "."),
        subject=name,
        hint=_HINTS.get(cls),
    )


def told(error: errors.KaleServeError, name: str) -> errors.KaleServeError:
    """What a server somewhere else says of itself may be anything: it is shown, never obeyed by a terminal."""
    error.args = (bounded(error.message, 2000),)
    error.message = error.args[0]
    error.code = type(error).__name__
    error.subject = bounded(error.subject or name)
    error.hint = bounded(error.hint) if error.hint else None
    return error


def bounded(text: str, most: int = 300) -> str:
    """Printable and of bounded length."""
    cleaned = "".join(char if char.isprintable() else " " for char in text)
    return cleaned if len(cleaned) <= most else cleaned[: most - 3] + "..."


def _words(start: bytes, end: bytes) -> str:
    # MLServer's 500 is the whole traceback, whose last line is the error.
    text = end.rstrip().rpartition(b"\n")[2] if start.startswith(b"Traceback") else start
    return text.decode("utf-8", "replace").strip()


def _validation(item: Any) -> str:
    if not isinstance(item, dict) or "msg" not in item:
        return str(item)[:200]
    place = item.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return f"{where}: {item['msg']}" if where else str(item["msg"])
