"""scikit-learn: `model.joblib`, executable on load, and so loaded in this process only; or `model.skops`, which is not."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.loaders import WrongFile

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
    """The estimator or pipeline, as joblib or skops restores it; a skops file is never read as a pickle."""
    if any(path.suffix == ".skops" for path in folder.iterdir()):
        return _load_skops(loaders.one_file(folder, "model.skops", (".skops",)))
    path = loaders.one_file(folder, "model.joblib", (".joblib", ".pkl", ".pickle"))
    import joblib

    return joblib.load(path)


def _load_skops(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise WrongFile(f"{path.name} is no skops file")
    with loaders.needed("skops", "skops files are read by the package skops"):
        from skops import io
    untrusted = io.get_untrusted_types(file=path)
    if untrusted:
        raise ModelLoadFailed(
            f"{path.name} holds types that skops does not trust: {', '.join(sorted(untrusted))}.",
            hint="Nothing of it was loaded. Submit the model by joblib where you trust its code.",
            details={"untrusted": sorted(untrusted)},
        )
    return io.load(path)
