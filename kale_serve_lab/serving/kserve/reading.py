"""What can be read off an InferenceService that is not in our records, or that Kale did not make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.kserve.marks import is_managed, revision_of
from kale_serve_lab.serving.runtimes import CUSTOM
from kale_serve_lab.serving.types import InferenceService, Protocol, ServiceKey

_PROTOCOLS: dict[str, Protocol] = {"v1": "v1", "v2": "v2", "grpc-v1": "grpc-v1", "grpc-v2": "grpc-v2"}


def service_of(found: Mapping[str, Any], target: str) -> InferenceService:
    """The service as far as its object says; revision 0 unless Kale made it."""
    metadata = found.get("metadata") or {}
    predictor = (found.get("spec") or {}).get("predictor") or {}
    model = _model(predictor)
    created = milliseconds(metadata.get("creationTimestamp"))
    return InferenceService(
        key=ServiceKey(str(metadata.get("namespace") or ""), str(metadata.get("name") or "")),
        revision=revision_of(found) if is_managed(found) else 0,
        model=None,
        transformer=None,
        config=ServeConfig(transformer=_transformer(found)),
        runtime=str((model or {}).get("runtime") or ("" if model else CUSTOM)),
        # KServe's own default.
        protocol=_PROTOCOLS.get(str((model or {}).get("protocolVersion")), "v1"),
        created_at=created,
        updated_at=created,
        target=target,
    )


def milliseconds(text: object) -> int:
    """Of a time as Kubernetes writes it; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() * 1000)
    except ValueError:
        return 0


def _model(predictor: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = predictor.get("model")
    if isinstance(found, Mapping):
        return found
    # The older form: `sklearn: {storageUri: …}`.
    for value in predictor.values():
        if isinstance(value, Mapping) and "storageUri" in value:
            return value
    return None


def _transformer(found: Mapping[str, Any]) -> dict[str, Any] | None:
    containers = ((found.get("spec") or {}).get("transformer") or {}).get("containers")
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], Mapping):
        return None
    image = containers[0].get("image")
    return {"container": {"name": "kserve-container", "image": image if isinstance(image, str) else ""}}
