"""Where a service answers and what it takes: asked of the daemon, or of a server somewhere else by its URL."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from kale_serve_lab import errors
from kale_serve_lab.endpoint import refusals
from kale_serve_lab.endpoint.transport import CannotConnect, Target, Transport
from kale_serve_lab.inference.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from kale_serve_lab.endpoint.grpc import Speaker
    from kale_serve_lab.endpoint.http1 import Response


Protocol_ = Literal["v1", "v2", "grpc-v1", "grpc-v2"]
PROTOCOLS: Final[tuple[Protocol_, ...]] = ("v1", "v2", "grpc-v1", "grpc-v2")
GRPC: Final = frozenset({"grpc-v1", "grpc-v2"})

# gRPC's half is imported where a service is asked that way: it would take half of what this package's import does.
Line: TypeAlias = "Transport | Speaker"


@dataclass(frozen=True)
class Service:
    """What must be known to send a request.

    `signature` is None where none is known, and where it is the model's but a transformer stands before it. `binary`: whether
    it takes v2's binary tensors, `binary_columns`: also several of them. `mute`: it predicts and tells nothing of its models (TorchServe). `state` and `sentence` are
    None for a server that the daemon does not run. `grpc` is where its gRPC answers, None where it offers none.
    """

    model: str
    protocol: Protocol_
    signature: Signature | None
    transformed: bool = False
    binary: bool = True
    binary_columns: bool = True
    mute: bool = False
    revision: str | None = None
    address: str | None = None
    grpc: Target | None = None
    state: str | None = None
    sentence: str | None = None
    error: dict[str, Any] | None = None


class Source(Protocol):
    """A place where a service can be found."""

    host: str
    base: str

    def find(self) -> Service:
        """Asks; raises `EndpointNotFound` and what else goes wrong on the way."""

    def line(self, service: Service) -> Line:
        """A line to where it answers, not connected yet."""

    def headers(self) -> str:
        """Header lines to send with each request, each with its line end."""

    def token(self) -> str | None:
        """The bearer token to send with each call over gRPC."""


class DaemonSource:
    """A service that the daemon of this user knows: on this machine, or on a cluster behind the daemon's relay.

    `namespace` and `target` None: the target's own namespace, and the service of this machine if there is one.
    """

    host = "localhost"

    def __init__(
        self,
        name: str,
        namespace: str | None = None,
        protocol: Protocol_ | None = None,
        target: str | None = None,
    ) -> None:
        from kale_serve_lab.client import Client

        self._client = Client()
        self._name = name
        self._asked = {
            key: value for key, value in (("namespace", namespace), ("target", target)) if value is not None
        }
        self._protocol = protocol
        self.base = ""
        self.namespace = namespace or "default"
        self.target = target or "local"

    def find(self) -> Service:
        """`GET /api/services/{name}`; where nobody has said what a server on a cluster takes, the server is asked."""
        query = f"?{urlencode(self._asked)}" if self._asked else ""
        found = self._client.request("GET", f"/api/services/{quote(self._name, safe='')}{query}")
        if not isinstance(found, dict) or any(
            found.get(key, value) != value for key, value in self._asked.items()
        ):
            raise errors.EndpointNotFound(
                f"There is no endpoint {self._name!r} in the namespace {self._asked.get('namespace', 'default')!r}.",
                subject=self._name,
                hint="`kale-serve list` shows the endpoints.",
            )
        # From here on this one is meant, also where another of its name comes.
        self.namespace = str(found.get("namespace") or self.namespace)
        self.target = str(found.get("target") or self.target)
        self.base = str(found.get("base") or "")
        transformer = found.get("transformer")
        signature = transformer.get("signature") if transformer else found.get("signature")
        own: Protocol_ = found["protocol"] if found["protocol"] in PROTOCOLS else "v2"
        # A daemon that does not say it serves by the built-in server, which speaks both.
        offered = tuple(found.get("protocols") or ("v1", "v2"))
        grpc_socket = found.get("grpc_socket")
        service = Service(
            model=found["name"],
            protocol=self._chosen(own, offered),
            binary=found.get("binary") is not False,
            grpc=None if grpc_socket is None else Target(grpc_socket, unix=True),
            signature=None if signature is None else Signature.from_json(signature),
            transformed=transformer is not None,
            revision=None if found.get("ready_revision") is None else str(found["ready_revision"]),
            address=found.get("socket"),
            state=found.get("state"),
            sentence=found.get("sentence"),
            error=found.get("error"),
        )
        return self._looked_at(service) if self.target != "local" and not found.get("binary") else service

    def _looked_at(self, service: Service) -> Service:
        """What the server itself tells of v2: whether it takes binary tensors, and its model's tensors where no signature is known."""
        if service.protocol != "v2" or service.address is None:
            return service
        transport = Transport(service.address)
        try:
            return looked_at(service, lambda path: self._get(transport, path))
        finally:
            transport.close()

    def _get(self, transport: Transport, path: str) -> Response:
        return get(
            transport,
            self,
            path,
            30,
            lambda error: errors.EndpointNotReady(f"{self._name}: {error}.", subject=self._name),
        )

    def line(self, service: Service) -> Line:
        """To the front socket, or its neighbour for gRPC: the same paths for all revisions."""
        if service.protocol in GRPC:
            if service.grpc is None:
                raise errors.EndpointNotReady(
                    f"{self._name} does not answer over gRPC yet. {service.sentence or ''}".strip(),
                    subject=self._name,
                    hint="isvc.wait() waits until it is ready.",
                )
            from kale_serve_lab.endpoint.grpc import Calls, speaker

            return speaker(service.protocol, Calls(service.grpc, self._name), self._name, service.model)
        if service.address is None:
            raise errors.EndpointNotReady(
                f"{self._name} has no address yet. {service.sentence or ''}".strip(),
                subject=self._name,
                hint="isvc.wait() waits until it is ready.",
            )
        return Transport(service.address)

    def headers(self) -> str:
        """None: who may open the socket may predict."""
        return ""

    def token(self) -> None:
        """Likewise."""

    def _chosen(self, own: Protocol_, offered: tuple[str, ...]) -> Protocol_:
        if self._protocol is not None:
            if self._protocol not in offered:
                raise errors.InvalidRequest(
                    f"{self._name} does not speak {self._protocol}; it speaks {', '.join(offered)}.",
                    subject=self._name,
                    hint="Leave protocol_version out, or serve it by a runtime that speaks it."
                    + (
                        " The built-in server speaks gRPC where the model's environment has grpcio."
                        if self._protocol == "grpc-v2"
                        else ""
                    ),
                )
            return self._protocol
        if own.startswith("grpc") and importlib.util.find_spec("grpc") is None:
            for protocol in ("v2", "v1"):
                if protocol in offered:
                    return protocol
        return own


