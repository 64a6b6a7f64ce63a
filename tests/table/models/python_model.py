from __future__ import annotations

import numpy as np
from reference import submit


class Scorer:
    """Nobody's framework: an object that predicts."""

    def __init__(self) -> None:
        self.weights = np.array([0.5, -1.0, 2.0, 0.25])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows) @ self.weights


model = Scorer()
rows = np.random.default_rng(0).random((5, 4))
submit(model, rows, model.predict(rows), name="table-python")
