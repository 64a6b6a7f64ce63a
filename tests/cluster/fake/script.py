"""What a test makes the server do wrong, and the log of what it was asked."""

from __future__ import annotations

import dataclasses
import re
import threading


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, as it came (`verb`: get, list, watch, create, update, patch, delete, deletecollection, or the method)."""

    method: str
    path: str
    query: dict[str, str]
    user: str
    verb: str
    headers: dict[str, str]
    body: bytes


class Requests(list):
    """All requests since the start or `clear()`."""

    def of(self, verb, path=".*"):
        return [r for r in list(self) if r.verb == verb and re.search(path, r.path)]

    def count(self, verb, path=".*"):
        return len(self.of(verb, path))

    def writes(self):
        return [
            r for r in list(self) if r.verb in ("create", "update", "patch", "delete", "deletecollection")
        ]


@dataclasses.dataclass
class Failure:
    verbs: frozenset[str]
    path: re.Pattern
    status: int | None
    message: str | None
    retry_after: int | None
    reset: bool
    hang: bool
    after: bool
    times: float
    skip: int = 0
    hits: int = 0


class Script:
    def __init__(self):
        self._lock = threading.Lock()
        self._failures: list[Failure] = []
        self._released = threading.Event()
        self.speaking = threading.Event()
        self.speaking.set()

    def fail(
        self, verb, path=".*", *, status=None, message=None, retry_after=None, reset=False, hang=False,
        after=False, times=1, skip=0,
    ):  # fmt: skip
        """Let the next `times` requests of this verb ("*": any) whose path matches fail; the newest rule first.

        One of: `status` (with `message`, `retry_after`), `reset` (the connection is cut without an answer), `hang` (no
        answer until `release()` or the stop). `after`: do what was asked first, then fail: the answer is what is lost.
        The first `skip` that match pass. Answers the rule; its `hits` counts.
        """
        words = frozenset(verb.replace(",", " ").split())
        rule = Failure(words, re.compile(path), status, message, retry_after, reset, hang, after, times, skip)
        with self._lock:
            self._failures.insert(0, rule)
        return rule

    def clear(self):
        """Forget all failures, and let go who hangs."""
        with self._lock:
            self._failures.clear()
        self.release()

    def release(self):
        with self._lock:
            self._released.set()
            self._released = threading.Event()

    def failure(self, verb, path):
        with self._lock:
            for rule in self._failures:
                if rule.times > rule.hits and rule.verbs & {"*", verb} and rule.path.search(path):
                    if rule.skip:
                        rule.skip -= 1
                        continue
                    rule.hits += 1
                    return rule
        return None

    def hang(self):
        with self._lock:
            released = self._released
        released.wait()

    def pause(self):
        """Silence: connections are accepted, and nothing more is said, not on watches either."""
        self.speaking.clear()

    def resume(self):
        self.speaking.set()
