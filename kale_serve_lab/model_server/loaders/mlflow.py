"""MLflow: a directory with `MLmodel`, loaded by mlflow.pyfunc as it would be anywhere. Executable on load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.loaders import WrongFile

PRELOAD = ("mlflow.pyfunc", "pandas")


def load(folder: Path, about: dict[str, Any]) -> Any:  # noqa: ARG001
    """A PyFuncModel in our clothes. Raises `ModelLoadFailed` without mlflow."""
    if not (folder / "MLmodel").is_file():
        raise WrongFile("there is no MLmodel in it")
    with loaders.needed("mlflow", "MLflow models are loaded by the package mlflow"):
        from mlflow import pyfunc
    return MLflowModel(pyfunc.load_model(str(folder)))


class MLflowModel:
    """Several named outputs come as a frame or a dict, each a column or an array."""

    def __init__(self, model: Any) -> None:
        self._model = model
        schema = model.metadata.get_output_schema()
        names = schema.input_names() if schema is not None and schema.has_input_names() else []
        self.outputs: tuple[str, ...] = tuple(map(str, names)) if len(names) > 1 else ()

    def predict(self, rows: Any) -> Any:
        """`PyFuncModel.predict`."""
        import numpy as np

        found = self._model.predict(rows)
        if self.outputs:
            return {name: np.asarray(found[name]) for name in self.outputs}
        if isinstance(found, dict):
            if len(found) == 1:
                return np.asarray(next(iter(found.values())))
            return {str(name): np.asarray(part) for name, part in found.items()}
        if hasattr(found, "to_numpy"):
            array = found.to_numpy()
            return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        return np.asarray(found)
