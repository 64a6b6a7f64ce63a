"""A user's predictor: PATH OF A JSON FILE, --http_port=PORT. Adds what the file says to each instance; writes what it was given."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = json.loads(Path(sys.argv[1]).read_text())
PORT = int(sys.argv[2].partition("=")[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # It knows nothing of the protocols' other paths.
        self.answer(404, {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {"predictions": [sum(row) + MODEL["add"] for row in asked["instances"]]})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


told = {name: os.environ.get(name) for name in ("PORT", "MODE", "WHERE", "PYTHONPATH")}
Path(os.environ["TOLD"]).write_text(json.dumps({"argv": sys.argv[1:], "env": told, "cwd": str(Path.cwd())}))
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
