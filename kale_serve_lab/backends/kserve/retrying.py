"""Which answers are worth asking for again, and when. Pure."""

from __future__ import annotations

from kale_serve_lab.backends.kserve.cluster import APPLY, Answer, Query
from kale_serve_lab.backends.kserve.cluster_errors import retry_after

_FIRST = 0.25
_LONGEST = 5.0
_MOST = 6


def repeatable(method: str, content_type: str, query: Query | None) -> bool:
    """Whether asking twice is the same as asking once."""
    if method in {"GET", "HEAD", "PUT", "DELETE"}:
        return True
    if (query or {}).get("dryRun") == "All":
        return True
    return method == "PATCH" and content_type == APPLY


def wait_before_next(answer: Answer, tries: int, *, reading: bool) -> float | None:
    """Seconds until the next try after `tries` of them; None: take this answer.

    A 500 of a write is a webhook's own fault more often than not, and is repeated only where the server says when.
    """
    if answer.status != 429 and not 500 <= answer.status < 600:
        return None
    if tries >= _MOST:
        return None
    asked = retry_after(answer)
    if asked is not None:
        return max(asked, _FIRST)
    if answer.status in {500, 501} and (not reading or tries >= 3):
        return None
    backoff = _FIRST * 2 ** min(tries - 1, 10)
    return float(min(_LONGEST, backoff))
