"""A dataset that models are trained on: kept, described, and linked to what came of it."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import capture, kinds
from kale_serve_lab.artifacts.submission import Submission, staging, write_about

# The datasets of this session, oldest first: a model that is submitted later finds its sample and its input among them.
_made: list[weakref.ref[Dataset]] = []


class Dataset:
    """Features and targets: DataFrames, Series, numpy or scipy sparse arrays, or what numpy reads as one.

    `submit_artifact()` stores a copy and records shape, columns and digest; it sets `id`, `uri`, `version`.
    """

    TYPE = "kale.Dataset"

    def __init__(
        self,
        features: Any,
        targets: Any = None,
        features_test: Any = None,
        targets_test: Any = None,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        self.features = features
        self.targets = targets
        self.features_test = features_test
        self.targets_test = targets_test
        self.name = name
        self.description = description
        self.version = version
        self.tags = dict(tags or {})
        self.id: int | None = None
        self.uri: str | None = None
        self.artifact: dict[str, Any] | None = None
        _made.append(weakref.ref(self))

    def submit_artifact(self) -> Dataset:
        """Store and record it; the same data under the same name again is the same artifact."""
        parts = {
            key: capture.rows_of(value)
            for key in ("features", "targets", "features_test", "targets_test")
            if (value := getattr(self, key)) is not None
        }
        what = f"The dataset {self.name or 'dataset'}"
        signature = capture.signature_from(parts["features"])
        with staging(what) as folder:
            files = {key: _write(part, folder, key) for key, part in parts.items()}
            about = {"kind": "dataset", "parts": files}
            write_about(folder, about)
            columns = [spec.name for spec in signature.inputs] if signature.named else None
            submission = Submission(
                {
                    "type": self.TYPE,
                    "name": self.name or "dataset",
                    "version": self.version,
                    "description": self.description,
                    "author": None,
                    "tags": self.tags,
                    "artifact_uri": None,
                    "framework": None,
                    "class_name": type(self.features).__name__,
                    "signature": signature.to_json(),
                    "environment": None,
                    "executable": False,
                    "properties": {
                        **{f"{key}_shape": "x".join(map(str, part.shape)) for key, part in parts.items()},
                        "columns": ", ".join(columns)[:2000] if columns else "",
                    },
                    "inputs": [],
                }
            )
            self.artifact = submission.send(folder)
        self.id, self.uri, self.version = self.artifact["id"], self.artifact["uri"], self.artifact["version"]
        self.name = self.artifact["name"]
        return self

    def __repr__(self) -> str:
        return f"Dataset(name={self.name!r}, version={self.version!r}, id={self.id})"


def made_in_this_session() -> list[Dataset]:
    """Newest first."""
    found = [dataset for reference in reversed(_made) if (dataset := reference()) is not None]
    _made[:] = [reference for reference in _made if reference() is not None]
    return found


def _write(part: Any, folder: Path, key: str) -> dict[str, Any]:
    """In formats that run no code when read, and whose bytes are equal for equal data."""
    if kinds.is_sparse(part):
        import scipy.sparse

        scipy.sparse.save_npz(folder / f"{key}.npz", part, compressed=False)
        return {"file": f"{key}.npz", "format": "scipy-npz"}
    if kinds.is_array(part) and part.dtype.kind != "O":
        import numpy as np

        np.save(folder / f"{key}.npy", part, allow_pickle=False)
        return {"file": f"{key}.npy", "format": "npy"}
    import pandas as pd

    frame = part if kinds.is_frame(part) else part.to_frame() if kinds.is_series(part) else pd.DataFrame(part)
    frame.to_csv(folder / f"{key}.csv", index=False)
    dtypes = {str(name): str(dtype) for name, dtype in zip(frame.columns, frame.dtypes, strict=True)}
    return {"file": f"{key}.csv", "format": "csv", "dtypes": dtypes}
