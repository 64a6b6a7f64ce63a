"""A thousand InferenceServices in a namespace: the first snapshot, the memory, and what ten panels ask of the API server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_cluster import FakeCluster
from fake_cluster.fixtures import need_shared
from fake_cluster.kinds import Target, named

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]
COUNT, PANELS = 1000, 10
WATCHED = ("inferenceservices", "pods", "events")
NAMESPACE = "default"


def print_table(title: str, rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def fill(fake: FakeCluster, count: int) -> None:
    """One service as the recording of a healthy one leaves it, and as many more of it, with their pods and events."""
    body = {
        "metadata": {"name": "template", "labels": {"app.kubernetes.io/managed-by": "kale-serve-lab"}},
        "spec": {"predictor": {"model": {
            "modelFormat": {"name": "sklearn"}, "storageUri": "pvc://models/skl", "runtime": "kserve-sklearnserver"}}},
    }  # fmt: skip
    where = Target(named("inferenceservices"), NAMESPACE, None, None, None)
    fake.api.create(where, {"fieldManager": "kale-serve-lab"}, {}, json.dumps(body).encode(), "kale")
    fake.controller.settle()
    kinds = [("inferenceservices", None), ("pods", ""), ("services", ""), ("events", "")]
    made = [json.dumps(obj) for plural, group in kinds for obj in fake.list(plural, NAMESPACE, group)]
    uids = [json.loads(text)["metadata"]["uid"] for text in made]
    fake.controller.enabled = False
    for index in range(1, count):
        for number, text in enumerate(made):
            copy = text.replace("template", f"service-{index:04}")
            for place, uid in enumerate(uids):
                copy = copy.replace(uid, f"{index:08x}-0000-4000-8000-{place:012x}")
            assert number < len(uids)
            fake.put(json.loads(copy))


class Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self._path)


class Daemon:
    """A daemon of the test's own on the fake cluster."""

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        self.home = home
        read_end, write_end = os.pipe()
        environment = {
            **os.environ,
            "KALE_SERVE_KUBECONFIG": str(kubeconfig),
            "KALE_SERVE_NAMESPACE": NAMESPACE,
        }
        with (home / "daemon.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kale_serve_lab.daemon", "--ready-fd", str(write_end)],
                pass_fds=[write_end], stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            assert json.loads(pipe.readline()) == {"ok": True}
        [self.socket] = (home / "run").glob("kale-serve-*/daemon.sock")

    def get(self, path: str):
        with contextlib.closing(Unix(self.socket)) as connection:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def services(self) -> list[dict]:
        return [one for one in self.get("/api/services")["items"] if one["target"] == "kserve"]

    def events(self):
        connection = Unix(self.socket)
        connection.request("GET", "/api/events")
        return connection, connection.getresponse()

    def memory(self) -> int:
        """Proportional set size, bytes."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def until(holds, seconds: float = 300, every: float = 0.05):
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, "it never held"
        time.sleep(every)
    return value


def snapshot(fake: FakeCluster, home: Path, count: int, tmp_path: Path):
    """Start a daemon; answers it, the seconds and CPU seconds to its first whole snapshot."""
    kubeconfig = fake.kubeconfig(tmp_path / f"kubeconfig-{count}", namespace=NAMESPACE)
    start = time.perf_counter()
    daemon = Daemon(home, kubeconfig)
    fake.wait_for(lambda: len(fake.watches.open) >= len(WATCHED), 300)
    # Each look costs the daemon a whole listing.
    until(lambda: len(daemon.services()) == count, every=1.0)
    return daemon, time.perf_counter() - start, daemon.cpu()


def asked(fake: FakeCluster) -> dict[tuple[str, str], int]:
    """How often each kind was listed and watched, by the paths of the three kinds; pages are one list."""
    return {
        (verb, plural): sum(
            1 for r in fake.requests.of(verb, rf"/{plural}$") if not r.query.get("continue") and not _right(r)
        )
        for verb in ("list", "watch")
        for plural in WATCHED
    }


def _right(request) -> bool:
    """A list that only asks whether one may."""
    return request.query.get("limit") == "1"


def official_client_seconds(kubeconfig: Path) -> float:
    """What one refresh of one panel costs that lists the three kinds by Kubernetes' own client, CPU included."""
    from kubernetes import client, config

    api = config.new_client_from_config(str(kubeconfig))
    custom, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
    start = time.perf_counter()
    found = custom.list_namespaced_custom_object(
        "serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices"
    )
    core.list_namespaced_pod(NAMESPACE)
    core.list_namespaced_event(NAMESPACE)
    seconds = time.perf_counter() - start
    assert len(found["items"]) == COUNT
    api.close()
    return seconds


