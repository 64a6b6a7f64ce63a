"""The control socket: how the daemon watches a server, adopts it after its own restart, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import Any

from kale_serve_lab.model_server.spec import LaunchSpec
from kale_serve_lab.model_server.state import State

# A command is a few words; whoever sends more is no daemon of ours.
_MAX_COMMAND = 64 * 1024


class ControlServer:
    """Newline-delimited JSON on a listening Unix socket: hello and state to everyone who connects, commands back.

    Messages are small and are sent at once; a peer that does not read loses its connection, never the server's time.
    """

    def __init__(self, spec: LaunchSpec, state: State, commands: dict[str, Callable[[], None]]) -> None:
        self._spec = spec
        self._state = state
        self._commands = commands
        assert spec.control_fd is not None
        self._listener = socket.socket(fileno=spec.control_fd)
        self._listener.setblocking(False)
        self._peers: dict[socket.socket, bytearray] = {}
        self._loop = asyncio.get_running_loop()
        self.greeted = asyncio.Event()
        state.watchers.append(self._tell_all)
        self._loop.add_reader(self._listener, self.accept)

    def accept(self) -> None:
        """Greet everyone who waits."""
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.setblocking(False)
            self._peers[peer] = bytearray()
            self._loop.add_reader(peer, self._read, peer)
            self._send(
                peer,
                {
                    "type": "hello",
                    "nonce": self._spec.nonce,
                    "pid": os.getpid(),
                    "service": self._spec.service,
                    "namespace": self._spec.namespace,
                    "revision": self._spec.revision,
                    "component": self._spec.component,
                },
            )
            self._send(peer, self._state.to_json())
            self.greeted.set()

    def close(self) -> None:
        """Stop listening and hang up on everyone."""
        self._loop.remove_reader(self._listener)
        for peer in list(self._peers):
            self._drop(peer)
        self._listener.close()

    def _tell_all(self) -> None:
        for peer in list(self._peers):
            self._send(peer, self._state.to_json())

    def _send(self, peer: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(peer, [data], fds) if fds else peer.send(data)
        except OSError:
            sent = -1
        if sent != len(data):
            self._drop(peer)

    def _drop(self, peer: socket.socket) -> None:
        if self._peers.pop(peer, None) is not None:
            self._loop.remove_reader(peer)
            peer.close()

    def _read(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(_MAX_COMMAND)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer = self._peers.get(peer)
        if buffer is None or not data or len(buffer) + len(data) > _MAX_COMMAND:
            self._drop(peer)
            return
        buffer += data
        *lines, rest = bytes(buffer).split(b"\n")
        buffer[:] = rest
        for line in lines:
            kind = None
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line)
                kind = message.get("type") if isinstance(message, dict) else None
            if kind == "socket":
                fds = (self._spec.listen_fd, *([] if self._spec.grpc_fd is None else [self._spec.grpc_fd]))
                self._send(peer, {"type": "socket"}, fds)
            elif isinstance(kind, str) and kind in self._commands:
                self._commands[kind]()
            else:
                self._send(peer, {"type": "error", "message": f"no such command: {kind!r}"})
