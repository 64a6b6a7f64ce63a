"""A user's server on the Unix socket it is offered: BEHAVIOUR NAME. It answers, or misbehaves, as it is told."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

BEHAVIOUR, NAME = sys.argv[1:3]
STATE = Path(os.environ["STATE"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        ready = self.path in (f"/v2/models/{NAME}/ready", f"/v1/models/{NAME}") and BEHAVIOUR != "never-ready"
        self.answer(200 if ready else 503, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (STATE / "headers").write_text(json.dumps(dict(self.headers)))
        if BEHAVIOUR == "garbage":
            self.wfile.write(b"\x00\x01\x02 what is this\r\n\r\n")
            self.close_connection = True
        elif BEHAVIOUR == "endless-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(5000):
                self.wfile.write(b"X-%d: %s\r\n" % (number, b"y" * 1000))
        elif BEHAVIOUR == "too-large":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        elif BEHAVIOUR == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            self.close_connection = True
        elif BEHAVIOUR == "teapot":
            self.answer(418, b"I am a teapot", "text/plain")
        elif BEHAVIOUR == "die-on-predict":
            print("ValueError: this is the last straw", flush=True)
            os._exit(4)
        elif BEHAVIOUR == "slow":
            time.sleep(0.3)
            self.answer(200, body)
        elif BEHAVIOUR == "chunked":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (body[:3], body[3:], b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        else:
            self.answer(200, body, self.headers.get("Content-Type"))

    def answer(self, status: int, body: bytes, kind: str | None = None) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name in ("Inference-Header-Content-Length",):
            if name in self.headers:
                self.send_header(name, self.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if BEHAVIOUR == "die-at-start":
    raise ValueError("the model of this artifact cannot be read")
if BEHAVIOUR == "ignore-sigterm":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A grandchild that belongs to the group.
    os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
(STATE / "child").write_text(str(os.getpid()))
with Server(os.environ["KALE_SERVE_SOCKET"], Handler) as server:
    if BEHAVIOUR != "ignore-sigterm":
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
