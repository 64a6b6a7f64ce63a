"""What containers of pods have written and go on to write, by `pods/log`."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kale_serve_lab.backends.kserve.cluster import Answer, Cluster, Lines
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import PODS
from kale_serve_lab.errors import Forbidden, KaleServeError

RIGHT = "get pods/log"
# A tail of this many bytes fits a panel; a line may be as long as a container likes.
_TAIL_BYTES = 1 << 20
_SILENT_SECONDS = 3600.0
_WAITING = 10_000


@dataclass(frozen=True)
class Source:
    """One container; `previous`: as it was before its last restart."""

    pod: str
    container: str
    previous: bool = False

    @property
    def name(self) -> str:
        """`pod/container`."""
        return f"{self.pod}/{self.container}"


def tail(cluster: Cluster, namespace: str, source: Source, lines: int = 200) -> tuple[str, ...]:
    """The last lines; none where the container has not begun, has no previous run, or is gone.

    Raises `Forbidden` ("logs need `get pods/log`"), `Unauthorized` and `ClusterUnavailable`.
    """
    answer = cluster.request(
        "GET",
        PODS.path(namespace, source.pod, "log"),
        query={
            "container": source.container,
            "tailLines": lines,
            "limitBytes": _TAIL_BYTES,
            "previous": source.previous or None,
        },
        headers={"Accept": "*/*"},
        timeout=15.0,
        raw=True,
    )
    if _none_yet(answer):
        return ()
    if not answer.ok:
        raise _refused(answer, namespace, source)
    text = answer.body.decode(errors="replace") if isinstance(answer.body, bytes) else ""
    return tuple(text.splitlines())


class Followed:
    """Lines of several containers as they come, each with its source. Iterate in one thread, `close` from any.

    It ends when all containers have ended. A source that fails ends alone; if none is left and one was refused, iterating
    raises why.
    """

    def __init__(self, cluster: Cluster, namespace: str, sources: Sequence[Source], lines: int = 200) -> None:
        self._cluster, self._namespace, self._tail = cluster, namespace, lines
        self._came: queue.Queue[tuple[Source, str] | None] = queue.Queue(_WAITING)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Lines] = set()
        self._refused: KaleServeError | None = None
        self._told = 0
        self._left = len(sources)
        self._threads = [
            threading.Thread(target=self._read, args=(one,), name=f"log {one.name}", daemon=True)
            for one in sources
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[tuple[Source, str]]:
        while self._left:
            came = self._came.get()
            if self._closing.is_set():
                return
            if came is None:
                self._left -= 1
                continue
            self._told += 1
            yield came
        if self._refused is not None and not self._told:
            raise self._refused

    def close(self) -> None:
        """Let go; no thread is left."""
        self._closing.set()
        with self._lock:
            opened = list(self._open)
        for one in opened:
            one.close()
        while any(thread.is_alive() for thread in self._threads):
            # A reader may wait for room.
            try:
                self._came.get_nowait()
            except queue.Empty:
                pass
            for thread in self._threads:
                thread.join(0.05)
        self._came.put(None)

    def _read(self, source: Source) -> None:
        try:
            lines = self._cluster.lines(
                PODS.path(self._namespace, source.pod, "log"),
                {
                    "container": source.container,
                    "tailLines": self._tail,
                    "follow": True,
                    "previous": source.previous or None,
                },
                _SILENT_SECONDS,
            )
            with self._lock:
                self._open.add(lines)
            if self._closing.is_set():
                lines.close()
            if not lines.answer.ok and not _none_yet(lines.answer):
                self._refused = _refused(lines.answer, self._namespace, source)
            for line in lines:
                self._put((source, line.decode(errors="replace")))
        except KaleServeError as error:
            self._refused = error
        finally:
            self._put(None)

    def _put(self, came: tuple[Source, str] | None) -> None:
        while not self._closing.is_set():
            try:
                self._came.put(came, timeout=0.5)
            except queue.Full:
                continue
            return


def _none_yet(answer: Answer) -> bool:
    """400: the container is waiting to start, or has no previous run; 404: the pod is gone."""
    return answer.status in {400, 404}


def _refused(answer: Answer, namespace: str, source: Source) -> KaleServeError:
    if isinstance(answer.body, bytes) and answer.body[:1] == b"{":
        try:
            decoded = json.loads(answer.body)
        except ValueError:
            decoded = None
        if isinstance(decoded, dict):
            answer = Answer(answer.status, decoded, answer.headers)
    error = errors_of(answer, "get", f"pod {namespace}/{source.pod}", group="", resource="pods/log")
    if isinstance(error, Forbidden):
        return Forbidden(
            f"Logs need `{RIGHT}` in namespace {namespace}.",
            subject=error.subject,
            hint=error.hint,
            details=error.details,
        )
    return error
