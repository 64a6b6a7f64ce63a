"""Each runtime beside the built-in one, same model, same machine, one after the other: start, memory, latency, throughput.

The start is from serve() of a submitted model to its first prediction, the best of three with environments and page cache warm; memory is what the
whole process group holds (PSS); a request is one row.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import kale_serve_lab as ksl
from kale_serve_lab.client import Client

sys.path.append(str(Path(__file__).parents[1] / "table"))
import run  # noqa: E402

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]
BUILT_IN = "kale-built-in"
STARTS, CLIENTS, EACH, SINGLE = 4, 8, 40, 120


@dataclass(frozen=True)
class Figures:
    start: float
    memory: float
    p50: float
    rate: float


def memory_of_group(pid):
    """MiB of the process group, each shared page counted by its part."""
    group, total = os.getpgid(pid), 0
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                total += process.memory_full_info().pss
        except (psutil.Error, ProcessLookupError):
            continue
    return total / 2**20


def measured(model, runtime, protocol):
    name = f"perf-{model.format}-{runtime}"
    config = {"runtime": runtime, "protocol_version": protocol}
    row = model.rows[:1]

    def started():
        began = time.perf_counter()
        ksl.serve(model.id, name=name, serve_config=config)
        with ksl.Endpoint(name) as endpoint:
            endpoint.predict(row)
        return time.perf_counter() - began

    # The first makes its environment and reads its files into the page cache; by the last the built-in has an interpreter parked.
    starts = []
    for again in range(STARTS):
        if again:
            Client().request("DELETE", f"/api/services/{name}")
        starts.append(started())
    start = min(starts[1:])
    service = Client().request("GET", f"/api/services/{name}")
    with ksl.Endpoint(name) as endpoint:
        for _ in range(20):
            endpoint.predict(row)
        single = []
        for _ in range(SINGLE):
            began = time.perf_counter()
            endpoint.predict(row)
            single.append(time.perf_counter() - began)
        failed = []

        def client():
            try:
                for _ in range(EACH):
                    endpoint.predict(row)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        assert not failed, failed[0]
    memory = memory_of_group(service["components"][0]["pid"])
    Client().request("DELETE", f"/api/services/{name}")
    return Figures(start, memory, statistics.median(single) * 1000, CLIENTS * EACH / took)


def print_table(title, rows):
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


@pytest.mark.parametrize("model_format", ["sklearn", "pytorch"])
def test_beside_the_built_in_one(home, tmp_path, monkeypatch, model_format):
    monkeypatch.setenv("KALE_SERVE_ENVIRONMENTS_DIR", str(run.ENVIRONMENTS))
    model = run.reference(model_format, tmp_path)
    found = {}
    for runtime in run.RUNTIMES:
        protocol = next((one for one in ("v2", "v1") if not run.refusal(model, runtime.name, one)), None)
        if protocol is not None:
            found[f"{runtime.name}, {protocol}"] = measured(model, runtime.name, protocol)
    (base,) = [figures for name, figures in found.items() if name.startswith(BUILT_IN)]
    print_table(
        f"{model_format}: each runtime, and as a multiple of the built-in one's",
        [
            ("", "start s", "", "memory MiB", "", "p50 ms", "", f"requests/s ({CLIENTS} clients)", ""),
            *(
                (
                    name,
                    f"{one.start:.2f}", f"{one.start / base.start:.1f} x",
                    f"{one.memory:.0f}", f"{one.memory / base.memory:.1f} x",
                    f"{one.p50:.2f}", f"{one.p50 / base.p50:.1f} x",
                    f"{one.rate:.0f}", f"{one.rate / base.rate:.2f} x",
                )
                for name, one in found.items()
            ),
        ],
    )  # fmt: skip
    others = [one for one in found.values() if one is not base]
    assert others, "no other runtime could be served here"
    assert all(base.start < one.start for one in others)
    # The medians are printed only: on a busy machine a model's own threads wait for cores longer than any server's share.
