"""Kale's name for `kale_serve_lab`'s serve, Endpoint and ServeConfig."""

from kale_serve_lab import Endpoint, InferenceService, ServeConfig, serve

__all__ = ["Endpoint", "InferenceService", "ServeConfig", "serve"]
