"""A service on a cluster without the daemon: read off its object, and asked through the API server's Service proxy.

Standard library only. The token opens the API server and goes nowhere else; what a gateway gets is made for it by TokenRequest.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Final

from kale_serve_lab import errors
from kale_serve_lab.endpoint import token_request
from kale_serve_lab.endpoint.http1 import Response
from kale_serve_lab.endpoint.services import (
    Line,
    Protocol_,
    Service,
    UrlSource,
    get,
    looked_at,
    read_token,
    split_url,
)
from kale_serve_lab.endpoint.transport import CannotConnect, Transport
from kale_serve_lab.inference import strict_json
from kale_serve_lab.serving.kserve.addresses import addresses
from kale_serve_lab.serving.names import check_namespace, check_service_name

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The audience that Kubeflow's gateway takes; $KALE_SERVE_AUDIENCE names another.
AUDIENCE: Final = "istio-ingressgateway.istio-system.svc.cluster.local"
_SECONDS: Final = 30.0
_GROUP: Final = "/apis/serving.kserve.io/v1beta1"


class ApiServer:
    """Calls to an API server, with one token."""

    def __init__(self, host: str, token: str | None, name: str) -> None:
        parts = split_url(host if "://" in host else f"https://{host}", ("http", "https"))
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise errors.InvalidRequest(
                "A token is not sent to an API server without TLS.",
                subject=host,
                hint="Give its https address.",
            )
        if token is None and (ACCOUNT / "token").is_file():
            token = f"file:{ACCOUNT / 'token'}"
        assert parts.hostname is not None
        self._given = token
        self._name = name
        self.host = parts.netloc
        self.path = parts.path.rstrip("/")
        self._tls = parts.scheme == "https"
        self._address = (parts.hostname, parts.port or (443 if self._tls else 80))

    def transport(self) -> Transport:
        """A connection to it, not open yet."""
        return Transport(self._address, _context() if self._tls else None)

    def token(self) -> str | None:
        """The token; `file:path` is read again each time. Raises `Unauthorized`."""
        return read_token(self._given, self._name)

    def headers(self) -> str:
        """The token's header line."""
        token = self.token()
        return "" if token is None else f"Authorization: Bearer {token}\r\n"

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """One call: its status and the object. Raises `ClusterUnavailable`, `UpstreamFailed`, `EndpointGone`, `Timeout`."""
        head = (
            f"{method} {self.path}{path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{self.headers()}\r\n"
        )
        transport = self.transport()
        try:
            response = transport.request(head.encode("ascii"), (body,), _SECONDS)
        except CannotConnect as error:
            raise errors.ClusterUnavailable(
                f"The API server {self.host} takes no connections: {error}.",
                subject=self.host,
                hint="Check the address, and whether the cluster is reached from here.",
            ) from error
        finally:
            transport.close()
        try:
            return response.status, strict_json.loads(response.body)
        except errors.InvalidInput as error:
            raise errors.UpstreamFailed(
                f"What answers at {self.host} is no API server (status {response.status}).",
                subject=self.host,
                hint="kubernetes_host is the API server's address, as in a kubeconfig's `server:`.",
            ) from error


class KubernetesSource:
    """A service through the API server's Service proxy; any InferenceService, also one that Kale did not make."""

    target = "kserve"

    def __init__(
        self,
        name: str,
        namespace: str | None,
        host: str,
        token: str | None,
        protocol: Protocol_ | None = None,
    ) -> None:
        if protocol is not None and protocol.startswith("grpc"):
            raise errors.InvalidRequest(
                f"{protocol} does not go through the API server.",
                subject=name,
                hint="Leave it out, or use v2.",
            )
        self.namespace = namespace or own_namespace()
        check_service_name(name, self.namespace)
        self._name = name
        self._protocol = protocol
        self._server = ApiServer(host, token, name)
        self.host = self._server.host
        self.base = ""

    def find(self) -> Service:
        """Reads the object, then what its server tells of itself. Raises `EndpointNotFound`, `Forbidden`, `Unauthorized`."""
        path = f"{_GROUP}/namespaces/{self.namespace}/inferenceservices/{self._name}"
        status, found = self._server.call("GET", path)
        if status != 200:
            raise refused(status, found, self._name, self.namespace)
        told = _dict(found.get("status"))
        (way,) = [one.url for one in addresses(found) if one.kind == "api-server"]
        self.base = self._server.path + way
        protocol = self._protocol or protocol_of(found)
        service = Service(self._name, protocol, None, state=_state(told), address=self.base)
        return self._looked_at(service) if protocol == "v2" else service

    def line(self, service: Service) -> Line:  # noqa: ARG002
        """To the API server, whatever the service says of itself."""
        return self._server.transport()

    def headers(self) -> str:
        """The token for the API server, which does not pass it on."""
        return self._server.headers()

    def token(self) -> str | None:
        """Likewise."""
        return self._server.token()

    def _looked_at(self, service: Service) -> Service:
        transport = self._server.transport()
        try:
            return looked_at(service, lambda path: self._get(transport, path))
        finally:
            transport.close()

    def _get(self, transport: Transport, path: str) -> Response:
        return get(
            transport,
            self,
            path,
            _SECONDS,
            lambda error: errors.ClusterUnavailable(
                f"The API server {self.host} takes no connections: {error}.", subject=self.host
            ),
        )


