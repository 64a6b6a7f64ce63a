"""The values that serving is made of. All are frozen; times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.serving.config import PROTOCOLS, ServeConfig

ComponentName = Literal["predictor", "transformer"]
Protocol = Literal["v1", "v2", "grpc-v1", "grpc-v2"]
ServiceState = Literal["Pending", "Loading", "Ready", "Updating", "Failed", "Deleting"]
StageState = Literal["waiting", "running", "done", "failed"]
ConditionStatus = Literal["True", "False", "Unknown"]

# Of one process, in the order of its life. `ended` waits for its turn to be started again, `due` has it.
# `preparing`: its environment is being made.
ComponentPhase = Literal["preparing", "starting", "loading", "loaded", "ended", "due", "failed"]
# Of one revision. `trying` is the sample prediction; `draining` has left the front and serves its last connections.
RevisionPhase = Literal["loading", "trying", "ready", "failed", "draining"]


def protocol_of(value: object) -> Protocol:
    """The protocol of this name; v2 where it is none."""
    return cast("Protocol", value) if value in PROTOCOLS else "v2"


@dataclass(frozen=True, order=True)
class ServiceKey:
    """A service's name within a namespace."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class ArtifactRef:
    """An artifact as far as serving it needs: what it is, and the store's read-only folder that holds it."""

    id: int
    type: str
    name: str
    version: str
    uri: str
    digest: str
    framework: str | None = None
    class_name: str | None = None
    signature: Signature | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """All keys; `from_json` is its inverse."""
        return {
            "id": self.id,
            "type": self.type,
            "name": self.name,
            "version": self.version,
            "uri": self.uri,
            "digest": self.digest,
            "framework": self.framework,
            "class_name": self.class_name,
            "signature": None if self.signature is None else self.signature.to_json(),
            "environment": dict(self.environment),
            "path": None if self.path is None else str(self.path),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ArtifactRef:
        """Reads `to_json`'s form; more keys (an Artifact of the daemon's API) do no harm."""
        signature, path = value.get("signature"), value.get("path")
        return cls(
            id=int(value["id"]),
            type=str(value["type"]),
            name=str(value["name"]),
            version=str(value["version"]),
            uri=str(value["uri"]),
            digest=str(value["digest"]),
            framework=value.get("framework"),
            class_name=value.get("class_name"),
            signature=None if signature is None else Signature.from_json(signature),
            environment=dict(value.get("environment") or {}),
            path=None if path is None else Path(path),
        )


@dataclass(frozen=True)
class InferenceService:
    """What is asked: one revision of one service.

    `propagate_configurations`: on a cluster it gets the PodDefaults that the notebook has.
    """

    key: ServiceKey
    revision: int
    model: ArtifactRef | None
    transformer: ArtifactRef | None
    config: ServeConfig
    runtime: str
    protocol: Protocol
    created_at: int
    updated_at: int
    target: str = "local"
    propagate_configurations: bool = False

    @property
    def components(self) -> tuple[ComponentName, ...]:
        """The processes it consists of, the predictor first."""
        alone = self.transformer is None and self.config.container("transformer") is None
        return ("predictor",) if alone else ("predictor", "transformer")

    @property
    def signature(self) -> Signature | None:
        """What callers send: the transformer's signature, else the model's."""
        for artifact in (self.transformer, self.model):
            if artifact is not None and artifact.signature is not None:
                return artifact.signature
        return None

    def to_json(self) -> dict[str, Any]:
        """All keys; `from_json` is its inverse."""
        return {
            "namespace": self.key.namespace,
            "name": self.key.name,
            "revision": self.revision,
            "model": None if self.model is None else self.model.to_json(),
            "transformer": None if self.transformer is None else self.transformer.to_json(),
            "config": self.config.to_json(),
            "runtime": self.runtime,
            "protocol": self.protocol,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "target": self.target,
            "propagate_configurations": self.propagate_configurations,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InferenceService:
        """Reads `to_json`'s form."""
        model, transformer = value.get("model"), value.get("transformer")
        return cls(
            key=ServiceKey(str(value["namespace"]), str(value["name"])),
            revision=int(value["revision"]),
            model=None if model is None else ArtifactRef.from_json(model),
            transformer=None if transformer is None else ArtifactRef.from_json(transformer),
            config=ServeConfig.from_value(value.get("config")),
            runtime=str(value["runtime"]),
            protocol=protocol_of(value["protocol"]),
            created_at=int(value["created_at"]),
            updated_at=int(value["updated_at"]),
            target=str(value.get("target") or "local"),
            propagate_configurations=bool(value.get("propagate_configurations")),
        )


@dataclass(frozen=True)
class ObservedComponent:
    """One process of one revision. `restarts` counts all, `tries` those since it last stayed up; `ended`: how it last did.

    On a cluster it is a `pod` on a `node`, and has no pid.
    """

    component: ComponentName
    revision: int
    pid: int | None = None
    phase: ComponentPhase = "starting"
    message: str = ""
    restarts: int = 0
    tries: int = 0
    ended: str = ""
    pod: str | None = None
    node: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in Service.components of the daemon's API."""
        return {
            "component": self.component,
            "revision": self.revision,
            "pid": self.pid,
            "state": self.phase,
            "restarts": self.restarts,
            "message": self.message,
            "pod": self.pod,
            "node": self.node,
        }


@dataclass(frozen=True)
class ObservedRevision:
    """One revision: its processes, how far it is, and why it failed (an error's inner JSON object).

    `protocols` is what its entry offers and `binary` whether it takes v2's binary tensors; () and None until it has loaded.
    `environment` is the latest line of its environment's making, None where there was none to make; `warnings` say what that lacks.
    """

    number: int
    phase: RevisionPhase = "loading"
    components: tuple[ObservedComponent, ...] = ()
    error: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    protocols: tuple[Protocol, ...] = ()
    binary: bool | None = None
    environment: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observed:
    """What is there: the revisions, and the number of the one whose socket stands at the front."""

    key: ServiceKey
    revisions: tuple[ObservedRevision, ...] = ()
    front: int | None = None
    deleting: bool = False
    changed_at: int = 0

    def revision(self, number: int | None) -> ObservedRevision | None:
        """The revision of this number, if there is anything of it."""
        return next((found for found in self.revisions if found.number == number), None)

    @property
    def components(self) -> tuple[ObservedComponent, ...]:
        """The processes of all revisions."""
        return tuple(part for revision in self.revisions for part in revision.components)


# `end` ends the processes of a failed revision and keeps what is known of its failure; `stop` leaves nothing of it.
ActionKind = Literal["start", "restart", "try", "switch", "drain", "end", "stop"]


@dataclass(frozen=True)
class Action:
    """One step towards what is asked; `component` belongs to start and restart."""

    kind: ActionKind
    revision: int
    component: ComponentName | None = None


@dataclass(frozen=True)
class Condition:
    """A condition by KServe's name."""

    type: str
    status: ConditionStatus
    reason: str = ""
    message: str = ""
    last_transition_time: int = 0

    def to_json(self) -> dict[str, Any]:
        """As in Service.conditions of the daemon's API."""
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "last_transition_time": self.last_transition_time,
        }


@dataclass(frozen=True)
class Stage:
    """One step of the way to Ready, as a progress display shows it."""

    name: str
    state: StageState
    message: str = ""
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As in Service.stages of the daemon's API."""
        return {"name": self.name, "state": self.state, "message": self.message, "seconds": self.seconds}


AddressKind = Literal["in-cluster", "external", "api-server"]


@dataclass(frozen=True)
class Address:
    """One way to a service on a cluster. `host` is the Host header where it is not the URL's; `works` is None until it was tried."""

    kind: AddressKind
    url: str
    host: str | None = None
    works: bool | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in Service.addresses of the daemon's API; `from_json` is its inverse."""
        return {
            "kind": self.kind,
            "url": self.url,
            "host": self.host,
            "works": self.works,
            "why": self.why,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Address:
        """Reads `to_json`'s form."""
        return cls(value["kind"], value["url"], value.get("host"), value.get("works"), value.get("why"))


@dataclass(frozen=True)
class Reach:
    """How a service is reached: `base` ("" or "/serving/ns/name") stands before /v1 or /v2 on the Unix socket `socket`.

    `protocols` and `binary` are what its entry offers; () and None while nothing is known of that.
    """

    protocols: tuple[Protocol, ...] = ()
    binary: bool | None = None
    socket: str | None = None
    base: str = ""
    grpc_socket: str | None = None
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class Fact:
    """What the cluster tells of a service, in words: how often, and when last."""

    what: str
    when: int
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """As in Service.facts of the daemon's API."""
        return {"what": self.what, "when": self.when, "count": self.count}


@dataclass(frozen=True)
class Status:
    """What is seen, in words.

    `stale_since`: the cluster has not answered since, and this is what was seen then. `drift`: the fields that others have
    changed. `facts`: what the cluster tells that matters, newest first. `paused`: it waits to be resumed.
    """

    state: ServiceState
    sentence: str
    next_step: str | None
    ready_revision: int | None
    conditions: tuple[Condition, ...]
    stages: tuple[Stage, ...]
    error: Mapping[str, Any] | None
    components: tuple[ObservedComponent, ...] = ()
    stale_since: int | None = None
    drift: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    paused: bool = False

    def to_json(self) -> dict[str, Any]:
        """These keys of a Service in the daemon's API."""
        return {
            "state": self.state,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "ready_revision": self.ready_revision,
            "conditions": [condition.to_json() for condition in self.conditions],
            "stages": [stage.to_json() for stage in self.stages],
            "error": None if self.error is None else dict(self.error),
            "components": [component.to_json() for component in self.components],
            "stale_since": self.stale_since,
            "drift": list(self.drift),
            "facts": [fact.to_json() for fact in self.facts],
            "paused": self.paused,
        }
