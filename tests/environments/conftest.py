"""A folder for environments, and package indexes that behave as badly as real ones do at times."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from kale_serve_lab.backends.local.environments import Environments

# A wheel of a few kilobytes that needs nothing.
TINY = "tinydb"


class Lines(list):
    """Takes progress."""

    def __call__(self, line):
        self.append(line)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "environments"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def environments(folder):
    return Environments(folder)


@pytest.fixture
def silent_index(monkeypatch):
    """An index that takes a connection, never answers, and says by an event that somebody waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = threading.Event()
        kept = []

        def take():
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return
                asked.set()

        thread = threading.Thread(target=take)
        thread.start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{listener.getsockname()[1]}/simple")
        # What others have installed is in uv's cache, for which no index would be asked.
        monkeypatch.setenv("UV_NO_CACHE", "1")
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for one in kept:
            one.close()


@pytest.fixture
def empty_index(monkeypatch):
    """An index that has nothing, behind a password, which its own pages repeat; the requests it got."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://bob:hunter2@127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("UV_NO_CACHE", "1")
        yield seen
        server.shutdown()
        thread.join()
