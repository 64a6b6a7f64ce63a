"""From an address in a service's status to where a request goes in: checked, with its credentials and its certificates."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

from kale_serve_lab.backends.kserve.carrying import Door, NotConnected
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.pinning import Pins, Resolve, refused
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.kserve.tokens import Tokens
from kale_serve_lab.endpoint.token_request import account_of
from kale_serve_lab.errors import InvalidConfig, UpstreamFailed
from kale_serve_lab.serving.types import Address, ServiceKey

_ACCOUNT: Final = "default-editor"


class Doors:
    """The doors of one cluster; belongs to one event loop."""

    def __init__(self, cluster: Cluster, settings: Settings, resolve: Resolve) -> None:
        self._cluster = cluster
        self._settings = settings
        self._resolve = resolve
        self._pins = Pins(resolve)
        self._tls: ssl.SSLContext | None = None
        self._tokens: Tokens | None = None
        self._loopback: bool | None = None

    def closed(self, address: Address) -> None:
        """Nothing answers there: look anew where its name leads."""
        parts = urlsplit(address.url)
        if address.kind != "api-server" and parts.hostname:
            self._pins.forget(parts.hostname, port_of(parts))

    def unwelcome(self, key: ServiceKey) -> None:
        """The gateway has refused its token."""
        if self._tokens is not None:
            self._tokens.forget(key.namespace)

    async def find(self, key: ServiceKey, address: Address) -> Door:
        """The door of an address. Raises `EndpointNotReady`, `Forbidden`, `UpstreamFailed`, `InvalidConfig`, `NotConnected`."""
        if address.kind == "api-server":
            return await self._api_door(address)
        parts = urlsplit(address.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UpstreamFailed(
                f"The address {address.url[:200]!r} is none that can be asked.", subject=key.name
            )
        await self._look_where_the_cluster_is()
        ips = await self._pins.find(parts.hostname, port_of(parts))
        host = address.host or parts.netloc
        headers = {}
        if address.kind == "external" and self._settings.audience is not None:
            token = await asyncio.to_thread(self._token, key.namespace)
            headers["authorization"] = f"Bearer {token}"
        tls = None
        if parts.scheme == "https":
            tls = self._tls = self._tls or _context(self._settings.ca_file)
        return Door(
            ips=ips,
            port=port_of(parts),
            host=host,
            prefix=parts.path.rstrip("/"),
            tls=tls,
            server_name=host.partition(":")[0] if tls is not None else None,
            headers=headers,
        )

    async def _api_door(self, address: Address) -> Door:
        access = await asyncio.to_thread(self._cluster.access)
        server = urlsplit(access.url)
        assert server.hostname is not None
        proxied = urlsplit(address.url).path.rstrip("/")
        base = server.path.rstrip("/")
        # Behind a proxy it is the proxy that knows the name.
        ips = (server.hostname,) if access.proxy else await _unchecked(self._resolve, server)
        return Door(
            ips=ips,
            port=port_of(server),
            host=server.netloc,
            prefix=proxied if base and proxied.startswith(base + "/") else base + proxied,
            tls=access.tls,
            server_name=(access.server_name or server.hostname) if access.tls is not None else None,
            proxy=access.proxy,
            headers={name.lower(): value for name, value in access.headers.items()},
        )

    async def _look_where_the_cluster_is(self) -> None:
        if self._loopback is None:
            # A cluster on this machine (kind, minikube) has its gateway here too.
            server = urlsplit(f"//{self._cluster.server}")
            try:
                ips = await _unchecked(self._resolve, server)
            except NotConnected:
                ips = ()
            self._loopback = any(refused(ip) is not None and refused(ip, loopback=True) is None for ip in ips)
            self._pins = Pins(self._resolve, loopback=self._loopback)

    def _token(self, namespace: str) -> str:
        if self._tokens is None:
            assert self._settings.audience is not None
            account = self._settings.token_account
            if account is None:
                own = self._cluster.access().headers.get("Authorization", "").removeprefix("Bearer ")
                found = account_of(own)
                account = found[1] if found is not None and found[0] == namespace else _ACCOUNT
            self._tokens = Tokens(self._cluster, audience=self._settings.audience, service_account=account)
        return self._tokens.token(namespace)


async def _unchecked(resolve: Resolve, server: SplitResult) -> tuple[str, ...]:
    """The user's own configuration names the API server: it may be anywhere."""
    assert server.hostname is not None
    try:
        return tuple(await resolve(server.hostname, port_of(server)))
    except OSError as error:
        raise NotConnected(f"the API server's name {server.hostname} cannot be resolved ({error})") from error


def port_of(parts: SplitResult) -> int:
    """The port of an address."""
    return parts.port or (80 if parts.scheme == "http" else 443)


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if ca_file is not None:
            # Beside the system's: a gateway may have a public certificate on one host and a private one on another.
            context.load_verify_locations(cafile=ca_file)
        return context
    except OSError as error:
        raise InvalidConfig(
            f"The certificates in {ca_file} cannot be read: {error.strerror or error}.",
            subject=ca_file,
            hint="kale-serve cluster set --ca-file names the file with the authority's certificate (PEM).",
        ) from error
