"""Where the host of a service's address leads: resolved once, checked, and kept until nothing answers there.

A service's status is written by others. A name in it that leads to a metadata service, to this machine or to nobody in
particular is not followed; private addresses are, because clusters live on them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from kale_serve_lab.errors import EndpointNotReady, Forbidden

# Metadata services whose addresses no range tells.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
_RESOLVE_SECONDS: Final = 5.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


def refused(ip: str, *, loopback: bool = False) -> str | None:
    """Why nothing is sent to this IP address; None where it may be. `loopback`: the API server itself is on this machine."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if mapped is not None:
        return refused(str(mapped), loopback=loopback)
    if address in _METADATA:
        return "it is a cloud's metadata service"
    if address.is_link_local:
        return "it is a link-local address, where clouds have their metadata services"
    if address.is_loopback:
        return None if loopback else "it is this machine itself, and the cluster is not on it"
    if address.is_unspecified or address.is_multicast or (address.is_reserved and address.version == 4):
        return "it is no address of a server"
    return None


async def system_resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name, by the system's resolver. Raises `OSError` where there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Pins:
    """Checked IP addresses by host name; belongs to one event loop."""

    def __init__(self, resolve: Resolve = system_resolve, *, loopback: bool = False) -> None:
        self._resolve = resolve
        self._loopback = loopback
        self._kept: dict[tuple[str, int], tuple[str, ...]] = {}

    async def find(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses to connect to, in order. Raises `EndpointNotReady` (unknown name), `Forbidden` (one of them is refused)."""
        key = (host.lower(), port)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        try:
            found = await asyncio.wait_for(self._resolve(host, port), _RESOLVE_SECONDS)
        except (OSError, UnicodeError, asyncio.TimeoutError) as error:
            why = "no answer in time" if isinstance(error, asyncio.TimeoutError) else str(error)
            raise EndpointNotReady(
                f"The name {host} cannot be resolved here ({why}).",
                subject=host,
                hint="Names of a cluster resolve inside it; outside, set its domain's DNS, or use the API server's way.",
            ) from error
        for ip in found:
            # One bad address among good ones is how a name is made to lead elsewhere the second time.
            why_not = refused(ip, loopback=self._loopback)
            if why_not is not None:
                raise Forbidden(
                    f"The name {host} leads to {ip}: {why_not}. Nothing is sent there.",
                    subject=host,
                    hint="Look at the address in the service's status; whoever can write it can choose where requests go.",
                )
        if not found:
            raise EndpointNotReady(f"The name {host} has no address.", subject=host)
        self._kept[key] = tuple(found)
        return self._kept[key]

    def forget(self, host: str, port: int) -> None:
        """Resolve anew next time: nothing answers there any more."""
        self._kept.pop((host.lower(), port), None)
