"""XGBoost: `model.ubj`, its own format that runs no code when loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.inference.signature import Signature

PACKAGE = "xgboost"
FILE = "model.ubj"
FORMATS = ("ubj",)


def matches(obj: Any) -> bool:
    """Boosters and the scikit-learn classes."""
    return savers.derives_from(obj, PACKAGE, "Booster") or savers.derives_from(obj, PACKAGE, "XGBModel")


def problem(obj: Any) -> str | None:
    """Not fitted."""
    if savers.derives_from(obj, PACKAGE, "XGBModel"):
        return None if obj.__sklearn_is_fitted__() else "is not fitted yet"
    from xgboost.core import XGBoostError

    try:
        rounds = obj.num_boosted_rounds()
    except XGBoostError:  # one that has never seen data
        rounds = 0
    return None if rounds else "has no boosted rounds yet"


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """Needs no code of the user's."""
    obj.save_model(folder / FILE)
    packages = ("xgboost", "scikit-learn") if savers.derives_from(obj, PACKAGE, "XGBModel") else ("xgboost",)
    return Saved("ubj", (FILE,), executable=False, packages=packages)


def methods(obj: Any) -> dict[str, Callable[[Any], Any]]:
    """A booster wants its own matrix."""
    if not savers.derives_from(obj, PACKAGE, "Booster"):
        return {
            name: getattr(obj, name)
            for name in ("predict", "predict_proba")
            if callable(getattr(obj, name, None))
        }

    def predict(rows: Any) -> Any:
        import xgboost

        # An array has no names; a booster that was trained with some refuses it without them.
        names = None if hasattr(rows, "columns") else obj.feature_names
        return obj.predict(xgboost.DMatrix(rows, feature_names=names, enable_categorical=True))

    return {"predict": predict}
