"""HTTP/1.1 on 127.0.0.1, plain or TLS, a thread a connection; knows nothing of Kubernetes."""

from __future__ import annotations

import contextlib
import http.server
import select
import socket
import ssl
import threading

HEAD = 65536


class Reset(Exception):  # noqa: N818
    """Cut the connection without an answer."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = None

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        try:
            self.server.answer(self, body)
            self.wfile.flush()
        except Reset:
            self.close_connection = True
            self.cut()
        except (BrokenPipeError, ConnectionError, ssl.SSLError, ValueError):
            self.close_connection = True

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET  # noqa: N815

    def _chunks(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline(HEAD).split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass

    def cut(self):
        """A reset, so that the client does not take it for an end."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.shutdown(socket.SHUT_RDWR)

    def send(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_stream(self, content_type):
        self.send_response_only(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def end_stream(self):
        self.wfile.write(b"0\r\n\r\n")

    def gone(self):
        """Whether the client of a stream has closed; it has nothing to say there."""
        try:
            readable = bool(select.select([self.connection], [], [], 0)[0])
        except (OSError, ValueError):
            return True
        return readable


class Server:
    """`answer(handler, body)` answers each request; `stop()` leaves no thread and no socket."""

    def __init__(self, answer, tls=None):
        self.answer = answer
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listener = None
        self._thread = None
        self.port = 0

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), name="fake-accept")
        self._thread.start()

    def _accept(self, listener):
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, address), name="fake-connection")
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection, address):
        wrapped = connection
        try:
            if self._tls:
                wrapped = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
                )
                with self._lock:
                    self._connections[wrapped] = self._connections.pop(connection)
                wrapped.do_handshake()
            Handler(wrapped, address, self)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._connections.pop(connection, None)
                self._connections.pop(wrapped, None)
            with contextlib.suppress(OSError):
                wrapped.close()

    def close_listener(self):
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        self._thread.join()

    def drop(self):
        """Close every connection that is open."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return list(connections.values())

    def stop(self):
        self.close_listener()
        for thread in self.drop():
            thread.join(30)
            if thread.is_alive():
                raise RuntimeError("a thread of the fake API server does not end")
