"""Waiting until a service answers predictions, or has failed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from kale_serve_lab.client import Client
from kale_serve_lab.errors import Conflict, DaemonUnavailable, KaleServeError, Timeout, from_json
from kale_serve_lab.sdk.progress import Progress

Service = dict[str, Any]

# A daemon that dies while somebody waits is started anew and adopts what runs; one that keeps dying is not waited for.
_RECONNECTS = 3


class Waiting:
    """Follows one service, by the daemon's events, until its revision `wanted` answers.

    `refresh()` asks the daemon for the service's JSON; `tail()` reads the last lines of its log.
    """

    def __init__(
        self,
        client: Client,
        service: Service,
        wanted: int,
        refresh: Callable[[], Service],
        tail: Callable[[], list[str]],
        progress: Progress,
    ) -> None:
        self._client = client
        self._service = service
        self._wanted = wanted
        self._refresh = refresh
        self._tail = tail
        self._progress = progress
        self._name = str(service["name"])

    def follow(self, seconds: float | None) -> None:
        """Return when predictions are answered.

        Raises the cause as soon as it has failed, `Conflict` where it is paused, `Timeout` after `seconds` (None: never),
        and `DaemonUnavailable` where the daemon keeps dying.
        """
        until = None if seconds is None else time.monotonic() + seconds
        left = _RECONNECTS
        while not self._settled():
            try:
                if not self._changes(until):
                    raise Timeout(
                        f"{self._name} is not ready after {seconds:g} s: {self._service['sentence']}",
                        subject=self._name,
                        hint="It goes on starting: look at .status, or .wait() again.",
                    )
            except DaemonUnavailable:
                left -= 1
                if left < 0:
                    raise
                self._service = self._refresh()

    def _changes(self, until: float | None) -> bool:
        """Follows the events until it has settled; False when the time is over first."""
        # The sequence number is taken before the state, so that no change falls between them.
        sequence = self._client.request("GET", "/api/services")["seq"]
        self._service = self._refresh()
        if self._settled():
            return True
        with contextlib.closing(self._client.events(sequence, until=until)) as events:
            for event in events:
                if self._is_meant(event):
                    self._service = self._refresh()
                    if self._settled():
                        return True
        if until is not None and time.monotonic() >= until:
            return False
        raise DaemonUnavailable("The Kale Serve daemon's events have ended.", subject=self._name)

    def _is_meant(self, event: Mapping[str, Any]) -> bool:
        service = self._service
        return (
            event.get("kind") == "service"
            and event.get("name") == self._name
            and event.get("namespace") in (None, service["namespace"])
            and event.get("target") in (None, service.get("target") or "local")
        )

    def _settled(self) -> bool:
        """Whether it answers predictions; raises where it has failed or is paused."""
        service = self._service
        self._progress.show(service)
        # A newer revision that somebody has served meanwhile takes the place of ours.
        if (service["ready_revision"] or 0) >= self._wanted:
            return True
        if service.get("paused"):
            raise Conflict(
                f"{self._name} is paused: it uses nothing, and answers nothing.",
                subject=self._name,
                hint=".resume() starts it again; then .wait().",
            )
        if service["state"] == "Failed" or any(stage["state"] == "failed" for stage in service["stages"]):
            raise self._cause()
        return False

    def _cause(self) -> KaleServeError:
        """Why it has failed, with the end of its log in `details["log_tail"]`."""
        service = self._service
        error = from_json(
            service["error"] or {"message": service["sentence"], "hint": service.get("next_step")}
        )
        error.subject = error.subject or self._name
        tail = error.details.get("log_tail") or []
        if not tail:
            with contextlib.suppress(KaleServeError):
                tail = error.details["log_tail"] = self._tail()
        self._progress.failed(tail)
        # Python 3.10 has no notes; there the tail is among what was shown.
        if tail and hasattr(error, "add_note"):
            error.add_note("The end of the log:\n" + "\n".join(f"  {line}" for line in tail))
        return error
