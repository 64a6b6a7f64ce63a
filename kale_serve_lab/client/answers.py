"""What the daemon's answers mean: JSON, nothing, or an error to raise. Shared by both clients."""

from __future__ import annotations

import json
from typing import Any

from kale_serve_lab.errors import KaleServeError, UpstreamFailed, from_json

# Artifacts' and services' lists are far below; what is above is not our daemon's.
MAX_ANSWER = 64 << 20


def encode(body: Any) -> bytes:
    """The JSON bytes of a request's body. NaN has no JSON and is refused with `ValueError`."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def decode(status: int, body: bytes, call: str) -> Any:
    """The value of a 2xx answer, None where it has no body; raises the error of any other.

    `call` ("GET /api/services") names the request in an error.
    """
    if status == 204 or (status < 300 and not body):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UpstreamFailed(
            f"The daemon answered {call} with {status} and something that is not JSON.",
            subject=call,
            hint="Is another program listening on its socket? `kale-serve stop` and try again.",
        ) from error
    if status < 300:
        return value
    if isinstance(value, dict) and "error" in value:
        raise from_json(value)
    raise KaleServeError(f"The daemon answered {call} with {status}.", subject=call)
