"""Kale's name for `kale_serve_lab.Signature`."""

from kale_serve_lab import Signature

__all__ = ["Signature"]
