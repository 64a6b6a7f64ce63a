"""Which bucket is meant, and a client for it. Credentials are boto3's own affair: none passes through our hands."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from kale_serve_lab.errors import DaemonMissingDependency, InvalidConfig
from kale_serve_lab.stores.published import prefix_parts

Addressing = Literal["path", "virtual"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Amazon's own metadata service also answers at an address of IPv6 that is not link-local.
_METADATA = ipaddress.ip_address("fd00:ec2::254")
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


@dataclass(frozen=True)
class S3Settings:
    """A place in a bucket. `secret` and `service_account` are names of objects in the cluster.

    `endpoint` None: AWS, or what AWS_ENDPOINT_URL_S3 says. `addressing` None: by path at an endpoint that was named, which
    every server takes; by host name at AWS, which wants it.
    """

    bucket: str
    prefix: tuple[str, ...] = ()
    endpoint: str | None = None
    region: str | None = None
    secret: str | None = None
    service_account: str | None = None
    addressing: Addressing | None = None

    @property
    def by_path(self) -> bool:
        """Whether the bucket stands in the path, not in the host's name."""
        return self.addressing == "path" or (self.addressing is None and self.endpoint is not None)


def s3_settings(
    url: str | None,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    secret: str | None = None,
    service_account: str | None = None,
    addressing: Addressing | None = None,
) -> S3Settings:
    """Settings of `s3://bucket/prefix`. Raises `InvalidConfig` that names the field."""
    bucket, prefix = _parse(url or "")
    if endpoint is not None:
        _check_endpoint(endpoint)
    return S3Settings(bucket, prefix, endpoint, region, secret, service_account, addressing)


def make_client(settings: S3Settings, *, attempts: int = 5) -> Any:
    """A client of boto3, thread-safe. Raises `DaemonMissingDependency` without boto3, `InvalidConfig`, and boto3's own errors.

    `attempts` is how often a call is made before it fails.
    """
    try:
        import boto3.session
        from botocore.config import Config
    except ImportError as error:
        raise DaemonMissingDependency(
            "Models go to the cluster by a bucket, and the daemon's interpreter has no boto3.",
            subject="boto3",
            hint="pip install 'kale-serve-lab[s3]', then `kale-serve stop` so that the daemon starts anew.",
        ) from error
    if settings.endpoint is not None:
        refuse_link_local(settings.endpoint)
    options: dict[str, Any] = {
        "retries": {"total_max_attempts": attempts, "mode": "standard"},
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "max_pool_connections": 16,
        "s3": {"addressing_style": "path" if settings.by_path else "virtual"},
        "user_agent_extra": "kale-serve-lab",
    }
    # boto3 of 2025 adds a CRC of its own to every upload, which older servers refuse; we send a sha256.
    newer = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    try:
        config = Config(**options, **newer)
    except TypeError:
        config = Config(**options)
    return boto3.session.Session().client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region, config=config
    )


def refuse_link_local(endpoint: str) -> None:
    """Raise `InvalidConfig` for an endpoint that is, or whose name leads to, a link-local address: a cloud's metadata service."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # The connection will say so in its own words.
        return
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        if ip.is_link_local or ip == _METADATA or (mapped is not None and mapped.is_link_local):
            raise InvalidConfig(
                f"The store's endpoint {host} is at the link-local address {ip}.",
                subject="store.endpoint",
                hint="Buckets do not live there: name the S3 server itself.",
            )


def _parse(url: str) -> tuple[str, tuple[str, ...]]:
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidConfig(
            f"{url[:200]!r} is no address of a bucket.",
            subject="store.url",
            hint="Write s3://bucket/prefix; a bucket's name has 3 to 63 small letters, digits, '-' and '.'.",
        )
    return bucket, prefix_parts("store.url", prefix)


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError as error:
        raise InvalidConfig(f"The store's endpoint is no URL: {error}.", subject="store.endpoint") from error
    secret = parts.username is not None or parts.password is not None
    if secret or parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        # A password may stand in it, so it is not shown.
        shown = "has credentials in it" if secret else f"is {endpoint[:200]!r}"
        raise InvalidConfig(
            f"The store's endpoint {shown}.",
            subject="store.endpoint",
            hint="Write http:// or https://, the host and the port only.",
        )
