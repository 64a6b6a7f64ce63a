"""How a model's files get to where a cluster can read them: what every publisher promises. Pure.

`tests/stores/publishing_contract.py` holds each publisher to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# plain: what KServe's own server expects (no kale.json). kale: the artifact as it is, for our image. triton-<service>.repo:
# Triton's folder, which holds the model under the service's name. None begins with another one: KServe fetches by prefix.
View = str
_VIEW = re.compile(r"plain|kale|triton-[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?\.repo")


def is_view(text: str) -> bool:
    """Whether it is the name of a view: it becomes part of paths."""
    return bool(_VIEW.fullmatch(text))


Tell = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Entry:
    """One file there: `path` below the view's folder, `source` a path in the artifact's folder, or the content itself."""

    path: str
    source: str | bytes


@dataclass(frozen=True)
class Volume:
    """A claim that was made for one component, and the snapshot that it was filled from (None: from elsewhere)."""

    claim: str
    snapshot: str | None = None


@dataclass(frozen=True)
class Placed:
    """Where a component's files are for the cluster; `secret` and `service_account` are names of objects there."""

    uri: str
    secret: str | None = None
    service_account: str | None = None
    volume: Volume | None = None


class Publisher(Protocol):
    """Puts files where a cluster reads them. Synchronous and thread-safe; two at once for the same content do no harm."""

    def uri(self, digest: str, view: View) -> str:
        """The `storageUri`, known before anything is sent."""

    def publish(
        self,
        folder: Path,
        digest: str,
        view: View,
        entries: Sequence[Entry],
        tell: Tell,
        cancelled: Cancelled,
    ) -> Placed:
        """Send what is not there, verify all of it, then write the manifest that says it is whole.

        `tell(done, total)` in bytes, never going back, at the end `(total, total)`; what was there counts as done. May be
        called from several threads, one at a time. Raises `Cancelled` soon after `cancelled()` is true, `StoreFull`,
        `Forbidden`, `UpstreamFailed`, `DigestMismatch`, `InvalidConfig`; after each of them, and after a crash, the next
        call goes on from there.
        """

    def remove(self, digest: str, view: View) -> None:
        """Drop it. Nothing happens when it is gone."""