class UrlSource:
    """A model server behind http(s), with an optional bearer token; `file:path` is read again for each request."""

    def __init__(self, name: str, url: str, token: str | None, protocol: Protocol_ | None = None) -> None:
        parts = split_url(url, ("http", "https"))
        if protocol is not None and protocol.startswith("grpc"):
            raise errors.InvalidRequest(
                f"{protocol} does not go over {parts.scheme}.",
                subject=name,
                hint=f'Give the address of its gRPC: url="grpc://{parts.hostname}:8081".',
            )
        self._name = name
        self._token = token
        self._protocol = protocol
        self._tls = parts.scheme == "https"
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or (443 if self._tls else 80))
        self.host = parts.netloc
        path = quote(unquote(parts.path), safe="/:@!$&'()*+,;=~-._").rstrip("/")
        for marker in ("/v2/models/", "/v1/models/"):
            before, found, after = path.partition(marker)
            if found:
                path = before
                self._name = unquote(after.partition("/")[0].partition(":")[0]) or name
        self.base = path.removesuffix("/v2").removesuffix("/v1")

    def find(self) -> Service:
        """Reads the server's v2 metadata; a server without is asked by v1."""
        transport = self.line(Service(self._name, "v2", None))
        try:
            if self._protocol == "v1":
                return self._found_v1(transport)
            response = self._get(transport, f"/v2/models/{quote(self._name, safe='')}")
            if (
                self._protocol is None
                and response.status in (404, 405, 501)
                and "html" not in response.headers.get("content-type", "")
            ):
                return self._found_v1(transport)
            refusals.check(response, self._name)
            signature = _signature_of(_loaded(response))
            binary, columns = _takes_binary(self._get(transport, "/v2"))
            return Service(self._name, "v2", signature, binary=binary, binary_columns=columns)
        finally:
            transport.close()

    def _found_v1(self, transport: Transport) -> Service:
        described = self._get(transport, f"/v1/models/{quote(self._name, safe='')}")
        mute = refusals.is_mute(described)
        if not mute:
            refusals.check(described, self._name)
        return Service(self._name, "v1", None, mute=mute)

    def line(self, service: Service) -> Transport:  # noqa: ARG002
        """A connection to the host of the address, whatever the service says of itself."""
        if not self._tls:
            return Transport(self._address)
        import ssl

        return Transport(self._address, ssl.create_default_context())

    def headers(self) -> str:
        """The bearer token's line; raises `Unauthorized` where its file cannot be read."""
        token = self.token()
        return "" if token is None else f"Authorization: Bearer {token}\r\n"

    def token(self) -> str | None:
        """The token itself, likewise."""
        return read_token(self._token, self._name)

    def _get(self, transport: Transport, path: str) -> Response:
        return get(
            transport,
            self,
            path,
            30,
            lambda error: errors.EndpointNotReady(
                f"Nothing answers at {self.host}: {error}.",
                subject=self._name,
                hint="Check the address.",
            ),
        )


