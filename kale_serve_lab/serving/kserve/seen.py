"""What is seen of a service on a cluster, before anything is made of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kale_serve_lab.serving.types import Address


@dataclass(frozen=True)
class Probe:
    """The last real prediction: of which generation of the object, when (ms), and why it failed (an error's inner JSON object)."""

    ok: bool
    generation: int
    at: int
    error: Mapping[str, Any] | None = None
    address: Address | None = None


@dataclass(frozen=True)
class Publishing:
    """Files on their way to the cluster's store: bytes that are there, bytes in all, and whose they are."""

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True)
class Seen:
    """Objects as the API server gave them, and what we ourselves have done, tried and failed at.

    `logs`: ends of logs by "pod/container" (of the last try that ended, where the container is not running). `lacks`: what we
    may not read ("get pods/log"). `failed`: an error's inner JSON object. `tried` is False where nobody tries predictions, as for a
    service that Kale does not look after here. Times are ms since the epoch.
    """

    object: dict[str, Any] | None = None
    pods: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any], ...] = ()
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    probe: Probe | None = None
    publishing: Publishing | None = None
    failed: Mapping[str, Any] | None = None
    drift: tuple[str, ...] = ()
    stale_since: int | None = None
    deleting: bool = False
    tried: bool = True
    now: int = 0
