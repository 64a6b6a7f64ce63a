"""ServeConfig: how a model is to be served."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kale_serve_lab.errors import InvalidConfig

DEFAULT_LOAD_SECONDS = 600.0
# v1 and v2 over HTTP; grpc-v1 is TensorFlow Serving's own gRPC, grpc-v2 that of the Open Inference Protocol.
PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")
_COMPONENT_KEYS = ("env", "env_from", "requests", "limits", "affinity", "tolerations")


@dataclass(frozen=True)
class ServeConfig:
    """All fields are optional. Kale's names first, then ours.

    `env`, `env_from`, `requests`, `limits`, `affinity` and `tolerations` fill predictor and transformer both; the dicts
    `predictor` and `transformer` hold values for one of them and win. `env` is `{"NAME": "value"}` or Kubernetes' list of
    `{"name", "value"}`. `limits.memory` is held on this machine too: a server above it is
    restarted. `protocol_version` is one of `PROTOCOLS`, `runtime` the name of a row of the table (`serving/runtimes.py`) or of a
    ServingRuntime of the user's own. `predictor.container` and `transformer.container` are the user's own command: `{"name",
    "image", "command": [...], "args": [...], "env": [...]}`. `timeout` is in seconds and bounds the loading of the model (None: ten minutes).
    Raises `InvalidConfig`.
    """

    env: Mapping[str, str] | Sequence[Mapping[str, Any]] | None = None
    env_from: Sequence[Mapping[str, Any]] | None = None
    requests: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] | None = None
    annotations: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None
    predictor: Mapping[str, Any] | None = None
    transformer: Mapping[str, Any] | None = None
    node_selector: Mapping[str, str] | None = None
    affinity: Mapping[str, Any] | None = None
    tolerations: Sequence[Mapping[str, Any]] | None = None
    protocol_version: str | None = None
    runtime: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    scale_target: int | None = None
    scale_metric: str | None = None
    timeout: float | None = None
    service_account: str | None = None
    batcher: Mapping[str, Any] | None = None
    logger: Mapping[str, Any] | None = None
    explainer: Mapping[str, Any] | None = None
    canary: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    deployment_mode: str | None = None
    storage: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in _MAPPINGS:
            _expect(name, getattr(self, name), Mapping, "an object")
        for name in _LISTS:
            _expect(name, getattr(self, name), (list, tuple), "a list")
        for name in _TEXTS:
            _expect(name, getattr(self, name), str, "a text")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise _invalid(name, "is a whole number, 0 or more", value)
        if self.timeout is not None and not _positive(self.timeout):
            raise _invalid("timeout", "is a number of seconds above 0", self.timeout)
        if self.protocol_version not in (None, *PROTOCOLS):
            raise _invalid("protocol_version", f"is one of {', '.join(PROTOCOLS)}", self.protocol_version)
        if (
            self.min_replicas is not None
            and self.max_replicas is not None
            and self.min_replicas > self.max_replicas > 0
        ):
            raise _invalid(
                "min_replicas", f"is at most max_replicas ({self.max_replicas})", self.min_replicas
            )
        if self.canary is not None and not isinstance(self.canary, Mapping | list | tuple):
            raise _invalid("canary", "is an object or a list", self.canary)
        for name in ("annotations", "labels", "node_selector"):
            for key, value in (getattr(self, name) or {}).items():
                if not isinstance(key, str) or not isinstance(value, str):
                    raise _invalid(f"{name}.{key}", "is a text", value)
        for component in ("predictor", "transformer"):
            self.component_env(component)
            self.memory_limit(component)
            _check_container(f"{component}.container", self.container(component))

    @classmethod
    def from_value(cls, value: ServeConfig | Mapping[str, Any] | None) -> ServeConfig:
        """A ServeConfig as it is, a dict by its keys, None as all defaults. Raises `InvalidConfig` on an unknown key."""
        if isinstance(value, ServeConfig):
            return value
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            raise InvalidConfig(f"serve_config is a ServeConfig or a dict, not {type(value).__name__}.")
        for key in value:
            if key not in _NAMES:
                near = difflib.get_close_matches(str(key), _NAMES, n=1)
                raise InvalidConfig(
                    f"ServeConfig has no field {str(key)[:80]!r}.",
                    subject=str(key)[:80],
                    hint=f"Did you mean {near[0]}?" if near else f"Its fields: {', '.join(_NAMES)}.",
                )
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """The fields that are set; `from_value` is its inverse."""
        return {name: _plain(getattr(self, name)) for name in _NAMES if getattr(self, name) is not None}

    def for_component(self, component: str) -> dict[str, Any]:
        """What holds for predictor or transformer: the common fields, and over them the component's own."""
        common = {name: getattr(self, name) for name in _COMPONENT_KEYS if getattr(self, name) is not None}
        return common | dict(getattr(self, component) or {})

    def component_env(self, component: str) -> dict[str, str]:
        """The plain variables for predictor or transformer: the common ones, and over them the component's own."""
        own = (getattr(self, component) or {}).get("env")
        return variables("env", self.env) | variables(f"{component}.env", own)

    def container(self, component: str) -> Mapping[str, Any] | None:
        """The user's own container in place of our server for predictor or transformer: command, args, env, image."""
        found: Mapping[str, Any] | None = (getattr(self, component) or {}).get("container")
        return found

    def memory_limit(self, component: str) -> int | None:
        """Bytes that predictor or transformer may use (`limits.memory`, as Kubernetes writes it: 4Gi, 500M); None: any."""
        limits = self.for_component(component).get("limits")
        _expect(f"{component}.limits", limits, Mapping, "an object")
        value = (limits or {}).get("memory")
        return None if value is None else _bytes("limits.memory", value)

    @property
    def load_seconds(self) -> float:
        """How long a model may take to load."""
        return DEFAULT_LOAD_SECONDS if self.timeout is None else float(self.timeout)