def test_a_thousand_services(home, tmp_path):
    need_shared()
    with FakeCluster(tls=True) as fake:
        fill(fake, 1)
        small, *_ = snapshot(fake, home, 1, tmp_path)
        rest = small.memory()
        small.stop()
        fake.wait_for(lambda: not fake.watches.open, 120)
        fake.remove("inferenceservices", "template")
    with FakeCluster(tls=True) as fake:
        fill(fake, COUNT)
        told = sum(
            len(json.dumps(o)) for p in WATCHED for o in fake.list(p, NAMESPACE, None if p[0] == "i" else "")
        )
        daemon, seconds, cpu = snapshot(fake, home, COUNT, tmp_path)
        try:
            memory = daemon.memory()
            once = asked(fake)
            peer = official_client_seconds(tmp_path / f"kubeconfig-{COUNT}")
            fake.requests.clear()
            start, used = time.perf_counter(), daemon.cpu()
            panels = [daemon.events() for _ in range(PANELS)]
            shown = [len(daemon.services()) for _ in range(PANELS)]
            opened, each = (time.perf_counter() - start) / PANELS, (daemon.cpu() - used) / PANELS
            fake.edit("inferenceservices", "service-0500", {"metadata": {"annotations": {"a": "b"}}})
            status = fake.get("inferenceservices", "service-0500")["status"]
            failed = [
                {**c, "status": "False", "reason": "Gone"} if c["type"] == "Ready" else c
                for c in status["conditions"]
            ]
            fake.set_status("inferenceservices", "service-0500", {**status, "conditions": failed})
            heard = [_hears(answer, "service-0500") for _, answer in panels]
            more = [f"{r.verb} {r.path}" for r in fake.requests]
            for connection, answer in panels:
                answer.close()
                connection.close()
        finally:
            daemon.stop()
    print_table(
        f"{COUNT:,} InferenceServices with {told / 1e6:.1f} MB of objects, {PANELS} panels",
        [
            ("what", "value", "against"),
            ("daemon started, to its first whole snapshot", f"{seconds:.2f} s", f"{seconds / peer:.1f} x one refresh by kubernetes' client"),
            ("its CPU until then", f"{cpu:.2f} s", f"{cpu / COUNT * 1000:.2f} ms a service"),
            ("one panel opened after that", f"{opened:.2f} s", f"{opened / peer:.2f} x; CPU {each / COUNT * 1000:.2f} ms a service"),
            ("one refresh by kubernetes' client", f"{peer:.2f} s", "1 x"),
            ("memory, one service", f"{rest / 1e6:.1f} MB", ""),
            ("memory, all", f"{memory / 1e6:.1f} MB", f"+{(memory - rest) / told:.1f} x the objects' JSON"),
            ("lists and watches", str(sum(once.values())), f"{len(more)} more for {PANELS} panels and a change"),
        ],
    )  # fmt: skip
    assert once == dict.fromkeys(once, 1)
    assert shown == [COUNT] * PANELS
    assert heard == [True] * PANELS
    assert more == []
    assert memory - rest < 30 * told
    assert opened < 5 * peer


def _hears(answer, name: str) -> bool:
    while line := answer.readline():
        if name in line.decode():
            return True
    return False
