"""From a model artifact's files to the model: one module a format, and what a failed load is told as.

A loader is a function `load(folder, about) -> model`; `PRELOAD` are the modules whose import is most of a cold start.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from kale_serve_lab.errors import KaleServeError, ModelLoadFailed
from kale_serve_lab.model_server.spec import LaunchSpec

FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "lightgbm",
    "pytorch",
    "tensorflow",
    "onnx",
    "pmml",
    "mlflow",
    "python",
)


class Loader(Protocol):
    """A module of this package."""

    PRELOAD: tuple[str, ...]

    def load(self, folder: Path, about: dict[str, Any]) -> Any:
        """The model in `folder`; `about` is its kale.json. Raises whatever the framework raises."""


class WrongFile(Exception):  # noqa: N818 (never leaves this process: told as ModelLoadFailed)
    """The artifact's folder does not hold what its framework's saver writes."""


def loader(framework: str | None) -> Loader:
    """The framework's loader; raises `ModelLoadFailed` for one that this server does not know."""
    if framework not in FRAMEWORKS:
        raise ModelLoadFailed(
            f"The built-in model server cannot load {framework!r} models.",
            hint=f"It knows {', '.join(FRAMEWORKS)}.",
        )
    return cast("Loader", importlib.import_module(f"kale_serve_lab.model_server.loaders.{framework}"))


def load(spec: LaunchSpec) -> tuple[Any, dict[str, float]]:
    """The model and the seconds that import and load took."""
    module = loader(spec.framework)
    began = time.perf_counter()
    # Where it is missing, the loader says what for.
    with contextlib.suppress(ImportError):
        importlib.import_module(module.PRELOAD[0])
    imported = time.perf_counter()
    model = module.load(spec.artifact_dir, about(spec.artifact_dir))
    return model, {"import": imported - began, "load": time.perf_counter() - imported}


def about(folder: Path) -> dict[str, Any]:
    """The folder's kale.json; empty where there is none (a model that others have written)."""
    path = folder / "kale.json"
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise WrongFile(f"kale.json is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise WrongFile("kale.json is not an object")
    return value


def one_file(folder: Path, preferred: str, suffixes: tuple[str, ...]) -> Path:
    """The model's file: `preferred`, else the only one with a known suffix. Raises `WrongFile`."""
    if (folder / preferred).is_file():
        return folder / preferred
    if not folder.is_dir():
        raise WrongFile(f"the artifact's folder {folder} is not there")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in suffixes and path.is_file() and path.name != "kale.json"
    )
    if len(found) != 1:
        there = (
            ", ".join(path.name for path in found)
            or ", ".join(sorted(path.name for path in folder.iterdir())[:10])
            or "nothing"
        )
        raise WrongFile(f"one file *{' or *'.join(suffixes)} is expected, there is {there}")
    return found[0]


@contextlib.contextmanager
def needed(requirement: str, sentence: str) -> Iterator[None]:
    """Around the import of what a loader needs; raises `ModelLoadFailed` with the command that installs it."""
    import sys

    try:
        yield
    except ImportError as error:
        raise ModelLoadFailed(
            f"{sentence}, which {sys.executable} does not have ({error}).",
            hint=f"Install it there: {sys.executable} -m pip install '{requirement}'",
            details={"requirement": requirement, "package": requirement.partition("[")[0]},
        ) from error


def load_error(spec: LaunchSpec, error: BaseException) -> KaleServeError:
    """What the user reads when a load fails: the cause, and what to do."""
    import sys

    if isinstance(error, KaleServeError):
        error.subject = error.subject or spec.service
        return error
    what = f"{spec.class_name or spec.framework or spec.component}"
    details = {"exception": type(error).__name__, "python": sys.executable, "component": spec.component}
    if isinstance(error, ModuleNotFoundError) and error.name:
        package, inside, _ = error.name.partition(".")
        if inside and importlib.util.find_spec(package) is not None:
            return ModelLoadFailed(
                f"{spec.service}: loading {what} needs the module {error.name!r}, which the {package} that is installed does not have.",
                subject=spec.service,
                hint=f"It was saved with another version of {package}: serve it with that one, or save it again with this one.",
                details=details | {"package": package},
            )
        return ModelLoadFailed(
            f"{spec.service}: loading {what} needs the package {package!r}, which is not installed in {sys.executable}.",
            subject=spec.service,
            hint=f"Install it there ({sys.executable} -m pip install …), or put the code into the model's transformer or a package.",
            details=details | {"package": package},
        )
    if isinstance(error, WrongFile):
        return ModelLoadFailed(
            f"{spec.service}: the artifact is not a {spec.framework or spec.component} artifact: {error}.",
            subject=spec.service,
            hint="Submit the model again.",
            details=details,
        )
    # The process's own main module goes by the name that it was started with.
    if isinstance(error, AttributeError) and re.search(r"__main__|<module 'kale_serve_lab\.", str(error)):
        name = re.search(r"attribute '(\w+)'", str(error))
        return ModelLoadFailed(
            f"{spec.service}: {what} uses {name[1] if name else 'code'}, which was defined in the notebook or script itself.",
            subject=spec.service,
            hint="Move that function or class into a module that can be imported, and submit again.",
            details=details,
        )
    return ModelLoadFailed(
        f"{spec.service}: {what} could not be loaded: {type(error).__name__}: {error}",
        subject=spec.service,
        hint="The log has the traceback. Are the package versions those that the model was saved with?",
        details=details,
    )
