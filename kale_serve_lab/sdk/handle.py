"""The handle on a service: what `serve()` returns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kale_serve_lab.client import Client
from kale_serve_lab.errors import EndpointNotFound, InvalidRequest, KaleServeError, from_json
from kale_serve_lab.sdk.progress import Progress
from kale_serve_lab.sdk.showing import as_html
from kale_serve_lab.sdk.waiting import Waiting

if TYPE_CHECKING:
    from kale_serve_lab.endpoint import Endpoint


@dataclass(frozen=True)
class ServiceStatus:
    """A service's state in one word and one sentence, with KServe's conditions. Its text is the sentence."""

    state: str
    sentence: str
    next_step: str | None
    ready: bool
    conditions: tuple[dict[str, Any], ...]
    stages: tuple[dict[str, Any], ...]
    error: KaleServeError | None

    def __str__(self) -> str:
        return f"{self.state}: {self.sentence}"


class InferenceService:
    """The handle on a service: what `serve()` returns, and `InferenceService.get(name)` finds again."""

    def __init__(self, service: dict[str, Any], *, shown: Mapping[str, Any] | None = None) -> None:
        self._service = service
        # What a dry run shows of an object that is nowhere yet.
        self._shown = shown
        self._findings: tuple[dict[str, Any], ...] = tuple(service.get("findings") or ())
        self._client = Client()
        self._wanted = int(service.get("revision") or 0)
        self._endpoint: Endpoint | None = None

    @classmethod
    def get(cls, name: str, namespace: str | None = None, target: str | None = None) -> InferenceService:
        """The service of this name; the one on this machine where there are two. Raises `EndpointNotFound`."""
        return cls(Client().request("GET", _path(name, namespace=namespace, target=target)))

    @classmethod
    def list(cls, target: str | None = None, namespace: str | None = None) -> tuple[InferenceService, ...]:
        """All services, those that others have made on the cluster too; only of this target and namespace where named."""
        return tuple(
            cls(one)
            for one in Client().request("GET", "/api/services")["items"]
            if target in (None, one.get("target") or "local") and namespace in (None, one["namespace"])
        )

    @property
    def name(self) -> str:
        """Pass it to `Endpoint`."""
        return str(self._service["name"])

    @property
    def namespace(self) -> str:
        """`default` on this machine."""
        return str(self._service["namespace"])

    @property
    def target(self) -> str:
        """Where it is: "local", or "kserve" for a cluster."""
        return str(self._service.get("target") or "local")

    @property
    def object(self) -> dict[str, Any] | None:
        """The InferenceService that is sent to the cluster, or was; None on this machine."""
        found = self._objects()
        told = found.get("object") or found.get("applied") or found.get("live")
        return None if told is None else dict(told)

    @property
    def revision(self) -> int:
        """The newest revision that was asked for."""
        return int(self._service["revision"])

    @property
    def url(self) -> str:
        """Where programs reach it, with the bearer token of the file `token` in the data directory."""
        return str(self._service["url"])

    @property
    def runtime(self) -> str:
        """The kind of model server, such as "kserve-mlserver"; "kale-built-in" is ours."""
        return str(self._service["runtime"])

    @property
    def protocols(self) -> tuple[str, ...]:
        """What it answers: "v1", "v2", "grpc-v1", "grpc-v2"."""
        return tuple(self._service["protocols"])

    @property
    def findings(self) -> tuple[dict[str, Any], ...]:
        """What preflight remarked when this was served: `{"code", "severity", "field", "message", "fix"}`. Empty for one found again."""
        return self._findings

    @property
    def status(self) -> ServiceStatus:
        """What it is doing now."""
        return _status(self.refresh()._service)  # noqa: SLF001 (its own)

    @property
    def endpoint(self) -> Endpoint:
        """Where to ask for predictions."""
        from kale_serve_lab.endpoint import Endpoint

        if self._endpoint is None:
            self._endpoint = Endpoint(self.name, self.namespace, target=self.target)
        return self._endpoint

    def refresh(self) -> InferenceService:
        """Asks the daemon how things are; returns itself. Raises `EndpointNotFound` after it was deleted."""
        self._service = self._client.request("GET", self._at())
        return self

    def to_yaml(self) -> str:
        """The InferenceService as YAML, for `kubectl apply` or a GitOps repository. Raises `InvalidRequest` on this machine."""
        text = self._objects().get("yaml")
        if not text:
            raise InvalidRequest(
                f"{self.name} is on this machine, where there is no Kubernetes object.",
                subject=self.name,
                hint='serve(…, target="kserve", dry_run=True) shows the object.',
            )
        return str(text)

    def pause(self) -> InferenceService:
        """Ends its pods and keeps all else, until `resume`; returns itself. Raises `InvalidRequest` on this machine."""
        return self._toggle("pause")

    def resume(self) -> InferenceService:
        """Starts a paused one again; returns itself. `.wait()` waits until it predicts."""
        return self._toggle("resume")

    def wait(self, timeout_seconds: float | None = None) -> InferenceService:
        """Shows progress until predictions are answered; returns itself.

        Raises the cause as soon as the start has failed, `Conflict` for one that is paused, and `Timeout`.
        """
        self._wait(timeout_seconds, Progress())
        return self

    def logs(self, component: str | None = None, *, tail: int = 200, revision: int | None = None) -> str:
        """The last lines of the log, of all components unless one is named ("predictor", "transformer")."""
        return b"".join(self._client.stream(self._logs_path(component, tail, revision, follow=False))).decode(
            errors="replace"
        )

    def follow_logs(self, component: str | None = None, *, tail: int = 20) -> Iterator[str]:
        """The log's lines as they are written, until the iterator is closed."""
        rest = b""
        with contextlib.closing(
            self._client.stream(self._logs_path(component, tail, None, follow=True))
        ) as parts:
            for part in parts:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")

    def delete(self) -> None:
        """Ends it; nothing of it is left when this returns. One that is gone already is no error."""
        with contextlib.suppress(EndpointNotFound):
            self._client.request("DELETE", self._at())

    def __repr__(self) -> str:
        service = self._service
        where = "" if self.target == "local" else f" on {self.target} in {self.namespace}"
        return f"InferenceService({service['name']!r}{where}, revision {service['revision']}: {service['state']})"

    def _at(self, below: str = "", **asked: Any) -> str:
        return _path(self.name, below, namespace=self.namespace, target=self.target, **asked)

    def _objects(self) -> Mapping[str, Any]:
        if self._shown is not None:
            return self._shown
        if self.target == "local":
            return {}
        found: Mapping[str, Any] = self._client.request("GET", self._at("/object"))
        return found

    def _toggle(self, what: str) -> InferenceService:
        self._service = self._client.request("POST", self._at(f"/{what}"))
        return self

    def _repr_html_(self) -> str:
        return as_html(self._service, self._findings)

    def _logs_path(self, component: str | None, tail: int, revision: int | None, *, follow: bool) -> str:
        return self._at(
            "/logs", component=component, revision=revision, tail=tail, follow=1 if follow else None
        )

    def _wait(self, timeout_seconds: float | None, progress: Progress) -> None:
        def refreshed() -> dict[str, Any]:
            return self.refresh()._service  # noqa: SLF001 (its own)

        def tail() -> list[str]:
            return self.logs(tail=20, revision=self._wanted).splitlines()

        waiting = Waiting(self._client, self._service, self._wanted, refreshed, tail, progress)
        waiting.follow(timeout_seconds)


def _path(name: str, below: str = "", **asked: Any) -> str:
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    return f"/api/services/{quote(name, safe='')}{below}{f'?{query}' if query else ''}"


def _status(service: dict[str, Any]) -> ServiceStatus:
    return ServiceStatus(
        state=service["state"],
        sentence=service["sentence"],
        next_step=service.get("next_step"),
        ready=service["ready_revision"] is not None,
        conditions=tuple(service["conditions"]),
        stages=tuple(service["stages"]),
        error=None if service["error"] is None else from_json(service["error"]),
    )
