"""scikit-learn: `model.joblib`, or `model.skops` where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.pickles import dump_with
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.inference.signature import Signature

PACKAGE = "sklearn"
FILE = "model.joblib"
SKOPS_FILE = "model.skops"
FORMATS = ("joblib", "skops")


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
    """By joblib, uncompressed so that equal models have equal bytes and load by mapping; by value what the notebook defined.

    As `skops` where that is wanted: no code runs when it is loaded, and only types that skops trusts can be in it.
    """
    if wanted == "skops":
        return _save_skops(obj, folder)
    import joblib

    path = folder / FILE
    packages = ["scikit-learn", "joblib"]
    if dump_with(lambda: joblib.dump(obj, path), obj, path):
        packages.append("cloudpickle")
    return Saved("joblib", (FILE,), executable=True, packages=tuple(packages))


def _save_skops(obj: Any, folder: Path) -> Saved:
    try:
        from skops import io
    except ImportError as error:
        raise UnsupportedModel(
            f"Saving {type(obj).__name__} as skops needs the package skops, which is not installed here.",
            subject=type(obj).__name__,
            hint="Install it (`pip install skops`), or leave format away.",
        ) from error
    path = folder / SKOPS_FILE
    io.dump(obj, path)
    untrusted = io.get_untrusted_types(file=path)
    if untrusted:
        raise UnsupportedModel(
            f"{type(obj).__name__} holds types that skops does not trust: {', '.join(sorted(untrusted))}.",
            subject=type(obj).__name__,
            hint="The server would refuse them. Leave format away to save it by joblib, which runs the code of such types.",
        )
    return Saved("skops", (SKOPS_FILE,), executable=False, packages=("scikit-learn", "skops"))