class GatewaySource(UrlSource):
    """A service behind the cluster's ingress gateway, with tokens that the API server makes for that gateway."""

    target = "kserve"

    def __init__(
        self,
        name: str,
        namespace: str | None,
        host: str,
        token: str | None,
        *,
        url: str,
        protocol: Protocol_ | None = None,
    ) -> None:
        super().__init__(name, url, None, protocol)
        self.namespace = check_namespace(namespace or own_namespace())
        self._server = ApiServer(host, token, name)
        self._audience = os.environ.get("KALE_SERVE_AUDIENCE") or AUDIENCE
        self._lock = threading.Lock()
        self._kept: tuple[str, float] | None = None

    def token(self) -> str | None:
        """A token for the gateway, renewed when a fifth of its life is left. Raises `Forbidden`, `NotFound`, `Unauthorized`."""
        with self._lock:
            now = time.time()
            if self._kept is None or now >= self._kept[1]:
                own = self._server.token()
                found = None if own is None else token_request.account_of(own)
                namespace, account = found or (self.namespace, "default-editor")
                status, body = self._server.call(
                    "POST",
                    token_request.path(namespace, account),
                    json.dumps(token_request.request_body(self._audience)).encode(),
                )
                made = token_request.read(status, body, namespace, account, now)
                self._kept = (made.text, made.renew_at)
            return self._kept[0]


def own_namespace() -> str:
    """The pod's own namespace, else `default`."""
    try:
        return (ACCOUNT / "namespace").read_text("utf-8").strip() or "default"
    except OSError:
        return "default"


def protocol_of(found: dict[str, Any]) -> Protocol_:
    """What an InferenceService's entry speaks by its object: v1 unless it says otherwise."""
    predictor = _dict(_dict(found.get("spec")).get("predictor"))
    said = [_dict(predictor.get("model")).get("protocolVersion")]
    containers = predictor.get("containers")
    for container in containers if isinstance(containers, list) else []:
        env = _dict(container).get("env")
        for one in env if isinstance(env, list) else []:
            if _dict(one).get("name") == "PROTOCOL":
                said.append(_dict(one).get("value"))
    return "v2" if any(text in ("v2", "grpc-v2") for text in said) else "v1"


def refused(status: int, found: Any, name: str, namespace: str) -> errors.KaleServeError:
    """What the API server's refusal to show an InferenceService means."""
    subject = f"inferenceservice {namespace}/{name}"
    said = str(_dict(found).get("message") or "")[:300]
    if status == 404 and "the server could not find the requested resource" in said:
        return errors.EndpointNotFound(
            f"The cluster has no KServe, so there is no {subject}.",
            subject=subject,
            hint="Install KServe there.",
        )
    if status == 404:
        return errors.EndpointNotFound(
            f"There is no {subject}.", subject=subject, hint="Are the name and the namespace right?"
        )
    if status == 401:
        return errors.Unauthorized(
            f"The API server does not know the token, so the {subject} cannot be read.",
            subject=subject,
            hint='Give Endpoint(..., token="file:path") with a token for this cluster.',
        )
    if status == 403:
        return errors.Forbidden(
            f"The token may not read the {subject}: {said}",
            subject=subject,
            hint='Ask for the rules: apiGroups ["serving.kserve.io"], resources ["inferenceservices"], verbs ["get"]; '
            'apiGroups [""], resources ["services/proxy"], verbs ["get", "create"].',
        )
    return errors.ClusterRefused(f"The {subject} cannot be read: {status} {said}", subject=subject)


def _state(told: dict[str, Any]) -> str:
    conditions = told.get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if _dict(condition).get("type") == "Ready":
            return "Ready" if _dict(condition).get("status") == "True" else "Loading"
    return "Pending"


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # The CA of many a cluster lacks what Python 3.13 began to ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    authority = os.environ.get("KALE_SERVE_CA_FILE") or ACCOUNT / "ca.crt"
    try:
        context.load_verify_locations(cafile=authority)
    except FileNotFoundError as error:
        if os.environ.get("KALE_SERVE_CA_FILE"):
            raise errors.InvalidConfig(
                f"KALE_SERVE_CA_FILE names {authority}, which is not there.", subject=str(authority)
            ) from error
    except OSError as error:
        raise errors.InvalidConfig(
            f"The certificates in {authority} cannot be read: {error}.", subject=str(authority)
        ) from error
    return context


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
