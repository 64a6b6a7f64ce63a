"""scikit-learn: `model.joblib`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.pickles import dump_by_value, refers_to_main
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.inference.signature import Signature

PACKAGE = "sklearn"
FILE = "model.joblib"
FORMATS = ("joblib",)


def matches(obj: Any) -> bool:
    """Any estimator, also one of the user's own class, and a pipeline whatever its steps are."""
    return savers.derives_from(obj, PACKAGE, "BaseEstimator")


def problem(obj: Any) -> str | None:
    """Not fitted, or without `predict`."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(obj)
    except NotFittedError:
        return "is not fitted yet"
    except TypeError as error:
        return f"cannot be asked whether it is fitted ({error})"
    return None if hasattr(obj, "predict") else "has no predict method"


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """By joblib, uncompressed so that equal models have equal bytes and load by mapping; by value what the notebook defined."""
    import joblib

    path = folder / FILE
    joblib.dump(obj, path)
    packages = ["scikit-learn", "joblib"]
    if refers_to_main(path):
        dump_by_value(obj, path)
        packages.append("cloudpickle")
    return Saved("joblib", (FILE,), executable=True, packages=tuple(packages))
