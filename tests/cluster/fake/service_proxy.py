"""The API server's proxy to a Service, and the real servers that stand behind it."""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import socket
import urllib.parse

from . import statuses
from .kinds import named

SERVICES = named("services")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Backs:
    """Which real server stands behind a Service: `backs("iris-predictor", "http://127.0.0.1:8080")`, or a socket's path."""

    def __init__(self):
        self._targets: dict[tuple[str, str], str] = {}

    def __call__(self, service, address, namespace="*"):
        self._targets[(namespace, service)] = str(address)

    def remove(self, service, namespace="*"):
        self._targets.pop((namespace, service), None)

    def of(self, namespace, service):
        for (place, pattern), address in reversed(list(self._targets.items())):
            if place in ("*", namespace) and fnmatch.fnmatchcase(service, pattern):
                return address
        return None

    def proxy(self, store, handler, target, raw_rest, query, body):
        """`…/services/[scheme:]NAME[:PORT]/proxy/…`, as the API server relays it."""
        parts = target.name.split(":")
        name, port = (
            (parts[1], parts[2]) if len(parts) == 3 else (parts[0], parts[1] if len(parts) > 1 else "")
        )
        if store.get(SERVICES, target.namespace, name) is None:
            raise statuses.not_found(SERVICES, name)
        address = self.of(target.namespace, name)
        if address is None:
            raise statuses.unavailable(
                f'no endpoints available for service "{name}:{port}"'
                if port
                else f'no endpoints available for service "{name}"'
            )
        base = ""
        if address.startswith("http"):
            parsed = urllib.parse.urlsplit(address)
            connection = http.client.HTTPConnection(parsed.hostname, parsed.port or 80, timeout=60)
            base = parsed.path.rstrip("/")
        else:
            connection = _UnixConnection(address, 60)
        dropped = {
            "host",
            "authorization",
            "connection",
            "transfer-encoding",
            "content-length",
            "accept-encoding",
        }
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in dropped}
        headers["X-Forwarded-Uri"] = handler.path
        path = f"{base}/{raw_rest}" + (f"?{query}" if query else "")
        try:
            with contextlib.closing(connection):
                connection.request(handler.command, path, body or None, headers)
                answer = connection.getresponse()
                data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise statuses.unavailable(
                f"error trying to reach service: dial tcp {address}: connect: {error}"
            ) from None
        skipped = {"connection", "transfer-encoding", "content-length", "keep-alive"}
        handler.send(
            answer.status, [(k, v) for k, v in answer.getheaders() if k.lower() not in skipped], data
        )