class GrpcSource:
    """A model server behind gRPC, with TLS or without, with an optional bearer token."""

    base = ""

    def __init__(self, name: str, url: str, token: str | None, protocol: Protocol_ | None = None) -> None:
        from kale_serve_lab.endpoint.grpc import require

        require(name)
        parts = split_url(url, ("grpc", "grpcs"))
        if protocol is not None and not protocol.startswith("grpc"):
            raise errors.InvalidRequest(
                f"{protocol} does not go over {parts.scheme}.",
                subject=name,
                hint=f'Give the address of its REST: url="http://{parts.hostname}:8080".',
            )
        if parts.port is None or parts.path not in ("", "/"):
            raise errors.InvalidRequest(
                f"{url!r} is not the address of a gRPC server.", hint="For example grpc://host:8081."
            )
        self._name = name
        self._token = token
        self._protocol = protocol
        self.host = parts.netloc
        self._target = Target(parts.netloc, tls=parts.scheme == "grpcs")

    def find(self) -> Service:
        """Reads the model's metadata by the Open Inference Protocol; a server without is asked by TensorFlow Serving's."""
        from kale_serve_lab.endpoint.grpc import Calls, NotSpoken, speaker

        calls = Calls(self._target, self._name, self.token)
        try:
            for protocol in ("grpc-v2", "grpc-v1"):
                if self._protocol in (None, protocol):
                    try:
                        told = speaker(protocol, calls, self._name, self._name).metadata(30)
                    except NotSpoken:
                        if protocol == "grpc-v1" or self._protocol is not None:
                            raise
                        continue
                    return Service(self._name, protocol, _signature_of(told), grpc=self._target)
            raise AssertionError
        except CannotConnect as error:
            raise errors.EndpointNotReady(
                f"Nothing answers at {self.host}: {error}.", subject=self._name, hint="Check the address."
            ) from error
        finally:
            calls.close()

    def line(self, service: Service) -> Line:
        """A connection of its own."""
        from kale_serve_lab.endpoint.grpc import Calls, speaker

        calls = Calls(self._target, self._name, self.token)
        return speaker(service.protocol, calls, self._name, service.model)

    def headers(self) -> str:
        """None."""
        return ""

    def token(self) -> str | None:
        """The token; `file:path` is read again for each call."""
        return read_token(self._token, self._name)


def split_url(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a service's address. Raises `InvalidRequest`."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise errors.InvalidRequest(
            f"{url!r} is not the address of a service.",
            hint="For example https://host/path, or grpc://host:8081.",
        )
    if parts.username is not None or any(char <= " " or char == "\x7f" for char in url):
        raise errors.InvalidRequest(
            "A service's address holds neither a user's name nor spaces.", hint="Give token=... ."
        )
    try:
        parts.port  # noqa: B018 (the property raises)
    except ValueError:
        raise errors.InvalidRequest(f"{url!r} has no valid port.") from None
    return parts


def read_token(token: str | None, name: str) -> str | None:
    """The token itself, of the text or of the file that `file:path` names. Raises `Unauthorized`."""
    if token is None:
        return None
    if token.startswith("file:"):
        path = Path(token[5:]).expanduser()
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise errors.Unauthorized(
                f"The token file {path} cannot be read: {error}.", subject=str(path)
            ) from error
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise errors.Unauthorized("The token is empty or holds characters that no token has.", subject=name)
    return token


def get(
    transport: Transport,
    source: Source,
    path: str,
    timeout: float,
    refuse: Callable[[Exception], errors.KaleServeError],
) -> Response:
    """A GET of a path below the service's base; `refuse` makes the error for a server that cannot be reached."""
    head = f"GET {source.base}{path} HTTP/1.1\r\nHost: {source.host}\r\nAccept: application/json\r\n{source.headers()}\r\n"
    try:
        return transport.request(head.encode("ascii"), (), timeout)
    except CannotConnect as error:
        raise refuse(error) from error


def looked_at(service: Service, ask: Callable[[str], Response]) -> Service:
    """The service with what its server tells by v2: binary tensors, and its tensors where no signature is known."""
    try:
        binary, columns = _takes_binary(ask("/v2"))
        signature = service.signature
        if signature is None and not service.transformed:
            signature = _signature_of(_loaded(ask(f"/v2/models/{quote(service.model, safe='')}")))
        return replace(service, binary=binary, binary_columns=columns, signature=signature)
    except errors.KaleServeError:
        # It says so itself at the prediction.
        return replace(service, binary=False)


def _takes_binary(response: Response) -> tuple[bool, bool]:
    """MLServer fails on binary tensors; KServe's server takes one and does not say so, and loses a table's columns."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        told = json.loads(bytes(response.body))
        listed = response.status == 200 and "binary_tensor_data" in told.get("extensions", ())
        return listed or told.get("name") == "kserve", listed
    return False, False


def _loaded(response: Response) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(bytes(response.body))
    return None


def _signature_of(told: Any) -> Signature | None:
    try:
        listed = told["inputs"]
        specs = [
            TensorSpec(item["name"], item["datatype"], tuple(int(size) for size in item["shape"]))
            for item in listed
        ]
        if not specs:
            return None
        if len(specs) == 1:
            return Signature(layout="tensor", inputs=specs)
        if all(spec.shape in ((-1,), (-1, 1)) for spec in specs):
            return Signature(
                layout="columns", named=True, inputs=[TensorSpec(spec.name, spec.dtype) for spec in specs]
            )
    except (ValueError, KeyError, TypeError, errors.InvalidSignature):
        # Metadata is a help, not a condition: KServe's servers leave it empty.
        return None
    return None
