"""What the model server adds to `model.predict`: at most 0.5 ms a request, seen from a raw socket, on a quiet machine."""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "model_server"))
import contract_models  # noqa: E402
import server_process as processes  # noqa: E402

from kale_serve_lab.inference import tensors, v2  # noqa: E402

pytestmark = pytest.mark.perf
ROUNDS, CALLS = 7, 200


def request(target, body, extra=b""):
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (target, extra, len(body), body)


def exchange(sock, data):
    sock.sendall(data)
    return sock.recv(1 << 16)


def milliseconds(call):
    """The median round of many calls: neighbours on the machine come and go."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - began) / CALLS * 1e3)
    return statistics.median(rounds)


@pytest.mark.parametrize(
    "make",
    [
        contract_models.sklearn_array_classifier,
        contract_models.xgb_multiclass_array,
        contract_models.lgbm_classifier_labels,
    ],
)
def test_added_to_the_bare_prediction(home, make, capsys):
    case = make()
    server = processes.Server(home, 0, **case.write(home / "artifact"))
    try:
        server.start().ready()
        row = case.rows[:1]
        values = getattr(row, "to_numpy", lambda: row)()
        header, buffers, length = v2.encode_request([tensors.from_array("input-0", values)])
        extra = f"{v2.LENGTH_HEADER}: {length}\r\n".encode()
        v1 = request(b"/v1/models/iris:predict", json.dumps({"instances": values.tolist()}).encode())
        binary = request(b"/v2/models/iris/infer", b"".join([header, *buffers]), extra)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(server.socket_path))
            for data in (v1, binary):
                for _ in range(20):
                    assert b" 200 OK" in exchange(sock, data)
            bare = milliseconds(lambda: case.model.predict(row))
            health = milliseconds(lambda: exchange(sock, b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"))
            over_v1 = milliseconds(lambda: exchange(sock, v1))
            over_v2 = milliseconds(lambda: exchange(sock, binary))
        with capsys.disabled():
            print(
                f"\n{make.__name__:26} bare {bare:.2f} ms · HTTP alone {health:.2f} · "
                f"v1 +{over_v1 - bare:.2f} · v2 binary +{over_v2 - bare:.2f} (budget +0.50)"
            )
        # The bare call and an empty exchange are the floor; only an order of magnitude above it is a finding here.
        assert min(over_v1, over_v2) < 10 * (bare + health)
    finally:
        server.close()
