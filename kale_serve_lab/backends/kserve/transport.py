"""HTTP to an API server: one pool of connections, retries within the caller's time, credentials loaded anew once they are refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from kale_serve_lab._version import __version__
from kale_serve_lab.backends.kserve.cluster import Access, Answer, Lines, Query
from kale_serve_lab.backends.kserve.reaching import unreachable
from kale_serve_lab.backends.kserve.retrying import repeatable, wait_before_next
from kale_serve_lab.backends.kserve.streaming import OpenLines, allow_silence
from kale_serve_lab.backends.kserve.tunnel import Proxy
from kale_serve_lab.errors import ClusterRefused, ClusterUnavailable, InvalidConfig

if TYPE_CHECKING:
    import ssl

    from urllib3 import BaseHTTPResponse, PoolManager

_CONNECT_SECONDS = 5.0
_OPEN_SECONDS = 15.0
_POOL = 16
# A page of 500 objects of the largest size that an object commonly has.
_LARGEST = 256 * 1024 * 1024
_BLOCK = 1 << 18
_RELOAD_SECONDS = 10.0


@dataclass(frozen=True)
class Login:
    """Where the API server is, and how to come in. Nothing secret is in its repr.

    `authorization` gives the Authorization header's value at the moment, None where a client certificate says who we are.
    """

    url: str
    authorization: Callable[[], str | None] = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)


class Connection:
    """A `Cluster` over HTTP. `load` gives a `Login`, and is called again when the cluster refuses the last one."""

    def __init__(self, load: Callable[[], Login], *, namespace: str, title: str, context: str | None) -> None:
        self.namespace = namespace
        self.title = title
        self.context = context
        self._load = load
        self._login = load()
        self._pool = _pool(self._login)
        self._loaded_at = float("-inf")
        self._lock = threading.Lock()
        # Logging in may wait for a person; nobody else has to wait for that who needs no new login.
        self._reloading = threading.Lock()
        self._open: set[OpenLines] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connection to namespace {self.namespace} at {self.server}>"

    @property
    def server(self) -> str:
        """`host:port`."""
        parts = urlsplit(self._login.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        raw: bool = False,
        retry: bool = True,
    ) -> Answer:
        """One call; see `Cluster`."""
        deadline = time.monotonic() + timeout
        again = retry and repeatable(method, content_type, query)
        sent = dict(headers or {})
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", content_type)
        if method == "GET":
            sent.setdefault("Accept-Encoding", "gzip")
        tries = 0
        lost = False
        while True:
            tries += 1
            try:
                answer = self._once(method, _target(path, query), sent, data, deadline, raw=raw)
            except ClusterUnavailable as error:
                # A kept connection that the server has closed meanwhile says so only when it is used.
                if lost or not again or error.details.get("reason") != "lost":
                    raise
                lost = True
                continue
            wait = wait_before_next(answer, tries, reading=method in {"GET", "HEAD"}) if again else None
            if wait is None or time.monotonic() + wait >= deadline:
                return answer
            time.sleep(wait)

    def lines(self, path: str, query: Query | None, timeout: float) -> Lines:
        """A watch or a followed log; see `Cluster`."""
        # An answer begins at once, or not at all; only then may it be silent for long.
        response = self._send("GET", _target(path, query), {}, None, min(timeout, _OPEN_SECONDS))
        allow_silence(response, timeout)
        if not 200 <= response.status < 300:
            deadline = time.monotonic() + timeout
            opened = OpenLines(None, self._answer(response, deadline, raw=False), self.server, self._forget)
        else:
            head = Answer(response.status, b"", *_heads(response))
            opened = OpenLines(response, head, self.server, self._forget)
        with self._lock:
            closed = self._closed
            if not closed:
                self._open.add(opened)
        if closed:
            opened.close()
        return opened

    def access(self) -> Access:
        """Address and credentials for a connection of one's own; see `Cluster`."""
        login = self._login
        authorization = login.authorization()
        headers = {"Authorization": authorization} if authorization else {}
        proxy = Proxy(without_login(login.proxy), _proxy_headers(login.proxy) or {}) if login.proxy else None
        return Access(login.url, login.tls, headers, login.server_name, proxy)

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            self._closed = True
            opened = list(self._open)
            pool = self._pool
        for one in opened:
            one.close()
        pool.clear()

    def _forget(self, lines: OpenLines) -> None:
        with self._lock:
            self._open.discard(lines)

    def _once(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        data: bytes | None,
        deadline: float,
        *,
        raw: bool,
    ) -> Answer:
        left = max(0.05, deadline - time.monotonic())
        response = self._send(method, target, headers, data, left)
        return self._answer(response, deadline, raw=raw)

    def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        data: bytes | None,
        seconds: float,
    ) -> BaseHTTPResponse:
        """One exchange up to the answer's headers; a refused login is loaded anew once."""
        import urllib3

        for last in (False, True):
            with self._lock:
                if self._closed:
                    raise ClusterUnavailable(
                        "The connection is closed.", subject=self.server, details={"reason": "closed"}
                    )
                login, pool = self._login, self._pool
            authorization = login.authorization()
            sent = {"Accept": "application/json", "User-Agent": f"kale-serve-lab/{__version__}", **headers}
            if authorization:
                sent["Authorization"] = authorization
            try:
                response = pool.request(
                    method,
                    login.url + target,
                    body=data,
                    headers=sent,
                    timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                # Not chained: what urllib3 raises may hold the request's headers.
                raise unreachable(error, self.server, proxy=login.proxy) from None
            if response.status != 401 or last or not self._reload(login, seconds):
                return response
            response.drain_conn()
            response.release_conn()
        raise AssertionError

    def _reload(self, refused: Login, seconds: float) -> bool:
        """Load the credentials anew; whether there are others now than those that were refused."""
        if not self._reloading.acquire(timeout=seconds):
            return False
        try:
            if self._login is not refused:
                return True
            now = time.monotonic()
            if now - self._loaded_at < _RELOAD_SECONDS:
                return False
            self._loaded_at = now
            fresh = self._load()
            # A kubeconfig that now names another server is another connection, which is not ours to choose.
            if fresh.url != refused.url:
                raise InvalidConfig(
                    "The kubeconfig names another server than when we connected.",
                    subject=self.server,
                    hint="Run `kale-serve cluster set …` again, so that it is meant.",
                )
            with self._lock:
                old = self._pool
                self._login, self._pool = fresh, _pool(fresh)
            old.clear()
            return True
        finally:
            self._reloading.release()

    def _answer(self, response: BaseHTTPResponse, deadline: float, *, raw: bool) -> Answer:
        import urllib3

        # What has begun to come is read, even where a login has taken all the time.
        deadline = max(deadline, time.monotonic() + 1.0)
        parts: list[bytes] = []
        size = 0
        try:
            while part := response.read1(_BLOCK, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > _LARGEST:
                    raise ClusterRefused(
                        f"{self.server} sends more than {_LARGEST >> 20} MiB.", subject=self.server
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError
        except (urllib3.exceptions.HTTPError, OSError) as error:
            response.close()
            raise unreachable(error, self.server, proxy=self._login.proxy) from None
        except BaseException:
            response.close()
            raise
        response.release_conn()
        came = b"".join(parts)
        body: dict[str, Any] | bytes = came
        headers, warnings = _heads(response)
        # What is not a JSON object stays what came: a page of a proxy, a log's text.
        if not raw and came[:1] == b"{":
            try:
                decoded = json.loads(came)
            except (ValueError, RecursionError):
                decoded = None
            if isinstance(decoded, dict):
                body = decoded
        return Answer(response.status, body, headers, warnings)


def _pool(login: Login) -> PoolManager:
    import ssl
    import warnings

    import urllib3

    given: dict[str, Any] = {"num_pools": 4, "maxsize": _POOL, "block": False}
    if login.tls is not None:
        given["ssl_context"] = login.tls
        if login.tls.verify_mode == ssl.CERT_NONE:
            # Said once, where the user allowed it; not at each request.
            warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)
            given["cert_reqs"] = "CERT_NONE"
        if login.server_name:
            given["server_hostname"] = login.server_name
    if login.proxy:
        return urllib3.ProxyManager(
            without_login(login.proxy), proxy_headers=_proxy_headers(login.proxy), **given
        )
    return urllib3.PoolManager(**given)


def without_login(proxy: str) -> str:
    """A proxy's URL without user and password."""
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _proxy_headers(proxy: str) -> Mapping[str, str] | None:
    from urllib.parse import unquote

    import urllib3

    user, at, _ = urlsplit(proxy).netloc.rpartition("@")
    return urllib3.make_headers(proxy_basic_auth=unquote(user)) if at else None


def _target(path: str, query: Query | None) -> str:
    given = {
        key: ("true" if value else "false") if isinstance(value, bool) else value
        for key, value in (query or {}).items()
        if value is not None
    }
    return f"{path}?{urlencode(given)}" if given else path


def _heads(response: BaseHTTPResponse) -> tuple[dict[str, str], tuple[str, ...]]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return headers, tuple(_warning(one) for one in response.headers.getlist("Warning"))


def _warning(value: str) -> str:
    """The text of `299 - "text"`."""
    start = value.find('"')
    if start < 0:
        return value
    try:
        text, _ = json.JSONDecoder().raw_decode(value[start:])
    except ValueError:
        return value
    return str(text)
