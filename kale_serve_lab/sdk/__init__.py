"""`serve()`, and the handle on what it started."""

from __future__ import annotations

from kale_serve_lab.sdk.calling import serve
from kale_serve_lab.sdk.handle import InferenceService, ServiceStatus

__all__ = ["InferenceService", "ServiceStatus", "serve"]
