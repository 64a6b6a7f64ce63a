"""From a transformer artifact's files to the user's `preprocess` and `postprocess`. Runs their code: the main thread's work."""

from __future__ import annotations

import importlib
import inspect
import linecache
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import kserve_stand_in, loaders
from kale_serve_lab.model_server.loaders import WrongFile
from kale_serve_lab.model_server.spec import LaunchSpec

Step = Callable[..., Any]


@dataclass(frozen=True)
class TransformerCode:
    """What the artifact holds. `model` is the instance of the subclassing way, None of the functional way."""

    preprocess: Step | None
    postprocess: Step | None
    model: Any = None


def load(spec: LaunchSpec) -> TransformerCode:
    """Raises `WrongFile`, and whatever the user's code raises."""
    folder = spec.artifact_dir
    about = loaders.about(folder)
    assets = {name: _asset(folder, path) for name, path in dict(about.get("assets") or {}).items()}
    if about.get("kind") == "subclass":
        return _subclass(spec, about, assets)
    if about.get("kind") != "functional":
        raise WrongFile(f"kale.json says kind {about.get('kind')!r}, not subclass or functional")
    if about.get("form") == "source":
        functions = _from_source(folder / "functions.py", about, assets)
    else:
        functions = _from_pickle(folder / "functions.pkl", assets)
    return TransformerCode(functions.get("preprocess"), functions.get("postprocess"))


def _asset(folder: Path, relative: str) -> Any:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise WrongFile(f"the asset {relative} lies outside of the artifact")
    with path.open("rb") as file:
        return pickle.load(file)


def _from_source(path: Path, about: dict[str, Any], assets: dict[str, Any]) -> dict[str, Step]:
    if not path.is_file():
        raise WrongFile("functions.py is not there")
    source = path.read_text("utf-8")
    module = types.ModuleType("kale_transformer")
    module.__file__ = str(path)
    vars(module).update(assets)
    sys.modules[module.__name__] = module
    linecache.checkcache(str(path))
    exec(compile(source, str(path), "exec"), vars(module))  # noqa: S102 (the user's own code, in its own process)
    found = {}
    for role in ("preprocess", "postprocess"):
        name = about.get(role)
        if name is not None:
            if not callable(getattr(module, name, None)):
                raise WrongFile(f"functions.py defines no function {name!r}")
            found[role] = getattr(module, name)
    return found


def _from_pickle(path: Path, assets: dict[str, Any]) -> dict[str, Step]:
    if not path.is_file():
        raise WrongFile("functions.pkl is not there")
    with path.open("rb") as file:
        found = pickle.load(file)
    if not isinstance(found, dict):
        raise WrongFile("functions.pkl holds no functions")
    functions = {role: function for role, function in found.items() if function is not None}
    for function in functions.values():
        getattr(inspect.unwrap(function), "__globals__", {}).update(assets)
    return functions


def _subclass(spec: LaunchSpec, about: dict[str, Any], assets: dict[str, Any]) -> TransformerCode:
    folder = spec.artifact_dir / "module"
    sys.path.insert(0, str(folder))
    kserve_stand_in.install()
    # What the module parses from the command line at import is the server's own otherwise.
    sys.argv = [str(folder), "--model_name", spec.model_name, "--predictor_host", _predictor_host(spec)]
    module = importlib.import_module(str(about.get("module_name")))
    vars(module).update(assets)
    cls = getattr(module, str(about.get("class_name")), None)
    if not isinstance(cls, type):
        raise WrongFile(f"the module {about.get('module_name')!r} has no class {about.get('class_name')!r}")
    model = _make(cls, spec)
    base = sys.modules["kserve"].Model if "kserve" in sys.modules else kserve_stand_in.Model
    if getattr(cls, "load", None) not in (None, getattr(base, "load", None)):
        model.load()
    return TransformerCode(getattr(model, "preprocess", None), getattr(model, "postprocess", None), model)


def _make(cls: type, spec: LaunchSpec) -> Any:
    offered = {"predictor_host": _predictor_host(spec), "protocol": spec.protocol}
    parameters = inspect.signature(cls).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        offered = {name: value for name, value in offered.items() if name in parameters}
    return cls(spec.model_name, **offered)


def _predictor_host(spec: LaunchSpec) -> str:
    if spec.predictor is not None:
        return spec.predictor.named
    # A name as on a cluster. It leads nowhere from here: predictions go to the predictor's Unix socket.
    return f"{spec.model_name}-predictor.{spec.namespace}"
