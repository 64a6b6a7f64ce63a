"""scikit-learn: `model.joblib`. Executable on load, and so loaded in this process only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import loaders

PRELOAD = (
    "sklearn",
    "joblib",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.compose",
    "pandas",
)


def load(folder: Path, about: dict[str, Any]) -> Any:  # noqa: ARG001
    """The estimator or pipeline, as joblib restores it."""
    path = loaders.one_file(folder, "model.joblib", (".joblib", ".pkl", ".pickle"))
    import joblib

    return joblib.load(path)
