"""What the rest of this package asks of an API server, and what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ssl

    from kale_serve_lab.backends.kserve.tunnel import Proxy

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

Query = Mapping[str, "str | int | bool | None"]


@dataclass(frozen=True)
class Answer:
    """One answer of the API server, whatever its status.

    `body` is a dict where a JSON object came, else the bytes. `headers` have lower-case names. `warnings` are the texts of
    the Warning headers, for instance of fields that were dropped.
    """

    status: int
    body: dict[str, Any] | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def json(self) -> dict[str, Any]:
        """The object; empty where something else came."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True)
class Access:
    """What a connection of one's own to the API server takes: predictions stream by it.

    `tls` is None for plain http. `server_name` is what the certificate is for, where not the URL's host; `proxy` stands
    before it.
    """

    url: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str] = field(repr=False)
    server_name: str | None = None
    proxy: Proxy | None = None


class Lines(Iterator[bytes], Protocol):
    """The lines of an answer as they come, without their ends. None come where `answer.ok` is false: its body says why.

    Iterating raises `ClusterUnavailable` when the connection is lost or silent for too long (`details["reason"]` is
    `lost` or `silent`). `close` may be called from any thread; who is waiting for a line then sees the end.
    """

    @property
    def answer(self) -> Answer:
        """Status and headers; the body is empty where lines follow."""

    def close(self) -> None:
        """Let go of the connection."""


class Cluster(Protocol):
    """A connection to one namespace of one cluster. Thread-safe and synchronous: call it in a thread, not in an event loop."""

    @property
    def namespace(self) -> str:
        """Where services go that name no namespace."""

    @property
    def title(self) -> str:
        """What people call it: `kubeflow-user` or `kubeflow-user @ context`; `features_read.title` adds KServe's version."""

    @property
    def server(self) -> str:
        """`host:port` of the API server."""

    @property
    def context(self) -> str | None:
        """The kubeconfig's context; None in a pod."""

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
        """One call, and its answer whatever the status.

        `timeout` bounds all of it in seconds, what is retried included: 429 and 5xx of reads, and of writes that may be
        repeated. With `raw` the body stays bytes. Raises `ClusterUnavailable` where no answer comes.
        """

    def lines(self, path: str, query: Query | None, timeout: float) -> Lines:
        """A watch or a followed log. `timeout` is the longest silence in seconds. Raises `ClusterUnavailable`."""

    def access(self) -> Access:
        """The API server's address with the credentials that are good now; asked for each new connection, in a thread."""

    def close(self) -> None:
        """Let go of all connections, also of those that `lines` has open."""
