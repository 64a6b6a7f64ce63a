"""What a watch does next, whatever the API server has answered. Pure.

list ──ok──> watch ──ends, or is silent──> watch again from where it was
  ^            │
  └── 410 ─────┘          lost, 5xx, 401, 429: wait, then the same again; 403, 404: look again once in a while
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kale_serve_lab.backends.kserve.cluster import Answer
from kale_serve_lab.backends.kserve.cluster_errors import errors_of, retry_after
from kale_serve_lab.errors import KaleServeError

Doing = Literal["list", "watch"]
Phase = Literal["starting", "live", "stale", "forbidden", "absent"]


@dataclass(frozen=True)
class Timings:
    """Seconds. An API server sends a bookmark about once a minute, so `silent` must be longer than that."""

    page: int = 500
    ask_shortest: int = 240
    ask_longest: int = 300
    silent: float = 100.0
    request: float = 15.0
    first_wait: float = 1.0
    longest_wait: float = 6.0
    expired_wait: float = 10.0
    refused_wait: float = 60.0
    busy_is_stale: float = 10.0
    short_watch: float = 5.0


@dataclass(frozen=True)
class WatchState:
    """How good what is known is. `since` (ms) is when it was last known to be right; None while it is."""

    phase: Phase
    since: int | None = None
    error: KaleServeError | None = None

    @property
    def stale_since(self) -> int | None:
        """Set while the API server is away."""
        return self.since if self.phase == "stale" else None


@dataclass(frozen=True)
class Step:
    """`doing` after `wait` seconds. `phase` None: as it was. `failed`: counts as a try that failed.

    `outage`: the API server is away, so all watches together keep to one try a second.
    """

    doing: Doing
    wait: float = 0.0
    phase: Phase | None = None
    error: KaleServeError | None = None
    failed: bool = False
    outage: bool = False


def backoff(fails: int, timings: Timings, chance: float) -> float:
    """Seconds before try number `fails` + 1; `chance` in [0, 1) spreads what many clients do."""
    longest = min(timings.longest_wait, timings.first_wait * 2.0 ** min(fails, 16))
    return timings.first_wait + chance * max(0.0, longest - timings.first_wait)


def after_refusal(
    answer: Answer,
    doing: Doing,
    error: KaleServeError,
    *,
    fails: int,
    quiet: float,
    timings: Timings,
    chance: float,
) -> Step:
    """`quiet`: seconds since something was last heard."""
    wait = backoff(fails, timings, chance)
    if answer.status == 410:
        # Too old to go on from: everything is looked at anew.
        return Step("list", wait if fails else 0.0, failed=True)
    if answer.status == 403:
        return Step(doing, timings.refused_wait * (0.75 + chance / 2), "forbidden", error)
    if answer.status == 404:
        return Step("list", timings.refused_wait * (0.75 + chance / 2), "absent", error)
    if answer.status == 401:
        return Step(doing, timings.expired_wait, "stale", error, failed=True, outage=True)
    if answer.status == 429:
        asked = min(retry_after(answer) or 0.0, timings.refused_wait)
        stale = quiet > timings.busy_is_stale
        return Step(
            doing,
            max(wait, asked),
            "stale" if stale else None,
            error if stale else None,
            failed=True,
            outage=True,
        )
    if 500 <= answer.status < 600:
        return Step(doing, wait, "stale", error, failed=True, outage=True)
    # A resourceVersion or a parameter that it does not take.
    return Step("list", wait, "stale", error, failed=True, outage=True)


def after_loss(
    error: KaleServeError, doing: Doing, *, opened: bool, fails: int, timings: Timings, chance: float
) -> Step:
    """No answer, or the connection broke. A watch that was open and only ended badly is asked for again at once, the first time."""
    if doing == "watch" and opened and fails == 0:
        return Step("watch", 0.0, failed=True)
    return Step(doing, backoff(fails, timings, chance), "stale", error, failed=True, outage=True)


def after_end(*, lasted: float, heard: int, fails: int, timings: Timings, chance: float) -> Step:
    """A watch has ended as asked. One that ends at once again and again is not asked for without a pause."""
    if heard or lasted >= timings.short_watch:
        return Step("watch")
    return Step("watch", backoff(fails, timings, chance), failed=True)


def named(answer: Answer, doing: Doing, what: str) -> KaleServeError:
    """The error of a refused list or watch."""
    return errors_of(answer, doing, what)
