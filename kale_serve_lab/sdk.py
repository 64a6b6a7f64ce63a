"""`serve()`, and the handle on what it started."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kale_serve_lab.artifacts import Model, Transformer, savers
from kale_serve_lab.artifacts.session import session
from kale_serve_lab.client import Client
from kale_serve_lab.errors import (
    Conflict,
    DaemonUnavailable,
    EndpointNotFound,
    InvalidConfig,
    InvalidRequest,
    KaleServeError,
    Timeout,
    from_json,
)
from kale_serve_lab.serving.config import ServeConfig

if TYPE_CHECKING:
    from kale_serve_lab.endpoint import Endpoint

# A daemon that dies while somebody waits is started anew and adopts what runs; one that keeps dying is not waited for.
_RECONNECTS = 3


def serve(
    model_id: int | str | Model | Mapping[str, Any] | None = None,
    transformer_id: int | str | Transformer | Mapping[str, Any] | None = None,
    name: str | None = None,
    serve_config: ServeConfig | Mapping[str, Any] | None = None,
    wait: bool = True,  # noqa: FBT001, FBT002 (Kale's signature)
    propagate_configurations: bool = False,  # noqa: FBT001, FBT002
    *,
    create_only: bool = False,
    timeout_seconds: float | None = None,
    target: str | None = None,
    namespace: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
) -> InferenceService:
    """Serve a model, behind a transformer where one is given, and return the handle on the InferenceService.

    A model or transformer is an id, `"name:version"`, `"name"` (its newest version), an artifact object (submitted first
    where it was not yet), or a fitted model. The name of a service that is there makes its next revision, unless
    `create_only`. With `wait` progress is shown and the call returns when predictions are answered, after at most
    `timeout_seconds`. What preflight remarks is shown too, and stays in `.findings`.

    `target` is "local" (processes here) or "kserve" (a cluster; `kale-serve cluster set` says which); None is what is configured.
    `namespace` is one of the cluster's. `dry_run` starts and sends nothing: the handle has the `.findings`, and on a cluster
    `.object` and `.to_yaml()`. `overwrite` takes back the fields that others have changed on the cluster, and an object that
    is somebody else's. `propagate_configurations` gives the pods on a cluster the PodDefaults that this notebook has.

    The model's own interpreter serves it over v1 and v2. `ServeConfig(runtime="kserve-mlserver")` takes another model server (or
    one of your own, by the name in its YAML), for which an environment is made first where there is none;
    `ServeConfig(protocol_version="grpc-v2")` asks for one protocol ("v1", "v2", "grpc-v1", "grpc-v2"). Both are `None` by default.

    Raises what the submission raises, `InvalidConfig`, `InvalidName`, `ArtifactNotFound`, `PreflightFailed`, `NameTaken`, and
    with `wait` the cause of a failed start (`EnvironmentFailed`, `ModelLoadFailed`, `LoadTimeout`, `PredictFailed`) as soon as it fails, with the
    tail of the log in `details["log_tail"]`, and `Timeout`.
    """
    config = ServeConfig.from_value(serve_config)
    if model_id is None and config.to_json().get("predictor") is None:
        raise InvalidRequest(
            "There is nothing to serve: no model, and no predictor container in serve_config.",
            subject=name,
            hint="serve(model.id), with the id that submit_artifact() has set.",
        )
    if propagate_configurations:
        _only_on_a_cluster(target, name)
    progress = _Progress() if wait and not dry_run else None
    given = Model(model=model_id) if savers.is_model(model_id) else model_id
    model = _reference(given, Model, progress)
    body = {
        "name": name,
        "namespace": namespace,
        "model": model,
        "transformer": _reference(transformer_id, Transformer, progress),
        "config": config.to_json(),
        "target": target,
        "create_only": create_only,
        "dry_run": dry_run,
        "overwrite": overwrite,
        "propagate_configurations": propagate_configurations,
        "session": session(),
    }
    answer = Client().request("POST", "/api/services", body)
    if dry_run:
        return InferenceService({**answer["service"], "findings": answer["findings"]}, shown=answer)
    service = InferenceService(answer)
    if progress is None:
        for finding in service.findings:
            if finding["severity"] != "info":
                _say(f"! {_remark(finding)}")
        return service
    progress.remarks(service.findings)
    service._wait(timeout_seconds, progress)  # noqa: SLF001
    return service


def _only_on_a_cluster(target: str | None, name: str | None) -> None:
    if target is None:
        target = Client().request("GET", "/api/targets")["default"]
    if target == "local":
        raise InvalidConfig(
            "propagate_configurations copies a notebook's PodDefaults, which only a cluster has.",
            subject=name,
            hint='Leave it away to serve on this machine, or serve(…, target="kserve").',
        )


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
        self._wait(timeout_seconds, _Progress())
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
        return _html(self._service, self._findings)

    def _logs_path(self, component: str | None, tail: int, revision: int | None, *, follow: bool) -> str:
        return self._at(
            "/logs", component=component, revision=revision, tail=tail, follow=1 if follow else None
        )

    def _wait(self, timeout_seconds: float | None, progress: _Progress) -> None:
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        left = _RECONNECTS
        while not self._settled(progress):
            try:
                if not self._changes(until, progress):
                    raise Timeout(
                        f"{self.name} is not ready after {timeout_seconds:g} s: {self._service['sentence']}",
                        subject=self.name,
                        hint="It goes on starting: look at .status, or .wait() again.",
                    )
            except DaemonUnavailable:
                left -= 1
                if left < 0:
                    raise
                self.refresh()

    def _changes(self, until: float | None, progress: _Progress) -> bool:
        """Follows the service to its end, False when the time is over first."""
        # The sequence number is taken before the state, so that no change falls between them.
        sequence = self._client.request("GET", "/api/services")["seq"]
        self.refresh()
        if self._settled(progress):
            return True
        with contextlib.closing(self._client.events(sequence, until=until)) as events:
            for event in events:
                if self._is_meant(event):
                    self.refresh()
                    if self._settled(progress):
                        return True
        if until is not None and time.monotonic() >= until:
            return False
        raise DaemonUnavailable("The Kale Serve daemon's events have ended.", subject=self.name)

    def _is_meant(self, event: Mapping[str, Any]) -> bool:
        return (
            event.get("kind") == "service"
            and event.get("name") == self.name
            and event.get("namespace") in (None, self.namespace)
            and event.get("target") in (None, self.target)
        )

    def _settled(self, progress: _Progress) -> bool:
        """Whether it answers predictions; raises where it has failed."""
        service = self._service
        progress.show(service)
        # A newer revision that somebody has served meanwhile takes the place of ours.
        if (service["ready_revision"] or 0) >= self._wanted:
            return True
        if service.get("paused"):
            raise Conflict(
                f"{self.name} is paused: it uses nothing, and answers nothing.",
                subject=self.name,
                hint=".resume() starts it again; then .wait().",
            )
        failed = service["state"] == "Failed" or any(
            stage["state"] == "failed" for stage in service["stages"]
        )
        if not failed:
            return False
        error = from_json(
            service["error"] or {"message": service["sentence"], "hint": service.get("next_step")}
        )
        error.subject = error.subject or self.name
        tail = error.details.get("log_tail") or []
        if not tail:
            with contextlib.suppress(KaleServeError):
                tail = error.details["log_tail"] = self.logs(tail=20, revision=self._wanted).splitlines()
        progress.failed(tail)
        # Python 3.10 has no notes; there the tail is among what was shown.
        if tail and hasattr(error, "add_note"):
            error.add_note("The end of the log:\n" + "\n".join(f"  {line}" for line in tail))
        raise error


class _Progress:
    """Progress by stage: in a notebook one display that changes, elsewhere a line on stderr for each stage."""

    def __init__(self) -> None:
        self._display: Any = None
        self._said: set[str] = set()
        self._begun: set[str] = set()
        self._submitted: list[dict[str, Any]] = []
        self._remarks: tuple[dict[str, Any], ...] = ()
        self._notebook = "ipykernel" in sys.modules and _in_kernel()

    def submitted(self, seconds: Mapping[str, float]) -> None:
        """How long the submission's own stages took."""
        self._submitted = [
            {"name": stage, "state": "done", "message": "", "seconds": took}
            for stage, took in seconds.items()
        ]

    def remarks(self, findings: tuple[dict[str, Any], ...]) -> None:
        """What preflight has to say of what is being served."""
        self._remarks = findings
        if not self._notebook:
            for finding in findings:
                _say(f"! {_remark(finding)}")

    def show(self, service: dict[str, Any]) -> None:
        """The service as it is now."""
        stages = _with_submitted(service["stages"], self._submitted)
        if self._notebook:
            self._update(_html({**service, "stages": stages}, self._remarks))
            return
        for stage in stages:
            if stage["state"] == "running" and stage.get("message"):
                # Minutes may pass here: its lines say that something goes on, or what is waited for.
                line = f"{service['name']}: {stage['name']}: {_shortened(stage['message'])}"
                # An upload's every megabyte is no line.
                if line not in self._said and not (stage["name"] == "store" and "store" in self._begun):
                    self._begun.add(stage["name"])
                    self._said.add(line)
                    _say(line)
            if stage["state"] in ("done", "failed") and stage["name"] not in self._said:
                self._said.add(stage["name"])
                _say(f"{service['name']}: {_stage_text(stage)}")
        if service["state"] == "Ready" and "Ready" not in self._said:
            self._said.add("Ready")
            _say(f"{service['name']}: {service['sentence']}")

    def failed(self, tail: list[str]) -> None:
        """The end of the log, where no display holds it already."""
        if not self._notebook:
            for line in tail:
                _say(f"  | {line}")

    def _update(self, content: str) -> None:
        from IPython import display

        shown: Any = display
        if self._display is None:
            self._display = shown.display(shown.HTML(content), display_id=True)
        else:
            self._display.update(shown.HTML(content))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _with_submitted(stages: list[dict[str, Any]], submitted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A service's stages with those of its submission, whose times only the submitting process knows."""
    names = {stage["name"] for stage in submitted}
    return [*submitted, *(stage for stage in stages if stage["name"] not in names)]


def _in_kernel() -> bool:
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _reference(given: Any, cls: type[Model | Transformer], progress: _Progress | None) -> int | str | None:
    """What the daemon calls it: an id or "name:version"."""
    if given is None or isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return int(given) if isinstance(given, str) and given.isdigit() else given
    if isinstance(given, cls):
        if given.id is None:
            given.submit_artifact()
            if progress is not None and isinstance(given, Model):
                progress.submitted(given.seconds)
        return given.id
    if isinstance(given, Mapping) and isinstance(given.get("id"), int):
        return int(given["id"])
    raise InvalidRequest(
        f'{type(given).__name__} is neither an id, nor "name:version", nor a {cls.__name__}.',
        subject=type(given).__name__,
        hint=f"Pass the id that {cls.__name__}(…).submit_artifact() has set.",
    )


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


def _stage_text(stage: dict[str, Any]) -> str:
    took = stage.get("seconds")
    message = stage.get("message")
    return (
        f"{stage['name']} {stage['state']}"
        + (f" in {took:.2f} s" if isinstance(took, int | float) else "")
        + (f": {message}" if message else "")
    )


def _remark(finding: Mapping[str, Any]) -> str:
    return " ".join(filter(None, [finding["message"], finding.get("fix")]))


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


# An installer's line may name all that it installs.
_LONGEST_LINE = 120
_MARKS = {"done": "✓", "failed": "✗", "running": "…", "waiting": "·"}
_COLOURS = {"Ready": "--jp-success-color1", "Failed": "--jp-error-color1"}


def _html(service: dict[str, Any], findings: tuple[dict[str, Any], ...]) -> str:
    """Everything in it is text that others have written: escaped, all of it."""

    def text(value: Any) -> str:
        return html.escape(str(value))

    colour = _COLOURS.get(service["state"], "--jp-ui-font-color2")
    stages = " &nbsp; ".join(
        f"<span title='{text(stage.get('message') or '')}'>{_MARKS.get(stage['state'], '')} {text(stage['name'])}"
        + (
            f" <small>{stage['seconds']:.2f} s</small>"
            if isinstance(stage.get("seconds"), int | float)
            else ""
        )
        + "</span>"
        for stage in service["stages"]
    )
    error = service.get("error")
    tail = (error or {}).get("details", {}).get("log_tail") or []
    cause = f"<pre style='margin:4px 0 0'>{text(chr(10).join(map(str, tail)))}</pre>" if tail else ""
    step = f"<div>{text(service['next_step'])}</div>" if service.get("next_step") else ""
    making = next(
        (
            stage
            for stage in service["stages"]
            if stage["state"] == "running"
            and stage.get("message")
            # The sentence has said what the others say.
            and stage["message"] not in service["sentence"]
        ),
        None,
    )
    going_on = (
        f"<div style='color:var(--jp-ui-font-color2)' title='{text(making['message'])}'>{text(_shortened(making['message']))}</div>"
        if making
        else ""
    )
    remarks = "".join(f"<div>! {text(_remark(finding))}</div>" for finding in findings)
    server = f"{service['runtime']} · {', '.join(service['protocols'])}{_place(service)}"
    return (
        "<div style='font-variant-numeric:tabular-nums'>"
        f"<div><b>{text(service['name'])}</b> &nbsp;"
        f"<span style='color:var({colour})'>{text(service['state'])}</span> &nbsp;{text(service['sentence'])}</div>"
        f"{step}<div style='color:var(--jp-ui-font-color2)'>{text(server)}</div>"
        f"<div style='color:var(--jp-ui-font-color2)'>{stages}</div>{going_on}{remarks}{cause}{_told(service, text)}</div>"
    )


def _place(service: Mapping[str, Any]) -> str:
    if (service.get("target") or "local") == "local":
        return ""
    return f" · {service['target']} · {service['namespace']}"


def _times(count: int) -> str:
    return f" <small>{count} times</small>" if count > 1 else ""


def _told(service: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    """What a cluster tells besides: who has changed what, what has happened, and that it is silent."""
    drift = ", ".join(service.get("drift") or ())
    changed = f"<div>Changed by others: {text(drift)}</div>" if drift else ""
    stale = (
        "<div>The cluster does not answer: this was seen last.</div>" if service.get("stale_since") else ""
    )
    facts = "".join(
        f"<li>{text(fact['what'])}{_times(fact['count'])}</li>" for fact in service.get("facts") or ()
    )
    events = f"<details><summary>What the cluster tells</summary><ul>{facts}</ul></details>" if facts else ""
    return f"{stale}{changed}{events}"
