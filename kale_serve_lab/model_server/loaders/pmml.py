"""PMML: `model.pmml`, evaluated by jpmml-evaluator in a Java virtual machine within this process. Runs no code when loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server import loaders

PRELOAD = ("jpmml_evaluator", "pandas")

_PROBABILITY = "probability("


def load(folder: Path, about: dict[str, Any]) -> Any:
    """A model with `predict`, and `predict_proba` where the file has a probability for each class.

    Raises `ModelLoadFailed` without jpmml-evaluator or Java.
    """
    path = loaders.one_file(folder, "model.pmml", (".pmml", ".xml"))
    with loaders.needed(
        "jpmml-evaluator[jpype]", "PMML models are evaluated by the package jpmml-evaluator and Java"
    ):
        import jpmml_evaluator
        import jpype
    if not jpype.isJVMStarted():
        try:
            # -Xrs: signals are this process's own, and SIGTERM an orderly end.
            jpype.startJVM("-Xrs", classpath=jpmml_evaluator._classpath([]))  # noqa: SLF001
        except jpype.JVMNotFoundException as error:
            raise ModelLoadFailed(
                "PMML models are evaluated by Java, which is not on this machine.",
                hint="Install a Java runtime (11 or newer), or set JAVA_HOME to where one is.",
            ) from error
    evaluator = jpmml_evaluator.make_evaluator(path)
    outputs = [field.getName() for field in evaluator.getOutputFields()]
    probabilities = [name for name in outputs if name.startswith(_PROBABILITY) and name.endswith(")")]
    return PmmlClassifier(evaluator, about, probabilities) if probabilities else PmmlModel(evaluator, about)


class PmmlModel:
    """Takes a table with the file's input fields by name, or an array with one column for each."""

    def __init__(self, evaluator: Any, about: dict[str, Any]) -> None:
        self._evaluator = evaluator
        fields = [field.getName() for field in evaluator.getInputFields()]
        targets = [field.getName() for field in evaluator.getTargetFields()]
        outputs = [field.getName() for field in evaluator.getOutputFields()]
        # A clustering has no target, only outputs.
        self._target = targets[0] if targets else outputs[0]
        self._fields = fields
        self._columns = _columns(fields, about.get("n_features"))

    def predict(self, rows: Any) -> NDArray[Any]:
        """The target's value of each row."""
        return np.asarray(self._evaluated(rows)[self._target].tolist())

    def _evaluated(self, rows: Any) -> Any:
        import pandas as pd

        if not hasattr(rows, "columns"):
            array = np.asarray(rows)
            if array.ndim != 2 or array.shape[1] != len(self._columns):
                raise ValueError(f"the model takes {len(self._columns)} columns: {', '.join(self._columns)}")
            rows = pd.DataFrame(array, columns=self._columns)
        found, errors = self._evaluator.evaluateAll(rows[self._fields], error_col=None)
        if errors is not None and errors.notna().any():
            raise ValueError(str(errors[errors.notna()].iloc[0]))
        return found


class PmmlClassifier(PmmlModel):
    """Whose file also has the probabilities."""

    def __init__(self, evaluator: Any, about: dict[str, Any], probabilities: list[str]) -> None:
        super().__init__(evaluator, about)
        self._probabilities = probabilities

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """[rows, classes], in the order of the file."""
        return np.asarray(self._evaluated(rows)[self._probabilities].to_numpy(dtype="float64"))


def _columns(fields: list[str], count: Any) -> list[str]:
    """An array's columns. A field that the model does not use is not in the file, and it lists the others in any order."""
    numbers = [int(name[1:]) for name in fields if name[:1] == "x" and name[1:].isdigit()]
    if len(numbers) != len(fields) or not fields:
        return fields
    # Ours begin with x0, sklearn2pmml's own with x1.
    first = 0 if 0 in numbers or isinstance(count, int) else 1
    last = first + count if isinstance(count, int) else max(numbers) + 1
    return [f"x{number}" for number in range(first, last)]
