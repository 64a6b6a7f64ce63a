"""Why no API server answers, in words."""

from __future__ import annotations

import errno
import ssl
from typing import Any, Literal
from urllib.parse import urlsplit

from kale_serve_lab.errors import ClusterUnavailable

Reason = Literal["refused", "timeout", "name", "tls", "proxy", "lost", "silent", "unreachable"]

_BY_NUMBER = {
    errno.EHOSTUNREACH: "there is no way to that host",
    errno.ENETUNREACH: "there is no way to that network",
    errno.EADDRNOTAVAIL: "this machine has no address to ask from",
}


def unreachable(error: BaseException, server: str, *, proxy: str | None = None) -> ClusterUnavailable:
    """`ClusterUnavailable` for what urllib3 or a socket raised; `details["reason"]` is a `Reason`."""
    reason, words, hint = _why(error, server)
    through = f" through the proxy {without_credentials(proxy)}" if proxy else ""
    return ClusterUnavailable(
        f"The API server at {server} does not answer{through}: {words}.",
        subject=server,
        hint=hint,
        details={"reason": reason, "server": server},
    )


def without_credentials(url: str) -> str:
    """A URL's scheme, host and port: what may be shown of a proxy's address."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{parts.hostname or '?'}{port}"


def _why(error: BaseException, server: str) -> tuple[Reason, str, str]:
    import urllib3.exceptions as broken

    refused = "Check that the cluster is up and that this machine may reach it (VPN?), then `kale-serve cluster check`."
    if isinstance(error, broken.ProxyError):
        _, words, _ = _why(error.original_error, server)
        return (
            "proxy",
            f"the proxy does not let us through: {words}",
            "Check `proxy-url` in the kubeconfig, or HTTPS_PROXY and NO_PROXY.",
        )
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return (
                "tls",
                f"its certificate is not trusted ({one.verify_message})",
                "Set `certificate-authority` in the kubeconfig to the cluster's own CA, or take the kubeconfig anew.",
            )
    for one in chain:
        if isinstance(one, ssl.SSLError | broken.SSLError):
            text = getattr(one, "reason", None) or "no TLS there"
            return (
                "tls",
                f"TLS failed ({str(text)[:200]})",
                "Check the server's address, port and client certificate in the kubeconfig.",
            )
    for one in chain:
        if isinstance(one, broken.NameResolutionError):
            return (
                "name",
                "its name is not found",
                "Check the server's address in the kubeconfig, and this machine's DNS (VPN?).",
            )
        if isinstance(one, ConnectionRefusedError):
            return "refused", "the connection is refused", refused
        if isinstance(one, broken.ReadTimeoutError):
            return "timeout", "no answer came in time", refused
        if isinstance(one, broken.ConnectTimeoutError) and not isinstance(one, broken.NewConnectionError):
            return "timeout", "no connection came about in time", refused
        if isinstance(one, TimeoutError):
            return "timeout", "no answer came in time", refused
        if isinstance(one, OSError) and one.errno in _BY_NUMBER:
            return "unreachable", _BY_NUMBER[one.errno], refused
    return "lost", "the connection broke off", refused


def _chain(error: BaseException) -> Any:
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]
