"""Kale's name for `kale_serve_lab`'s artifacts."""

from kale_serve_lab import Dataset, Model, Transformer

__all__ = ["Dataset", "Model", "Transformer"]
