"""The objects of a cluster as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shown(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """`object` and `yaml` of the answer to a dry run; both null where the target has no objects."""
    if found is None:
        return {"object": None, "yaml": None}
    from kale_serve_lab.serving.kserve.build import to_yaml

    return {"object": dict(found), "yaml": to_yaml(dict(found))}
