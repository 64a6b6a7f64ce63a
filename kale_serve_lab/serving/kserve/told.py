"""What our own server is told of its artifact beside the files, by one variable of its container. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kale_serve_lab.serving.types import ArtifactRef, InferenceService

VARIABLE = "KALE_SERVE_ABOUT"
# Linux takes 128 KiB for one variable.
LONGEST_BYTES = 100_000


def told(service: InferenceService, artifact: ArtifactRef | None) -> str:
    """JSON: what kale.json does not say; without the signature's sample, which is the user's data.

    A signature that makes it longer than `LONGEST_BYTES` is left out.
    """
    said: dict[str, Any] = {"namespace": service.key.namespace, "revision": service.revision}
    if artifact is not None:
        said |= {"framework": artifact.framework, "class_name": artifact.class_name}
    whole = _json(said | _signature(artifact))
    return whole if len(whole.encode()) <= LONGEST_BYTES else _json(said)


def left_out_bytes(service: InferenceService, artifact: ArtifactRef | None) -> int:
    """How many bytes the signature takes that is left out; 0 where it is told."""
    said = _signature(artifact)
    if not said or '"signature":' in told(service, artifact):
        return 0
    return len(_json(said).encode())


def _signature(artifact: ArtifactRef | None) -> dict[str, Any]:
    if artifact is None or artifact.signature is None:
        return {}
    return {"signature": artifact.signature.to_json() | {"input_example": None}}


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(_said(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Kubernetes would replace $(NAME), and take $$ for $.
    return text.replace("$", "\\u0024")


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _said(inner) for key, inner in value.items() if inner is not None}
    return [_said(one) for one in value] if isinstance(value, list | tuple) else value
