"""Hands a call to the daemon and its answer back, both unread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlencode

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.errors import DaemonUnavailable, KaleServeError, UpstreamFailed

# Deleting waits for processes to end; nothing else takes as long.
SECONDS = 60.0
HINT = "Endpoints go on answering. Look with `kale-serve status`; the daemon's log is logs/daemon.log in the data directory."


@dataclass(frozen=True)
class Reply:
    """What the daemon answered."""

    status: int
    content_type: str
    body: bytes


async def forward(
    client: AsyncClient,
    method: str,
    path: str,
    query: list[tuple[str, str]] | None = None,
    body: bytes | None = None,
) -> Reply:
    """The daemon's answer, an error answer included. Raises `DaemonUnavailable` or `UpstreamFailed`."""
    target = f"{path}?{urlencode(query)}" if query else path
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        return await asyncio.wait_for(_whole(client, method, target, headers, body), SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        raise unavailable(error, f"{method} {path}") from error
    except KaleServeError as error:
        if error.hint is None and isinstance(error, (DaemonUnavailable, UpstreamFailed)):
            error.hint = HINT
        raise


def unavailable(error: BaseException, call: str) -> DaemonUnavailable:
    """The daemon cannot be reached, in our words."""
    why = "it did not answer in time" if isinstance(error, asyncio.TimeoutError) else str(error)
    return DaemonUnavailable(f"The Kale Serve daemon cannot be reached: {why}.", subject=call, hint=HINT)


async def _whole(
    client: AsyncClient, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> Reply:
    async with client.stream(method, target, headers=headers, body=body) as answer:
        kind = answer.headers.get("content-type", "")
        if answer.status != 204 and kind.partition(";")[0] not in ("application/json", "text/plain"):
            raise UpstreamFailed(
                f"The Kale Serve daemon answered with {kind or 'no type'}.", subject=f"{method} {target}"
            )
        return Reply(answer.status, kind, await answer.read())
