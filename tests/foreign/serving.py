"""Services of real servers through the daemon, and requests to them that were not made by our own client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kale_serve_lab import paths, serve
from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError


@contextlib.contextmanager
def served(model: Any, name: str, **config: Any) -> Iterator[dict[str, Any]]:
    """The service's JSON, once it is ready; skips where its environment cannot be made here, which fails in CI."""
    try:
        serve(model, name=name, serve_config=config)
        yield Client().request("GET", f"/api/services/{name}")
    except KaleServeError as error:
        if error.code == "EnvironmentFailed" and not os.environ.get("CI"):
            pytest.skip(str(error))
        raise
    finally:
        with contextlib.suppress(KaleServeError):
            Client().request("DELETE", f"/api/services/{name}")


def ask(
    name: str,
    body: bytes | dict[str, Any] | None = None,
    path: str = "infer",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and answer (JSON's value where it is JSON) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    connection.sock.connect(str(paths.front_socket("default", name)))
    target = path if path.startswith("/") else f"/v2/models/{name}/{path}"
    sent = json.dumps(body).encode() if isinstance(body, dict) else body
    connection.request("GET" if body is None else "POST", target, sent, headers or {})
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    with contextlib.suppress(ValueError):
        return answer.status, json.loads(read)
    return answer.status, read


def tensor(name: str, dtype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": dtype, "shape": shape, "data": data}


class Load:
    """Predictions one after the other in a few threads, each on a connection of its own; every one must be answered."""

    def __init__(self, name: str, body: dict[str, Any], threads: int = 3) -> None:
        self._stop = threading.Event()
        self._more = threading.Condition()
        self.answers: list[Any] = []
        self.failures: list[Any] = []
        self._name, self._body = name, body
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Load:  # noqa: PYI034 (Self is newer than Python 3.10)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        """Until so many more have been answered."""
        wanted = len(self.answers) + count
        with self._more:
            assert self._more.wait_for(lambda: len(self.answers) >= wanted or self.failures, 60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                status, answer = ask(self._name, self._body)
            except Exception as error:
                status, answer = 0, repr(error)
            with self._more:
                (self.answers if status == 200 else self.failures).append(answer)
                self._more.notify_all()
            if status != 200:
                return


def pids_of(service: dict[str, Any]) -> tuple[int, int]:
    """Our process of a service's only component, and the server that is its child."""
    (part,) = service["components"]
    # Beside the server there is the shell that watches over it.
    children = Path(f"/proc/{part['pid']}/task").glob("*/children")
    found = [int(pid) for file in children for pid in file.read_text().split()]
    (child,) = [pid for pid in found if b"/bin/sh" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return part["pid"], child


def until_ready_again(name: str, pid: int) -> dict[str, Any]:
    """The service, once another process than this one answers for it."""
    client = Client()
    service = client.request("GET", f"/api/services/{name}")

    def again() -> bool:
        return service["state"] == "Ready" and all(
            part["pid"] not in (pid, None) for part in service["components"]
        )

    if not again():
        seq = client.request("GET", "/api/services")["seq"]
        service = client.request("GET", f"/api/services/{name}")
        if again():
            return service
        for _ in client.events(since=seq):
            service = client.request("GET", f"/api/services/{name}")
            if again():
                break
    return service
