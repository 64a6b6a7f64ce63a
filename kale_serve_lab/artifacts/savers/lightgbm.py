"""LightGBM: `model.bst`, its text format under the suffix that KServe's server wants; runs no code when loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.inference.signature import Signature

PACKAGE = "lightgbm"
FILE = "model.bst"
FORMATS = ("bst",)


def matches(obj: Any) -> bool:
    """Boosters and the scikit-learn classes."""
    return savers.derives_from(obj, PACKAGE, "Booster") or savers.derives_from(obj, PACKAGE, "LGBMModel")


def problem(obj: Any) -> str | None:
    """Not fitted."""
    if savers.derives_from(obj, PACKAGE, "LGBMModel"):
        return None if obj.__sklearn_is_fitted__() else "is not fitted yet"
    return None if obj.num_trees() else "has no trees yet"


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """The scikit-learn class's labels lie in kale.json beside it: the text format has no place for them."""
    wrapped = savers.derives_from(obj, PACKAGE, "LGBMModel")
    booster = obj.booster_ if wrapped else obj
    booster.save_model(folder / FILE)
    return Saved(
        "bst", (FILE,), executable=False, packages=("lightgbm", "scikit-learn") if wrapped else ("lightgbm",)
    )
