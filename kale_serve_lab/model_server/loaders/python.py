"""Python: `model.pkl`, a function or an object with `predict`. Executable on load, and so loaded in this process only."""

from __future__ import annotations

import pickle
import types
from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import loaders

PRELOAD = ("cloudpickle", "numpy")


def load(folder: Path, about: dict[str, Any]) -> Any:  # noqa: ARG001
    """The object; a function is what predicts."""
    path = loaders.one_file(folder, "model.pkl", (".pkl", ".pickle"))
    with path.open("rb") as file:
        found = pickle.load(file)
    return Function(found) if type(found) is types.FunctionType else found


class Function:
    """A function in the place of a model."""

    def __init__(self, function: types.FunctionType) -> None:
        self.predict = function
