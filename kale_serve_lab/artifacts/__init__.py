"""What a user submits: Model, Transformer and Dataset, with the Signature of what goes in and out."""

from __future__ import annotations

from kale_serve_lab.artifacts.dataset import Dataset
from kale_serve_lab.artifacts.model import Model
from kale_serve_lab.artifacts.transformer import Transformer
from kale_serve_lab.inference.signature import Signature

__all__ = ["Dataset", "Model", "Signature", "Transformer"]
