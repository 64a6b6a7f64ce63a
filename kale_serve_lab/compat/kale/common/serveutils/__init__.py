"""Kale's old place of `serve`."""

import warnings
from typing import Any

from kale_serve_lab import Endpoint, InferenceService, ServeConfig
from kale_serve_lab import serve as _serve

__all__ = ["Endpoint", "InferenceService", "ServeConfig", "serve"]


def serve(*args: Any, **kwargs: Any) -> InferenceService:
    """`kale_serve_lab.serve`, with a DeprecationWarning."""
    warnings.warn(
        "kale.common.serveutils.serve is deprecated: use `from kale_serve_lab import serve` (or `from kale.serve import serve`).",
        DeprecationWarning,
        stacklevel=2,
    )
    return _serve(*args, **kwargs)
