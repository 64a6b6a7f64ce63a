"""A predictor or transformer that is another server: started as our child, asked over HTTP, its bytes passed on as they are."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import KaleServeError, ModelLoadFailed, NotFound, UpstreamFailed
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server.component import Protocol_
from kale_serve_lab.model_server.foreign import leftovers
from kale_serve_lab.model_server.foreign.adapters import adapter
from kale_serve_lab.model_server.foreign.child import Child
from kale_serve_lab.model_server.foreign.forward import Address, Answer, Forwarder
from kale_serve_lab.model_server.foreign.launch import Given, Launch
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.spec import LaunchSpec, RuntimeSpec

log = logging.getLogger("kale_serve_lab.model_server")

LENGTH_HEADER = "inference-header-content-length"
# What belongs to one connection, or is written anew; and what would have the server compress for us.
_NOT_FORWARDED = {
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_KEPT_OF_ANSWERS = {
    "content-type": "Content-Type",
    "content-encoding": "Content-Encoding",
    LENGTH_HEADER: "Inference-Header-Content-Length",
}
# A server that starts answers within milliseconds when it can; a slow one is asked less often.
_FIRST_LOOK_SECONDS = 0.02
_LOOK_SECONDS = 0.25
_ANSWER_SECONDS = 10.0


class Foreign:
    """`ended` is called, in some thread, with the reason when the server ends by itself."""

    def __init__(self, spec: LaunchSpec, ended: Callable[[KaleServeError], None]) -> None:
        assert spec.runtime is not None
        self._spec = spec
        self._runtime: RuntimeSpec = spec.runtime
        self._ended = ended
        self._child: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.platform = self._runtime.name

    def load(self) -> dict[str, float]:
        """Start the server and wait until its model is ready. Raises `ModelLoadFailed` where it ends before."""
        began = time.perf_counter()
        work = self._runtime.work
        leftovers.remove(work)
        work.mkdir(mode=0o700, parents=True)
        self._remove_sockets()
        self._launch = launch = adapter(self._runtime.adapter).prepare(self._given(work))
        log.info("%s: starts %s %s", self._spec.service, self._runtime.name, launch.version or "")
        try:
            self._child = Child(launch.argv, dict(self._runtime.env) | dict(launch.env), work)
        except OSError as error:
            raise ModelLoadFailed(
                f"{self._spec.service}: {self._runtime.name} cannot be started: {error.strerror or error} "
                f"({error.filename or launch.argv[0]}).",
                subject=self._spec.service,
                hint="The command must be an executable file, or on PATH.",
            ) from error
        self._wait_until_ready(self._child)
        self._child.watch(self._on_end)
        self._forwarder = Forwarder(
            self._address,
            service=self._spec.service,
            server=self._runtime.name,
            max_body_bytes=self._spec.max_body_bytes,
        )
        self._own_headers = dict(launch.headers())
        return {"load": time.perf_counter() - began}

    def close(self) -> None:
        """End the server; nothing of it is left."""
        if self._child is not None:
            self._child.end()
        leftovers.remove(self._runtime.work)
        self._remove_sockets()

    def infer(self, protocol: Protocol_, request: Request, respond: Callable[[Response], None]) -> None:
        """Pass the request on, and its answer back."""
        task = asyncio.get_running_loop().create_task(self._infer(protocol, request, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def protocols(self) -> tuple[str, ...]:
        """What the server speaks, as it was started."""
        return (*self._launch.paths, *([self._launch.grpc_protocol] if self._launch.grpc else []))

    @property
    def offers_grpc(self) -> bool:
        """Whether it has a gRPC address."""
        return self._launch.grpc is not None

    async def grpc_address(self) -> str:
        """Where its gRPC listens."""
        assert self._launch.grpc is not None
        return self._launch.grpc

    def inputs(self) -> tuple[TensorSpec, ...]:
        """From the artifact's signature: most servers list none."""
        return () if self._spec.signature is None else self._spec.signature.wire_inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Likewise."""
        return () if self._spec.signature is None else self._spec.signature.outputs

    async def _infer(
        self, protocol: Protocol_, request: Request, respond: Callable[[Response], None]
    ) -> None:
        try:
            response = await self._forwarded(protocol, request)
        except KaleServeError as error:
            response = Response.of_error(error)
        except Exception as error:
            log.exception("The request could not be passed on.")
            response = Response.of_error(
                UpstreamFailed(
                    f"{self._spec.service}: the request could not be passed on: {type(error).__name__}: {error}",
                    subject=self._spec.service,
                )
            )
        respond(response)

    async def _forwarded(self, protocol: Protocol_, request: Request) -> Response:
        target = self._launch.paths.get(protocol)
        if target is None:
            raise NotFound(
                f"{self._spec.service} is served by {self._runtime.name}, which does not speak {protocol}.",
                subject=self._spec.service,
                hint=f"It speaks {', '.join(self.protocols)}.",
            )
        headers = {
            name: value for name, value in request.headers.get_all() if name.lower() not in _NOT_FORWARDED
        }
        if LENGTH_HEADER not in request.headers and "Content-Type" not in request.headers:
            headers["Content-Type"] = "application/json"
        body = request.body
        if protocol == "v2" and self._launch.needs_id:
            body = _with_id(body, headers)
        return _passed_on(await self._forwarder.send("POST", target, (body,), headers | self._own_headers))

    def _given(self, work: Path) -> Given:
        http_port, grpc_port = _free_ports(2)
        return Given(
            spec=self._spec,
            runtime=self._runtime,
            folder=self._spec.artifact_dir,
            work=work,
            python=Path(self._runtime.python),
            http_port=http_port,
            grpc_port=grpc_port,
            http_socket=self._runtime.http_socket,
            grpc_socket=self._spec.grpc_behind or work / "grpc.sock",
        )

    def _remove_sockets(self) -> None:
        for path in (self._runtime.http_socket, self._spec.grpc_behind):
            if path is not None:
                path.unlink(missing_ok=True)

    def _wait_until_ready(self, child: Child) -> None:
        wait = _FIRST_LOOK_SECONDS
        while not child.ended(wait):
            wait = min(wait * 1.5, _LOOK_SECONDS)
            for address in (self._launch.http, self._launch.instead):
                if address is not None and _is_ready(self._launch, address):
                    self._address = address
                    return
        raise ModelLoadFailed(
            f"{self._spec.service}: {self._runtime.name} {child.how_it_ended()} before its model was ready.",
            subject=self._spec.service,
            hint="Its log says more; the model may not be one that this server takes.",
        )

    def _on_end(self) -> None:
        assert self._child is not None
        how = self._child.how_it_ended()
        log.error("%s: %s %s", self._spec.service, self._runtime.name, how)
        self._ended(
            ModelLoadFailed(
                f"{self._runtime.name} {how}",
                subject=self._spec.service,
                hint="Its last words are in the log.",
                details={"stage": "predict"},
            )
        )


def _passed_on(answer: Answer) -> Response:
    headers = {
        known: answer.headers[name] for name, known in _KEPT_OF_ANSWERS.items() if name in answer.headers
    }
    return Response(answer.status, (answer.body,), headers)


def _with_id(body: bytes | bytearray | memoryview, headers: dict[str, str]) -> bytes | bytearray | memoryview:
    """The v2 request with an `id`, for servers that cannot do without. What is no such request goes on as it is."""
    name = next((name for name in headers if name.lower() == LENGTH_HEADER), None)
    given = headers.get(name, "") if name else str(len(body))
    if not given.isdigit() or int(given[:20]) > len(body):
        return body
    length = int(given)
    head = bytes(memoryview(body)[:length])
    # An id that is there needs no look at megabytes of numbers.
    if b'"id"' in head:
        try:
            value: Any = json.loads(head)
        except (ValueError, RecursionError):
            return body
        if not isinstance(value, dict) or value.get("id"):
            return body
        value["id"] = str(uuid.uuid4())
        named = json.dumps(value).encode()
    else:
        start, brace, rest = head.partition(b"{")
        if not brace or start.strip():
            return body
        comma = b"" if rest.lstrip().startswith(b"}") else b","
        named = b'%s{"id":"%s"%s%s' % (start, str(uuid.uuid4()).encode(), comma, rest)
    if name is None:
        return named
    named += b" " * (-len(named) % 8)
    headers[name] = str(len(named))
    return named + bytes(memoryview(body)[length:])


def _is_ready(launch: Launch, address: Address) -> bool:
    connection = _Connection(address)
    try:
        if launch.ready_path is None:
            connection.connect()
            return True
        connection.request("GET", launch.ready_path, headers=dict(launch.headers()))
        status = connection.getresponse().status
        return status < 500 if launch.any_answer else status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class _Connection(HTTPConnection):
    """http.client, also over a Unix socket."""

    def __init__(self, address: Address) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._address = address

    def connect(self) -> None:
        if isinstance(self._address, Path):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._address))
        else:
            self.sock = socket.create_connection(self._address, self.timeout)


def _free_ports(count: int) -> list[int]:
    held = []
    try:
        for _ in range(count):
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in held]
    finally:
        for found in held:
            found.close()
