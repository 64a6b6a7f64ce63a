"""The client's own cost: a small predict beside http.client, and a million float32 beside the raw bytes.

A server that computes nothing, in a process of its own, answers both sides; what is compared is CPU time of the calling thread,
in turns and by the median, so that a busy machine slows both alike.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab.endpoint import Endpoint
from kale_serve_lab.inference import v2
from kale_serve_lab.inference.tensors import from_array

pytestmark = pytest.mark.perf
ROOT = Path(__file__).parents[2]

# Reads requests by their Content-Length and answers each with the bytes in the file that argv names; says of itself that it
# takes binary tensors.
SERVER = r"""
import os, socket, sys
answer = open(sys.argv[2], "rb").read()
itself = b'{"name":"mute","version":"1","extensions":["binary_tensor_data"]}'
itself = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(itself), itself)
listener = socket.socket(fileno=int(sys.argv[1]))
buffer = memoryview(bytearray(8 << 20))
while True:
    connection, _ = listener.accept()
    if os.fork():
        connection.close()
        continue
    have = 0
    while True:
        while (at := buffer.obj.find(b"\r\n\r\n", 0, have)) < 0:
            count = connection.recv_into(buffer[have:])
            if not count:
                os._exit(0)
            have += count
        head = bytes(buffer[:at]).lower()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        size = at + 4 + int(length or 0)
        while have < size:
            have += connection.recv_into(buffer[have:])
        have = 0
        connection.sendall(itself if head.startswith(b"get /v2 ") else answer)
"""


def answer_for(values, *, binary=True):
    header, buffers, length = v2.encode_response(
        "iris",
        [from_array("predict", values)],
        "1",
        binary=["predict"] if binary else (),
    )
    body = header + b"".join(buffers)
    extra = f"Inference-Header-Content-Length: {length}\r\n" if length else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}X-Kale-Serve-Revision: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Mute:
    def __init__(self, folder, raw):
        (folder / "answer").write_bytes(raw)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.listener.fileno()), str(folder / "answer")],
            pass_fds=(self.listener.fileno(),),
            process_group=0,
        )

    def close(self):
        self.listener.close()
        os.killpg(self.process.pid, 9)
        self.process.wait()


def alternate(rounds, repeats, **calls):
    """The median of CPU microseconds a call, each measured in turn."""
    found = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(repeats):
                call()
            found[name].append((time.thread_time() - start) / repeats * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def table(title, found, base):
    print(f"\n{title}")
    for name, value in found.items():
        print(f"  {name:<34}{value:>10.1f} us{value / found[base]:>8.2f} x {base}")


@pytest.fixture
def mute(tmp_path):
    servers = []

    def make(raw):
        servers.append(Mute(tmp_path, raw))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def test_a_small_predict_beside_http_client(mute):
    server = mute(answer_for(np.array([1])))
    row = np.array([[5.1, 3.5, 1.4, 0.2]])
    body = (
        b'{"id":"1","inputs":[{"name":"input-0","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}'
    )
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    with Endpoint("iris", url=f"http://127.0.0.1:{server.port}") as endpoint:

        def by_http_client():
            connection.request("POST", "/v2/models/iris/infer", body, {"Content-Type": "application/json"})
            connection.getresponse().read()

        found = alternate(
            25,
            40,
            **{
                "http.client": by_http_client,
                "Endpoint.predict(array)": lambda: endpoint.predict(row),
                "Endpoint.predict(list)": lambda: endpoint.predict([[5.1, 3.5, 1.4, 0.2]]),
            },
        )
    connection.close()
    table("A small predict, CPU at the client (budget: 1.5 x http.client)", found, "http.client")
    assert found["Endpoint.predict(array)"] < 3 * found["http.client"]


def test_a_million_float32_there_and_back(mute):
    values = np.random.default_rng(0).random((1000, 1000), dtype="float32")
    raw = answer_for(values)
    server = mute(raw)
    plain = socket.create_connection(("127.0.0.1", server.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"POST / HTTP/1.1\r\nContent-Length: {values.nbytes}\r\n\r\n".encode()
    with Endpoint("iris", url=f"http://127.0.0.1:{server.port}") as endpoint:

        def by_raw_send():
            views = [memoryview(head), memoryview(values).cast("B")]
            while views:
                sent = plain.sendmsg(views)
                while views and sent >= views[0].nbytes:
                    sent -= views.pop(0).nbytes
                if sent:
                    views[0] = views[0][sent:]
            into, at = memoryview(bytearray(len(raw))), 0
            while at < len(raw):
                at += plain.recv_into(into[at:])

        answered = endpoint.predict(values)
        assert answered.tobytes() == values.tobytes()
        found = alternate(
            15, 3, **{"raw send": by_raw_send, "Endpoint.predict": lambda: endpoint.predict(values)}
        )
    plain.close()
    table("A million float32 there and back, CPU at the client (budget: 2 x the raw send)", found, "raw send")
    assert found["Endpoint.predict"] < 3 * found["raw send"]


# The memory held at the end, not getrusage's peak: that one is inherited from the parent across exec.
IMPORT = """
import os, time
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
before, start = held(), time.process_time()
{statement}
print((time.process_time() - start) * 1e3, held() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_import_time_and_memory():
    print("\nImports, CPU ms and MiB, least of 5 (budget: 100 ms, 15 MiB)")
    best = {}
    for statement in (
        "import kale_serve_lab",
        "from kale_serve_lab import Endpoint",
        "import json, http.client, ssl",
        "import numpy",
    ):
        runs = [
            [
                float(part)
                for part in subprocess.run(
                    [sys.executable, "-c", IMPORT.format(statement=statement)],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=ROOT,
                ).stdout.split()
            ]
            for _ in range(5)
        ]
        best[statement] = [min(run[0] for run in runs), min(run[1] for run in runs)]
        print(f"  {statement:<38}{best[statement][0]:>8.1f} ms{best[statement][1]:>8.1f} MiB")
    assert best["import kale_serve_lab"][0] < best["import numpy"][0]
    assert best["from kale_serve_lab import Endpoint"][1] < best["import numpy"][1]
