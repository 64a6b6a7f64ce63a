"""Where a service on a cluster may be reached, read off its object. Pure: nothing is resolved or tried here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kale_serve_lab.serving.types import Address, AddressKind

# KServe's own default domain, and the ones set aside for examples.
_EXAMPLES = ("example.com", "example.org", "example.net", "example")
_CLUSTER = (".svc", ".svc.cluster.local")
_METADATA = ("metadata.google.internal", "metadata", "instance-data")


def addresses(
    found: Mapping[str, Any], *, in_cluster: bool = False, preferred: AddressKind | None = None
) -> tuple[Address, ...]:
    """The ways to an InferenceService, the likeliest first; `works` is False where a way cannot be meant, with `why`.

    From within the cluster its own address comes first, from elsewhere the external one. `preferred` is the settings' choice.
    """
    metadata = found.get("metadata") or {}
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    if not name or not namespace:
        return ()
    status = found.get("status") or {}
    entry = entry_service(found)
    ways = {
        "in-cluster": _inside(status, entry, namespace),
        "external": _outside(status),
        "api-server": Address("api-server", proxy_path(namespace, entry, _port(status))),
    }
    order: list[AddressKind] = (
        ["in-cluster", "external", "api-server"] if in_cluster else ["external", "in-cluster", "api-server"]
    )
    if preferred is not None:
        order.sort(key=lambda kind: kind != preferred)
    return tuple(way for kind in order if (way := ways[kind]) is not None)


def entry_service(found: Mapping[str, Any]) -> str:
    """The name of the Kubernetes Service that callers meet first."""
    name = str((found.get("metadata") or {}).get("name") or "")
    behind = (found.get("spec") or {}).get("transformer") is not None
    return f"{name}-transformer" if behind else f"{name}-predictor"


def proxy_path(namespace: str, service: str, port: int = 80) -> str:
    """The API server's path to a Service."""
    return f"/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy"


def why_not(url: str) -> str | None:
    """Why an address that an object names cannot be used; None where it can be tried."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip(".").lower(), parts.port
    except ValueError:
        return f"{url[:200]} is no address."
    if parts.scheme not in ("http", "https") or not host:
        return f"{url[:200]} is no HTTP address."
    if parts.username is not None or parts.password is not None:
        return "An address with a user's name in it is not used."
    if any(host == one or host.endswith(f".{one}") for one in _EXAMPLES):
        return (
            f"{host} is KServe's example domain: no name server knows it. Ask who runs the cluster to set the ingress "
            "domain in the ConfigMap inferenceservice-config."
        )
    if host in _METADATA or host.endswith(".metadata.google.internal"):
        return f"{host} is a cloud's metadata server, no model server."
    if host == "localhost" or host.endswith(".localhost"):
        return f"{host} is this machine, not the cluster."
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if ip.is_link_local or str(ip) == "fd00:ec2::254":
        return f"{host} is a link-local address, as a cloud's metadata server has."
    if ip.is_unspecified or ip.is_multicast:
        return f"{host} is no server's address."
    return None


def _inside(status: Mapping[str, Any], entry: str, namespace: str) -> Address:
    told = (status.get("address") or {}).get("url")
    url = told if isinstance(told, str) and told else f"http://{entry}.{namespace}.svc.cluster.local"
    return _judged("in-cluster", url)


def _outside(status: Mapping[str, Any]) -> Address | None:
    url = status.get("url")
    if not isinstance(url, str) or not url:
        return None
    host = _host(url)
    # Without an ingress KServe writes the cluster's own name here: that is no way from outside.
    return None if host.endswith(_CLUSTER) else _judged("external", url)


def _judged(kind: AddressKind, url: str) -> Address:
    why = why_not(url)
    return Address(kind, url.rstrip("/"), works=False if why else None, why=why)


def _port(status: Mapping[str, Any]) -> int:
    told = (status.get("address") or {}).get("url")
    try:
        port = urlsplit(told).port if isinstance(told, str) else None
    except ValueError:
        port = None
    return port or 80


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
