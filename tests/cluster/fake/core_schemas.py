"""Schemas of the API server's own kinds, as the `kubernetes` package's models describe them: fields and types."""

from __future__ import annotations

import functools
import re

from .kinds import Resource

_MODELS = {
    "": "V1{}", "apps": "V1{}", "storage.k8s.io": "V1{}", "rbac.authorization.k8s.io": "V1{}", "events.k8s.io": "EventsV1{}",
}  # fmt: skip
_PLAIN = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "string", "date": "string",
    "bytes": "string", "bytearray": "string",
}  # fmt: skip
_QUANTITIES = {"limits", "requests", "capacity", "allocatable", "overhead"}


@functools.cache
def of(resource: Resource):
    """The schema of a kind, or None where there is no model of it."""
    pattern = _MODELS.get(resource.group)
    if pattern is None or resource.custom:
        return None
    name = (
        "CoreV1Event" if (resource.group, resource.kind) == ("", "Event") else pattern.format(resource.kind)
    )
    from kubernetes.client import models

    return _model(name) if hasattr(models, name) else None


@functools.cache
def _model(name):
    from kubernetes.client import models

    found = getattr(models, name)
    fields = {found.attribute_map[key]: _typed(kind) for key, kind in found.openapi_types.items()}
    for field in _QUANTITIES & fields.keys():
        fields[field] = {
            "type": "object",
            "nullable": True,
            "additionalProperties": {"x-kubernetes-int-or-string": True},
        }
    return {"type": "object", "properties": fields}


def _typed(kind):
    if kind in _PLAIN:
        return {"type": _PLAIN[kind], "nullable": True}
    if match := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        return {"type": "array", "items": _typed(match[1]), "nullable": True}
    if match := re.fullmatch(r"dict\(str, (.+)\)|Dict\[str, (.+)\]", kind):
        return {"type": "object", "nullable": True, "additionalProperties": _typed(match[1] or match[2])}
    if kind == "object":
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {**_model(kind), "nullable": True}
