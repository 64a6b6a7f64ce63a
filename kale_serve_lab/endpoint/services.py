"""Where a service answers and what it takes: asked of the daemon, or of a server somewhere else by its URL."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote, unquote, urlsplit

from kale_serve_lab import errors
from kale_serve_lab.endpoint import refusals
from kale_serve_lab.endpoint.transport import Transport
from kale_serve_lab.inference.signature import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from kale_serve_lab.endpoint.http1 import Response


@dataclass(frozen=True)
class Service:
    """What must be known to send a request.

    `signature` is None where none is known, and where it is the model's but a transformer stands before it. `binary`: whether
    it takes v2's binary tensors, `binary_columns`: also several of them. `mute`: it predicts and tells nothing of its models (TorchServe). `state` and `sentence` are
    None for a server that the daemon does not run.
    """

    model: str
    protocol: Literal["v1", "v2"]
    signature: Signature | None
    transformed: bool = False
    binary: bool = True
    binary_columns: bool = True
    mute: bool = False
    revision: str | None = None
    address: str | None = None
    state: str | None = None
    sentence: str | None = None
    error: dict[str, Any] | None = None


class Source(Protocol):
    """A place where a service can be found."""

    host: str
    base: str

    def find(self) -> Service:
        """Asks; raises `EndpointNotFound` and what else goes wrong on the way."""

    def transport(self, service: Service) -> Transport:
        """A transport to where it answers."""

    def headers(self) -> str:
        """Header lines to send with each request, each with its line end."""


class DaemonSource:
    """A service that the daemon of this user runs on this machine."""

    host = "localhost"
    base = ""

    def __init__(self, name: str, namespace: str) -> None:
        from kale_serve_lab.client import Client

        self._client = Client()
        self._name = name
        self._namespace = namespace

    def find(self) -> Service:
        """`GET /api/services/{name}`."""
        found = self._client.request("GET", f"/api/services/{quote(self._name, safe='')}")
        if not isinstance(found, dict) or found.get("namespace", self._namespace) != self._namespace:
            raise errors.EndpointNotFound(
                f"There is no endpoint {self._name!r} in the namespace {self._namespace!r}.",
                subject=self._name,
                hint="`kale-serve list` shows the endpoints.",
            )
        transformer = found.get("transformer")
        signature = transformer.get("signature") if transformer else found.get("signature")
        return Service(
            model=found["name"],
            protocol="v1" if found["protocol"] == "v1" else "v2",
            signature=None if signature is None else Signature.from_json(signature),
            transformed=transformer is not None,
            revision=None if found.get("ready_revision") is None else str(found["ready_revision"]),
            address=found["socket"],
            state=found.get("state"),
            sentence=found.get("sentence"),
            error=found.get("error"),
        )

    def transport(self, service: Service) -> Transport:
        """The front socket: the same path for all revisions."""
        assert service.address is not None
        return Transport(service.address)

    def headers(self) -> str:
        """None: who may open the socket may predict."""
        return ""


class UrlSource:
    """A model server behind http(s), with an optional bearer token; `file:path` is read again for each request."""

    def __init__(self, name: str, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise errors.InvalidRequest(
                f"{url!r} is not the address of a service.", hint="For example https://host/path."
            )
        if parts.username is not None or any(char <= " " or char == "\x7f" for char in url):
            raise errors.InvalidRequest(
                "A service's address holds neither a user's name nor spaces.", hint="Give token=... ."
            )
        self._name = name
        self._token = token
        self._tls = parts.scheme == "https"
        try:
            self._address = (parts.hostname, parts.port or (443 if self._tls else 80))
        except ValueError:
            raise errors.InvalidRequest(f"{url!r} has no valid port.") from None
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
        transport = self.transport(Service(self._name, "v2", None))
        try:
            response = self._get(transport, f"/v2/models/{quote(self._name, safe='')}")
            if response.status in (404, 405, 501) and "html" not in response.headers.get("content-type", ""):
                described = self._get(transport, f"/v1/models/{quote(self._name, safe='')}")
                mute = refusals.is_mute(described)
                if not mute:
                    refusals.check(described, self._name)
                return Service(self._name, "v1", None, mute=mute)
            refusals.check(response, self._name)
            signature = _signature_of(bytes(response.body))
            binary, columns = _takes_binary(self._get(transport, "/v2"))
            return Service(self._name, "v2", signature, binary=binary, binary_columns=columns)
        finally:
            transport.close()

    def transport(self, service: Service) -> Transport:  # noqa: ARG002
        """A connection to the host of the address, whatever the service says of itself."""
        if not self._tls:
            return Transport(self._address)
        import ssl

        return Transport(self._address, ssl.create_default_context())

    def headers(self) -> str:
        """The bearer token's line; raises `Unauthorized` where its file cannot be read."""
        if self._token is None:
            return ""
        token = self._token
        if token.startswith("file:"):
            path = Path(token[5:]).expanduser()
            try:
                token = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError) as error:
                raise errors.Unauthorized(
                    f"The token file {path} cannot be read: {error}.", subject=str(path)
                ) from error
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise errors.Unauthorized(
                "The token is empty or holds characters that no token has.", subject=self._name
            )
        return f"Authorization: Bearer {token}\r\n"

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


def get(
    transport: Transport,
    source: Source,
    path: str,
    timeout: float,
    refuse: Callable[[Exception], errors.KaleServeError],
) -> Response:
    """A GET of a path below the service's base; `refuse` makes the error for a server that cannot be reached."""
    from kale_serve_lab.endpoint.transport import CannotConnect

    head = f"GET {source.base}{path} HTTP/1.1\r\nHost: {source.host}\r\nAccept: application/json\r\n{source.headers()}\r\n"
    try:
        return transport.request(head.encode("ascii"), (), timeout)
    except CannotConnect as error:
        raise refuse(error) from error


def _takes_binary(response: Response) -> tuple[bool, bool]:
    """MLServer fails on binary tensors; KServe's server takes one and does not say so, and loses a table's columns."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        told = json.loads(bytes(response.body))
        listed = response.status == 200 and "binary_tensor_data" in told.get("extensions", ())
        return listed or told.get("name") == "kserve", listed
    return False, False


def _signature_of(body: bytes) -> Signature | None:
    try:
        listed = json.loads(body)["inputs"]
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
