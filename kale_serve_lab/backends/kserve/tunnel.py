"""A connection through an HTTP proxy: CONNECT, then TLS inside of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_MAX_HEAD: Final = 16 << 10


@dataclass(frozen=True)
class Proxy:
    """`url` has no user and password: `headers` log in there."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ProxyRefused(OSError):  # noqa: N818
    """The proxy does not let us through; its words."""


async def through(
    proxy: Proxy, host: str, port: int, tls: ssl.SSLContext | None, server_name: str | None, limit: int
) -> Wire:
    """A connection to `host`, which the proxy looks up. Raises OSError, `ssl.SSLError` and `ProxyRefused`."""
    parts = urlsplit(proxy.url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ProxyRefused("predictions go through http:// proxies only")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    one = await _connected(parts.hostname, parts.port or 80)
    try:
        await _ask(one, place, proxy.headers)
        return await asyncio.open_connection(sock=one, ssl=tls, server_hostname=server_name, limit=limit)
    except BaseException:
        one.close()
        raise


async def _connected(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    last: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        one = socket.socket(family, kind, protocol)
        one.setblocking(False)
        try:
            await loop.sock_connect(one, address)
        except OSError as error:
            one.close()
            last = error
        except BaseException:
            one.close()
            raise
        else:
            return one
    raise last


async def _ask(one: socket.socket, place: str, headers: Mapping[str, str]) -> None:
    loop = asyncio.get_running_loop()
    lines = [
        f"CONNECT {place} HTTP/1.1",
        f"Host: {place}",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    await loop.sock_sendall(one, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    head = b""
    # Nothing follows it: inside of the tunnel it is we who speak first.
    while b"\r\n\r\n" not in head:
        part = await loop.sock_recv(one, _MAX_HEAD)
        head += part
        if not part or len(head) > _MAX_HEAD:
            raise ProxyRefused("it ends the connection" if not part else "its answer does not end")
    status = head.partition(b"\r\n")[0].decode("latin-1").split(None, 2)
    if len(status) < 2 or status[1] != "200":
        raise ProxyRefused(" ".join(status[1:])[:200] or "it does not speak HTTP")
