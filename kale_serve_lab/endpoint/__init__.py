"""Predictions from a served model: `Endpoint`."""

from kale_serve_lab.endpoint.endpoint import Endpoint

__all__ = ["Endpoint"]
