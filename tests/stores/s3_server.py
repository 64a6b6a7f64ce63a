"""A bucket that speaks S3: moto's server as a process of its own, behind a proxy that a test can make misbehave."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

KEY = "kale-test-key"

# It ends with whoever holds the other end of its stdin, also where that is killed.
MOTO = """
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(["-H", "127.0.0.1", "-p", "0"])
"""


@contextlib.contextmanager
def moto(log: Path):
    """The port of a moto server; the process has ended afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", MOTO],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield _port(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()


def _port(process, log):
    # Its own words say which port it has; a poll of a file, as no event tells of one.
    fd = os.pidfd_open(process.pid)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    try:
        for _ in range(1200):
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
            if found:
                return int(found.group(1))
            assert not poller.poll(100), log.read_text()
    finally:
        os.close(fd)
    raise AssertionError(log.read_text())


@dataclass
class Asked:
    method: str
    path: str
    size: int


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD path?query` matches."""

    match: str
    act: object
    times: float = 1
    after: int = 0
    hits: int = 0


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass

    def fault(self, match, act, times=1, after=0):
        """`act`: a status and code (`(503, "SlowDown")`), `cut` (no answer), `lost` (done, but no answer), or bytes -> bytes."""
        rule = Fault(match, act, times, after)
        self.faults.append(rule)
        return rule

    def acting(self, line):
        with self.lock:
            for rule in self.faults:
                if rule.times > 0 and re.search(rule.match, line):
                    if rule.after > 0:
                        rule.after -= 1
                        continue
                    rule.times -= 1
                    rule.hits += 1
                    return rule.act
        return None

    def sent(self):
        """Bytes of all bodies that were put."""
        return sum(one.size for one in self.asked if one.method == "PUT")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        # An answer comes at once; who is refused need not send the body.
        self.send_response_only(100)
        self.end_headers()
        return True

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(Asked(self.command, self.path, len(body)))
        act = self.server.acting(f"{self.command} {self.path}")
        if act == "cut":
            return self._cut()
        if isinstance(act, tuple):
            status, code = act[:2]
            if isinstance(code, dict):
                return self._answer(status, code, act[2])
            return self._answer(status, act[2] if len(act) > 2 else {}, _error(code) if code else b"")
        if callable(act):
            body = act(body)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
            if act == "lost":
                return self._cut()
            kept = {
                n: v
                for n, v in answer.getheaders()
                if n.lower() not in {"transfer-encoding", "connection", "content-length"}
            }
            size = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, kept, data, size)
        finally:
            upstream.close()

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 (the names that the base class looks for)

    def _answer(self, status, headers, body, size=None):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.shutdown(socket.SHUT_RDWR)


def _error(code):
    return (
        f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said by the test</Message></Error>'.encode()
    )


@contextlib.contextmanager
def proxy(port):
    server = Proxy(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
