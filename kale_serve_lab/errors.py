# ruff: noqa: N818 (the codes on the wire are these names)
"""Every error that this package raises on purpose.

    KaleServeError
    ├── InvalidRequest 400
    │   ├── InvalidName                a name KServe or the file system would refuse
    │   ├── InvalidConfig              a ServeConfig that cannot be meant
    │   ├── InvalidInput               what was given to predict() does not fit
    │   └── InvalidSignature
    ├── Unauthorized 401
    ├── Forbidden 403
    ├── NotFound 404
    │   ├── ArtifactNotFound
    │   └── EndpointNotFound
    ├── Conflict 409
    │   ├── VersionExists              same name and version, other content
    │   ├── NameTaken
    │   └── Cancelled                  it was asked to stop before it was done
    ├── UnsupportedModel 422
    ├── SaveFailed 422
    ├── PreflightFailed 422
    ├── ModelLoadFailed 500
    ├── LoadTimeout 504
    ├── PredictFailed 500              the model raised
    ├── EndpointNotReady 503
    ├── EndpointGone 503               the connection ended before the answer came
    ├── DigestMismatch 500             stored bytes are not the recorded ones
    ├── StoreFull 507
    ├── EnvironmentFailed 502          an environment for a runtime could not be made
    ├── ProgramMissing 503             a program that a runtime needs is not on PATH
    ├── UpstreamFailed 502             the server's answer is no answer of the protocol
    ├── ClusterRefused 502             the API server refused in a way that has no other class
    ├── ClusterUnavailable 503         no API server answers, or no cluster is configured
    ├── DaemonUnavailable 503
    ├── DaemonMissingDependency 503
    ├── UnsafePath 500                 a directory of ours is somebody else's, or open to others
    ├── LockUnsupported 500
    └── Timeout 504

An error says what happened and to which object (`message`, `subject`) and what to do next (`hint`). It crosses process
borders as JSON: `to_json` and `from_json` are inverse for every class here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class KaleServeError(Exception):
    """What happened, to which object, and what to do next.

    `code` is the class's name unless given; `details` holds JSON values only (for instance `log_tail`).
    """

    http_status: int = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        subject: str | None = None,
        hint: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).__name__
        self.subject = subject
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way of pickling passes positional arguments only and would lose the keywords.
        return from_json, (self.to_json(),)

    def to_json(self) -> dict[str, Any]:
        """The body of an error answer: `{"error": {...}}`."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "subject": self.subject,
                "hint": self.hint,
                "details": self.details,
            },
        }

    def to_prediction_json(self) -> dict[str, Any]:
        """The body of a model server's error answer: `error` is a text, as the Open Inference Protocol has it."""
        hint = f" {self.hint}" if self.hint else ""
        return {"error": f"{self.message}{hint}", **self.to_json()["error"]}


class InvalidRequest(KaleServeError):
    """What was asked cannot be meant, or is not allowed."""

    http_status = 400


class InvalidName(InvalidRequest):
    """A name that KServe or the file system would refuse."""


class InvalidConfig(InvalidRequest):
    """A ServeConfig that cannot be meant."""


class InvalidInput(InvalidRequest):
    """What was given to `predict` does not fit the protocol or the model's signature."""


class InvalidSignature(InvalidRequest):
    """A signature that contradicts itself or the protocol."""


class Unauthorized(KaleServeError):
    """No token, or one that is not known."""

    http_status = 401


class Forbidden(KaleServeError):
    """A known caller who may not do this."""

    http_status = 403


class NotFound(KaleServeError):
    """The object is not there."""

    http_status = 404


class ArtifactNotFound(NotFound):
    """No artifact has this id, name or version."""


class EndpointNotFound(NotFound):
    """No service has this name."""


class Conflict(KaleServeError):
    """The present state does not allow it."""

    http_status = 409


class VersionExists(Conflict):
    """The name and version are there already, with other content."""


class NameTaken(Conflict):
    """A service of this name is there already."""


class Cancelled(Conflict):
    """It was asked to stop before it was done."""


class UnsupportedModel(KaleServeError):
    """No saver knows this kind of object."""

    http_status = 422


class SaveFailed(KaleServeError):
    """The object could not be written to files."""

    http_status = 422


class PreflightFailed(KaleServeError):
    """The service would not start; `details["findings"]` says why."""

    http_status = 422


class ModelLoadFailed(KaleServeError):
    """The model server could not load the model."""


class LoadTimeout(KaleServeError):
    """The model did not load in time."""

    http_status = 504


class PredictFailed(KaleServeError):
    """The model raised while predicting."""


class EndpointNotReady(KaleServeError):
    """The service is there but does not answer predictions yet, or no more."""

    http_status = 503


class EndpointGone(KaleServeError):
    """The connection ended before the answer had come."""

    http_status = 503


class DigestMismatch(KaleServeError):
    """Stored bytes are not the ones that were recorded."""


class StoreFull(KaleServeError):
    """The disk has no room for it."""

    http_status = 507


class EnvironmentFailed(KaleServeError):
    """An environment for a runtime could not be made."""

    http_status = 502


class ProgramMissing(KaleServeError):
    """A program that a runtime needs is not on PATH."""

    http_status = 503


class UpstreamFailed(KaleServeError):
    """The server's answer is not one of the protocol."""

    http_status = 502


class ClusterRefused(KaleServeError):
    """The API server of a cluster refused, in a way that has no class of its own."""

    http_status = 502


class ClusterUnavailable(KaleServeError):
    """No API server answers, or no cluster is configured."""

    http_status = 503


class DaemonUnavailable(KaleServeError):
    """The daemon could not be reached or started."""

    http_status = 503


class DaemonMissingDependency(KaleServeError):
    """The interpreter that should run the daemon lacks a package."""

    http_status = 503


class UnsafePath(KaleServeError):
    """A directory of ours is somebody else's, or open to others."""


class LockUnsupported(KaleServeError):
    """The file system has no locks (some network homes)."""


class Timeout(KaleServeError):
    """No answer came in time."""

    http_status = 504


def _subclasses(root: type[KaleServeError]) -> Iterator[type[KaleServeError]]:
    yield root
    for child in root.__subclasses__():
        yield from _subclasses(child)


# Only the classes of this module: what another module derives is not rebuilt from a name that came over a wire.
_BY_CODE = {cls.__name__: cls for cls in _subclasses(KaleServeError)}


def from_json(value: Any) -> KaleServeError:
    """The error that `to_json` or `to_prediction_json` wrote; takes the inner object too, and never raises on what a stranger sent."""
    inner = value.get("error", value) if isinstance(value, Mapping) else value
    if is_prediction_json(value):
        inner = value
    if not isinstance(inner, Mapping):
        return KaleServeError(str(inner))

    def text(key: str) -> str | None:
        found = inner.get(key)
        return found if isinstance(found, str) and found else None

    code = text("code") or "KaleServeError"
    details = inner.get("details")
    return _BY_CODE.get(code, KaleServeError)(
        text("message") or code,
        code=code,
        subject=text("subject"),
        hint=text("hint"),
        details=details if isinstance(details, Mapping) else None,
    )


def is_prediction_json(value: Any) -> bool:
    """Whether this is what `to_prediction_json` wrote, not another server's error."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("error"), str)
        and value.keys() >= {"code", "message", "details"}
    )
