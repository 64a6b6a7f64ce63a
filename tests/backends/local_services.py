"""What the services of these tests take, and what they leave."""

from __future__ import annotations

from pathlib import Path

from kale_serve_lab import paths
from kale_serve_lab.inference.signature import Signature, TensorSpec

SIGNATURE = Signature(
    layout="columns",
    inputs=[TensorSpec("x0", "FP64"), TensorSpec("x1", "FP64")],
    input_example=[[0.0, 1.0], [1.0, 0.0]],
)


def sockets_left() -> list[Path]:
    return [path for kind in "frc" for path in (paths.runtime_dir() / kind).glob("*")]
