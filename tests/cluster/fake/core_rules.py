"""What the API server refuses of its own kinds, as far as services, snapshots and credentials meet it."""

from __future__ import annotations

import re

from .kinds import named

CLAIMS, SECRETS = named("persistentvolumeclaims"), named("secrets")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?")
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def causes(resource, new, old):
    """(reason, field, message) of each rule that is broken."""
    found = []
    for key, value in (new["metadata"].get("labels") or {}).items():
        if len(value) > 63 or not _LABEL.fullmatch(value):
            told = (
                "must be no more than 63 characters"
                if len(value) > 63
                else "a valid label must be alphanumeric"
            )
            found.append(
                ("FieldValueInvalid", "metadata.labels", f'Invalid value: "{value}": {told} ({key})')
            )
    if resource is CLAIMS:
        found += _claim(new.get("spec") or {}, (old or {}).get("spec"))
    elif resource is SECRETS and old is not None and old.get("type") != new.get("type"):
        found.append(("FieldValueInvalid", "type", f'Invalid value: "{new.get("type")}": field is immutable'))
    return found


def _claim(spec, before):
    found = []
    if not spec.get("accessModes"):
        told = "Required value: at least 1 access mode is required"
        found.append(("FieldValueRequired", "spec.accessModes", told))
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        found.append(("FieldValueRequired", "spec.resources[storage]", "Required value"))
    elif not _QUANTITY.fullmatch(str(size)):
        told = f'Invalid value: "{size}": quantities must match the regular expression'
        found.append(("FieldValueInvalid", "spec.resources.requests[storage]", told))
    if before is not None and _fixed(spec) != _fixed(before):
        found.append(("FieldValueForbidden", "spec", f"Forbidden: {_IMMUTABLE}"))
    return found


def _fixed(spec):
    return {k: v for k, v in spec.items() if k not in ("resources", "volumeName")}
