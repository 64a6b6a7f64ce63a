"""XGBoost: `model.ubj`, restored as the scikit-learn class it was, else as a Booster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import loaders

PRELOAD = ("xgboost", "sklearn", "pandas")

_BY_TYPE = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}


def load(folder: Path, about: dict[str, Any]) -> Any:
    """An `XGBModel` with its attributes, or a `Booster`."""
    path = loaders.one_file(folder, "model.ubj", (".ubj", ".json", ".bst"))
    import xgboost

    name = about.get("class_name")
    cls = getattr(xgboost, name, None) if isinstance(name, str) else None
    if cls is None or not str(getattr(cls, "__module__", "")).startswith("xgboost"):
        # A class that the user derived: what it derived from predicts the same.
        cls = getattr(xgboost, _BY_TYPE.get(str(about.get("estimator_type")), "Booster"))
    model = cls()
    model.load_model(path)
    return BoosterModel(model) if cls is xgboost.Booster else model


class BoosterModel:
    """A `Booster` that takes what an estimator takes."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster

    def predict(self, rows: Any) -> Any:
        """`Booster.predict` on the rows' `DMatrix`."""
        import xgboost

        # An array has no names; a booster that was trained with some refuses it without them.
        names = None if hasattr(rows, "columns") else self.booster.feature_names
        return self.booster.predict(xgboost.DMatrix(rows, feature_names=names, enable_categorical=True))
