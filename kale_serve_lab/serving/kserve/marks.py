"""What Kale writes on an InferenceService to know it by, and what is read off it again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REVISION = "kale-serve-lab/revision"
MANAGED_BY = "app.kubernetes.io/managed-by"
FIELD_MANAGER = "kale-serve-lab"
STOP = "serving.kserve.io/stop"


def is_managed(there: Mapping[str, Any] | None) -> bool:
    """Whether Kale has made the object, here or elsewhere."""
    labels = ((there or {}).get("metadata") or {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == FIELD_MANAGER)


def revision_of(there: Mapping[str, Any]) -> int:
    """The revision that an object or a pod says it is; 0 where it says none."""
    value = ((there.get("metadata") or {}).get("annotations") or {}).get(REVISION)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else 0


def generation_of(there: Mapping[str, Any]) -> int:
    """Which version of the spec this is."""
    return int((there.get("metadata") or {}).get("generation") or 0)
