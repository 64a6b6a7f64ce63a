"""serve() of a submitted model to its first prediction, cold and warm, beside KServe's ModelServer; the daemon at rest."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kale_serve_lab as ksl
from kale_serve_lab.client import Client

sklearn = pytest.importorskip("sklearn")
pytestmark = pytest.mark.perf
PEER = "kserve==0.21.0"


def print_table(title: str, rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def train():
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, target = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=500).fit(features, target), features


def seconds_to_first_prediction(artifact_id: int, name: str, rows) -> float:
    start = time.perf_counter()
    ksl.serve(artifact_id, name=name)
    ksl.Endpoint(name).predict(rows)
    return time.perf_counter() - start


@pytest.fixture(scope="session")
def peer_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KServe in an environment of its own: it shares none with ml-metadata."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        pytest.skip("uv is needed to make the peer's environment")
    folder = tmp_path_factory.mktemp("peer") / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    done = subprocess.run(
        [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(folder / "bin/python"), PEER,
         f"scikit-learn=={sklearn.__version__}"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{PEER} cannot be installed here: {done.stderr[-300:]}")
    return folder / "bin/python"


def peer_seconds(python: Path, model_file: Path, row: list[float]) -> float:
    """Start KServe's ModelServer and time it to its first right answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    server = subprocess.Popen(
        [str(python), str(Path(__file__).with_name("kserve_server.py")), str(model_file), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        while True:
            assert server.poll() is None, "the peer ended before it answered"
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("POST", "/v1/models/peer:predict", json.dumps({"instances": [row]}),
                                   {"Content-Type": "application/json"})  # fmt: skip
                if connection.getresponse().status == 200:
                    return time.perf_counter() - start
            except OSError:
                pass
            finally:
                connection.close()
            assert time.perf_counter() - start < 60
            time.sleep(0.01)  # a peer that does not listen yet can only be asked again
    finally:
        server.terminate()
        server.wait(20)


def test_serve_to_first_prediction_beside_kserve(home: Path, peer_python: Path) -> None:
    model, features = train()
    artifact = ksl.Model(model=model, name="iris", signature=features).submit_artifact()
    rows = features[:1]
    cold = seconds_to_first_prediction(artifact.id, "iris-cold", rows)
    # The parked interpreter is made beside the first services; what is measured is that it is there.
    for i in range(10):
        if seconds_to_first_prediction(artifact.id, f"iris-beside-{i}", rows) < cold / 2:
            break
    warm = sorted(seconds_to_first_prediction(artifact.id, f"iris-{i}", rows) for i in range(5))

    import joblib

    file = home / "model.joblib"
    joblib.dump(model, file)
    peer_seconds(peer_python, file, rows[0].tolist())  # reads its files into the page cache, as ours are
    peer = sorted(peer_seconds(peer_python, file, rows[0].tolist()) for _ in range(3))
    print_table(
        "serve() to first prediction, seconds (and as a part of KServe ModelServer's)",
        [
            ("", "median", "min", "max", "ratio"),
            ("cold (fresh interpreter)", f"{cold:.3f}", "", "", f"{cold / peer[1]:.2f}"),
            (
                "warm (parked)",
                f"{warm[2]:.3f}",
                f"{warm[0]:.3f}",
                f"{warm[-1]:.3f}",
                f"{warm[2] / peer[1]:.2f}",
            ),
            ("KServe ModelServer 0.21", f"{peer[1]:.3f}", f"{peer[0]:.3f}", f"{peer[-1]:.3f}", "1"),
        ],
    )
    assert warm[2] < peer[1] / 3
    assert cold < peer[1] * 3


def test_daemon_at_rest(home: Path) -> None:
    import psutil

    version = Client().request("GET", "/api/version")
    daemon = psutil.Process(version["pid"])
    before = daemon.cpu_times()
    time.sleep(3)  # the thing measured is what it does when nothing happens
    after = daemon.cpu_times()
    busy = (after.user + after.system - before.user - before.system) / 3
    rss = daemon.memory_info().rss / 2**20
    print_table("daemon at rest", [("CPU", f"{busy:.1%}"), ("memory", f"{rss:.0f} MiB")])
    assert busy < 0.02