_NAMES = tuple(field.name for field in fields(ServeConfig))
_MAPPINGS = (
    "requests", "limits", "annotations", "labels", "predictor", "transformer", "node_selector", "affinity", "batcher",
    "logger", "explainer", "storage",
)  # fmt: skip
_LISTS = ("env_from", "tolerations")
_TEXTS = ("protocol_version", "runtime", "scale_metric", "service_account", "deployment_mode")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?(?:[eE][0-9]{1,2})?)([kMGTPE]|[KMGTPE]i|)", re.ASCII)
_UNITS = {"": 1, "k": 1000} | {
    unit + suffix: base ** (index + 1)
    for suffix, base in (("", 1000), ("i", 1024))
    for index, unit in enumerate("KMGTPE")
}
_COUNTS = ("min_replicas", "max_replicas", "scale_target")


def variables(field: str, value: Any) -> dict[str, str]:
    """The plain variables of an `env`, which is an object or Kubernetes' list. Raises `InvalidConfig` naming `field`."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        # An entry with valueFrom has no meaning outside a cluster: preflight says so.
        pairs = [
            (item.get("name"), item.get("value", ""))
            for item in value
            if "value_from" not in item and "valueFrom" not in item
        ]
    else:
        raise _invalid(field, "is an object of names and values, or a list of {name, value}", value)
    for name, text in pairs:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _invalid(field, "has names without = in them", name)
        if not isinstance(text, str) or "\0" in text:
            raise _invalid(f"{field}.{name}", "is a text (write numbers in quotes)", text)
    return dict(pairs)


def _check_container(field: str, container: Any) -> None:
    _expect(field, container, Mapping, "an object")
    if container is None:
        return
    for key in ("name", "image"):
        _expect(f"{field}.{key}", container.get(key), str, "a text")
    for key in ("command", "args"):
        value = container.get(key)
        _expect(f"{field}.{key}", value, (list, tuple), 'a list of texts, such as ["python", "server.py"]')
        for item in value or ():
            if not isinstance(item, str) or "\0" in item:
                raise _invalid(f"{field}.{key}", "is a list of texts", item)
    variables(f"{field}.env", container.get("env"))


def _bytes(field: str, value: Any) -> int:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    found = 0
    if match is not None and not isinstance(value, bool):
        found = int(float(match[1]) * _UNITS[match[2]])
    if found <= 0:
        raise _invalid(field, "is a size such as 4Gi, 500M or a number of bytes", value)
    return found


def _expect(name: str, value: Any, kind: type | tuple[type, ...], words: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise _invalid(name, f"is {words}", value)


def _invalid(name: str, rule: str, value: Any) -> InvalidConfig:
    shown = repr(value)
    return InvalidConfig(
        f"{name} {rule}, not {shown if len(shown) <= 80 else shown[:77] + '...'}.", subject=name
    )


def _positive(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
