"""MLflow: a directory with `MLmodel`, taken as it is. There is no class of its own to save: the folder is what is submitted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import capture
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.errors import InvalidSignature, UnsupportedModel
from kale_serve_lab.inference.signature import Signature

PACKAGE = "mlflow"
FILE = "MLmodel"
FORMATS = ("mlflow",)

_MOST_BYTES = 16 << 20


def matches(obj: Any) -> bool:  # noqa: ARG001
    """No object: `Model(path)` or `Model(artifact_uri=path)` gives the folder."""
    return False


def problem(obj: Any) -> str | None:  # noqa: ARG001
    """None that an object could have."""
    return None


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """Raises `UnsupportedModel`."""
    raise UnsupportedModel(
        f"{type(obj).__name__} is no MLflow model directory.",
        subject=type(obj).__name__,
        hint="Save it with mlflow first and give the folder with MLmodel, or leave model_type away.",
    )


def about(folder: Path) -> dict[str, Any]:
    """What MLmodel says. Raises `UnsupportedModel` where it cannot be read, or PyYAML is missing."""
    path = folder / FILE
    try:
        import yaml
    except ImportError as error:
        raise UnsupportedModel(
            f"Reading {path} needs the package PyYAML, which is not installed here.",
            subject=str(path),
            hint="Install it (`pip install pyyaml`), or give a signature.",
        ) from error
    try:
        found = yaml.safe_load(path.read_bytes()[:_MOST_BYTES])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UnsupportedModel(f"{path} is no MLmodel file: {error}", subject=str(path)) from error
    if not isinstance(found, dict) or "flavors" not in found:
        raise UnsupportedModel(
            f"{path} is no MLmodel file: it names no flavors.",
            subject=str(path),
            hint="A folder that mlflow has saved has one.",
        )
    if "python_function" not in found["flavors"]:
        raise UnsupportedModel(
            f"The MLflow model at {folder} cannot predict from Python: its flavors are {', '.join(map(str, found['flavors']))}.",
            subject=str(folder),
            hint="Save it with a flavor that has python_function.",
        )
    return found


def packages_of(folder: Path) -> dict[str, str]:
    """What the requirements.txt beside it pins: the versions that the model was saved with."""
    try:
        lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = (re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?==([\w.!+-]+)", line.strip()) for line in lines)
    return {pinned[1]: pinned[2] for pinned in found if pinned is not None}


def signature_of(folder: Path, known: Mapping[str, Any]) -> Signature | None:
    """The signature in MLmodel with the rows of the saved example; None where there is none that can be served."""
    given = known.get("signature")
    if not isinstance(given, dict) or not given.get("inputs"):
        return None
    try:
        found = capture.signature_from(_Signature(given))
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return None
    rows = _example(folder, known, found)
    return Signature(
        layout=found.layout,
        named=found.named,
        inputs=found.inputs,
        outputs=found.outputs,
        input_example=rows,
        source=None
        if rows is None
        else f"{len(rows)} row{'s' if len(rows) != 1 else ''} of MLflow's example",
    )


class _Signature:
    """MLmodel's signature in the shape of MLflow's own object."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.inputs = _Schema(given.get("inputs"))
        self.outputs = _Schema(given.get("outputs"))


class _Schema:
    def __init__(self, text: Any) -> None:
        found = json.loads(text) if isinstance(text, str) else text
        self._entries = found if isinstance(found, list) else []

    def to_dict(self) -> list[dict[str, Any]]:
        """As mlflow.types.Schema has it."""
        return self._entries


def _example(folder: Path, known: Mapping[str, Any], signature: Signature) -> list[Any] | None:
    """The first rows of the saved example: pandas' split form, or a nested list."""
    said = known.get("saved_input_example_info")
    name = said.get("artifact_path") if isinstance(said, dict) else None
    if not isinstance(name, str) or Path(name).name != name:
        return None
    try:
        # Not through a link: what is read here is shown to others.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (of a descriptor)
            content = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(content, dict) and "data" in content:
        columns, rows = content.get("columns"), content["data"]
        names = [spec.name for spec in signature.inputs]
        if signature.layout == "columns" and isinstance(columns, list) and signature.named:
            if not set(names) <= set(map(str, columns)):
                return None
            order = [list(map(str, columns)).index(one) for one in names]
            rows = [[row[at] for at in order] for row in rows]
    elif isinstance(content, dict) and isinstance(content.get("inputs"), list):
        rows = content["inputs"]
    else:
        rows = content
    return rows[: capture.SAMPLE_ROWS] if isinstance(rows, list) and rows else None
