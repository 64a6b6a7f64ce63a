"""PMML: `model.pmml`, written from a scikit-learn estimator by sklearn2pmml, which needs Java. Runs no code when loaded."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import features
from kale_serve_lab.artifacts.savers import Saved, sklearn
from kale_serve_lab.errors import SaveFailed, UnsupportedModel
from kale_serve_lab.inference.signature import Signature

PACKAGE = "sklearn"
FILE = "model.pmml"
FORMATS = ("pmml",)

# Two conversions of one model would differ by it.
_TIMESTAMP = re.compile(rb"\s*<Timestamp>[^<]*</Timestamp>")
_CAUSE = re.compile(r"^[\w.$]+(?:Exception|Error): (?P<said>.+)$", re.MULTILINE)
_SOLUTION = re.compile(r"^Solution:\s*(?P<said>.+)$", re.MULTILINE)


def matches(obj: Any) -> bool:
    """Any scikit-learn estimator; only where PMML is asked for."""
    return sklearn.matches(obj)


def problem(obj: Any) -> str | None:
    """As for scikit-learn."""
    return sklearn.problem(obj)


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """By the columns' names that the model was fitted with, else x0, x1 and so on.

    Raises `UnsupportedModel` where sklearn2pmml or Java is missing, `SaveFailed` where it cannot convert the model.
    """
    class_name = type(obj).__name__
    missing = [] if shutil.which("java") else ["Java (a `java` on PATH)"]
    try:
        import sklearn2pmml
    except ImportError:
        missing.insert(0, "the package sklearn2pmml (`pip install sklearn2pmml`)")
    if missing:
        raise UnsupportedModel(
            f"Saving {class_name} as PMML needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not here.",
            subject=class_name,
            hint="Install what is missing, or leave model_type away to save it by joblib.",
        )
    said = io.StringIO()
    path = folder / FILE
    count, names = features.expected(obj)
    given = obj
    if names is None and count is not None:
        given = sklearn2pmml.make_pmml_pipeline(obj, active_fields=[f"x{index}" for index in range(count)])
    try:
        with contextlib.redirect_stdout(said):
            sklearn2pmml.sklearn2pmml(given, str(path))
    except RuntimeError as error:
        cause, solution = _CAUSE.search(said.getvalue()), _SOLUTION.search(said.getvalue())
        raise SaveFailed(
            f"{class_name} could not be converted to PMML: {cause['said'] if cause else error}",
            subject=class_name,
            hint=f"sklearn2pmml says: {solution['said'].strip()}."
            if solution
            else "Leave model_type away to save it by joblib.",
            details={"log_tail": said.getvalue().splitlines()[-30:]},
        ) from error
    path.write_bytes(_TIMESTAMP.sub(b"", path.read_bytes(), count=1))
    return Saved(
        "pmml", (FILE,), executable=False, packages=("sklearn2pmml", "scikit-learn", "jpmml-evaluator")
    )
