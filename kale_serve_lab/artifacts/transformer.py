"""What happens to a request before and after the model: two functions with their assets, or a class in a folder.

The files it is kept as are described in docs/interfaces.md, "Savers".
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import capture, pickles
from kale_serve_lab.artifacts.environment import environment
from kale_serve_lab.artifacts.functions import FUTURE, free_names, source_of
from kale_serve_lab.artifacts.submission import Submission, kebab, staging, write_about
from kale_serve_lab.errors import InvalidRequest, SaveFailed, UnsupportedModel

_NOT_KEPT = {"__pycache__", ".ipynb_checkpoints", ".git"}


class Transformer:
    """A transformer in one of two ways, which exclude each other.

    *Functional*: `preprocess(inputs: dict) -> dict` gets the whole request (`{"instances": […]}`), `postprocess` the whole
    answer; either may be left out. What they use from outside stands in `transformer_assets`, by name or as a list of the
    objects; everything else they import themselves. *Subclassing*: a module in `transformer_dir` with a class that extends
    `kserve.Model`; module and class are found where only one can be meant. `is_statefull` says that it keeps state
    between requests. `signature` is what the raw input looks like: a Signature or a sample of it.
    """

    TYPE = "kale.Transformer"

    def __init__(
        self,
        name: str | None = None,
        transformer_dir: str | os.PathLike[str] | None = None,
        module_name: str | None = None,
        class_name: str | None = None,
        preprocess: Callable[..., Any] | None = None,
        postprocess: Callable[..., Any] | None = None,
        transformer_assets: Mapping[str, Any] | Sequence[Any] | None = None,
        is_statefull: bool = False,  # noqa: FBT001, FBT002 (Kale's signature)
        *,
        description: str | None = None,
        version: str | None = None,
        author: str | None = None,
        tags: dict[str, str] | None = None,
        signature: Any = None,
    ) -> None:
        self.name = name
        self.transformer_dir = transformer_dir
        self.module_name = module_name
        self.class_name = class_name
        self.preprocess = preprocess
        self.postprocess = postprocess
        self.transformer_assets = transformer_assets
        self.is_statefull = is_statefull
        self.description = description
        self.version = version
        self.author = author
        self.tags = dict(tags or {})
        self.signature = signature
        self.id: int | None = None
        self.uri: str | None = None
        self.artifact: dict[str, Any] | None = None
        self._version_asked = version

    def submit_artifact(self) -> Transformer:
        """Check, store and record it; returns itself. The same transformer again is the same artifact.

        Raises `InvalidRequest` (both ways or none), `UnsupportedModel` (functions that use what the server will not have,
        a folder without the class), `SaveFailed`, `VersionExists`, `StoreFull`.
        """
        functional = self.preprocess is not None or self.postprocess is not None
        if functional == (self.transformer_dir is not None):
            raise InvalidRequest(
                "A Transformer has either a transformer_dir or functions (preprocess, postprocess)"
                f"{', not both' if functional else ''}.",
                subject=self.name,
            )
        assets = self._assets()
        functions = self._functions(assets) if functional else {}
        module, class_name = (None, None) if functional else self._class()
        signature = None if self.signature is None else capture.signature_from(self.signature)
        packages: list[str] = []
        with staging(f"The transformer {self.name or ''}".strip()) as folder:
            about: dict[str, Any] = {
                "assets": _write_assets(assets, folder),
                "stateful": bool(self.is_statefull),
            }
            if functional:
                about |= {"kind": "functional", **_write_functions(functions, folder)}
            else:
                _copy_folder(self._folder(), folder / "module")
                about |= {"kind": "subclass", "module_name": module, "class_name": class_name}
            if about.get("form") == "pickle" or any(
                pickles.needs_cloudpickle(folder / name) for name in about["assets"].values()
            ):
                packages.append("cloudpickle")
            write_about(folder, about)
            self.artifact = Submission(
                {
                    "type": self.TYPE,
                    "name": self.name or kebab(class_name or "transformer"),
                    "version": self._version_asked,
                    "description": self.description,
                    "author": self.author,
                    "tags": self.tags,
                    "artifact_uri": None,
                    "framework": None,
                    "class_name": class_name,
                    "signature": None if signature is None else signature.to_json(),
                    "environment": environment([*packages, *_distributions(assets)]),
                    "executable": True,
                    "properties": {
                        "kind": about["kind"],
                        "assets": ", ".join(sorted(assets)),
                        "functions": ", ".join(name for name in functions),
                    },
                    "inputs": [],
                }
            ).send(folder)
        self.signature = signature
        self.id, self.uri = self.artifact["id"], self.artifact["uri"]
        self.name, self.version = self.artifact["name"], self.artifact["version"]
        return self

    def _assets(self) -> dict[str, Any]:
        given = self.transformer_assets
        if given is None:
            return {}
        assets = dict(given) if isinstance(given, Mapping) else self._named(given)
        for name, value in assets.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise InvalidRequest(f"The asset name {name!r} is no variable's name.", subject=self.name)
            if isinstance(value, types.ModuleType):
                raise UnsupportedModel(
                    f"The asset {name!r} is a module.",
                    subject=name,
                    hint="Import it inside the function that uses it.",
                )
        return assets

    def _named(self, given: Sequence[Any]) -> dict[str, Any]:
        """A list's objects under the names by which the functions know them."""
        known: dict[str, Any] = {}
        for function in (self.preprocess, self.postprocess):
            known |= getattr(function, "__globals__", {})
        found = {}
        for item in [given] if isinstance(given, str) else given:
            if isinstance(item, str) and item in known:
                found[item] = known[item]
                continue
            name = next(
                (key for key, value in known.items() if value is item and not key.startswith("_")), None
            )
            if name is None:
                raise InvalidRequest(
                    f"An asset ({type(item).__name__}) has no name in the functions' module.",
                    subject=self.name,
                    hint='Give the assets as a dict: transformer_assets={"vectorizer": vectorizer}.',
                )
            found[name] = item
        return found

    def _functions(self, assets: Mapping[str, Any]) -> dict[str, types.FunctionType]:
        found: dict[str, types.FunctionType] = {}
        for role, function in (("preprocess", self.preprocess), ("postprocess", self.postprocess)):
            if function is None:
                continue
            if not isinstance(function, types.FunctionType):
                raise UnsupportedModel(
                    f"{role} is a {type(function).__name__}, not a function.",
                    subject=self.name,
                    hint="Write it with def; what it needs from an object belongs into transformer_assets.",
                )
            found[role] = function
        own = {function.__name__ for function in found.values()}
        for role, function in found.items():
            free = sorted(free_names(function) - set(assets) - own)
            if free:
                raise UnsupportedModel(
                    f"{role} ({function.__name__}) uses {', '.join(free)}, which the model server will not have.",
                    subject=self.name or function.__name__,
                    hint="Import modules and define helpers inside the function, and give objects as "
                    f"transformer_assets={{{', '.join(f'{name!r}: {name}' for name in free)}}}.",
                    details={"names": free},
                )
        return found

    def _folder(self) -> Path:
        folder = Path(os.fspath(self.transformer_dir or ".")).expanduser().absolute()
        if not folder.is_dir():
            raise InvalidRequest(f"The transformer_dir {folder} is not a folder.", subject=str(folder))
        return folder

    def _class(self) -> tuple[str, str]:
        """Module and class by reading the sources: nothing of the folder runs here."""
        folder = self._folder()
        if self.module_name is not None:
            name = self.module_name.removesuffix(".py")
            base = folder.joinpath(*name.split("."))
            path = next(
                (p for p in (base.with_name(base.name + ".py"), base / "__init__.py") if p.is_file()), None
            )
            if path is None:
                raise InvalidRequest(f"There is no module {name} in {folder}.", subject=name)
            modules = {name: path}
        else:
            modules = {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem.isidentifier()}
        found = [(name, cls) for name, path in modules.items() for cls in _classes(path, self.class_name)]
        if len(found) == 1:
            return found[0]
        wanted = f"class {self.class_name}" if self.class_name else "class that extends kserve.Model"
        if not found:
            raise UnsupportedModel(
                f"There is no {wanted} in {', '.join(modules) or 'any module'} of {folder}.",
                subject=str(folder),
                hint="It overrides preprocess or postprocess; name it by module_name and class_name.",
            )
        raise UnsupportedModel(
            f"There is more than one {wanted} in {folder}: {', '.join('.'.join(pair) for pair in found)}.",
            subject=str(folder),
            hint="Say which by module_name and class_name.",
        )

    def __repr__(self) -> str:
        return f"Transformer(name={self.name!r}, version={self.version!r}, id={self.id})"


def _classes(path: Path, wanted: str | None) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UnsupportedModel(
            f"{path.name}, line {error.lineno}, is not Python: {error.msg}.",
            subject=str(path),
        ) from error
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    if wanted is not None:
        return [node.name for node in classes if node.name == wanted]
    return [
        node.name
        for node in classes
        if any(
            re.fullmatch(r"(kserve\.|kfserving\.)?(\w+\.)?(Model|KFModel)", ast.unparse(base))
            for base in node.bases
        )
    ]


def _write_functions(functions: Mapping[str, types.FunctionType], folder: Path) -> dict[str, Any]:
    names: dict[str, Any] = {
        role: functions[role].__name__ if role in functions else None
        for role in ("preprocess", "postprocess")
    }
    sources = {role: source_of(function) for role, function in functions.items()}
    known = [source for source in sources.values() if source is not None]
    # Two functions of one name cannot both stand in one module.
    if len(known) == len(functions) and len({function.__name__ for function in functions.values()}) == len(
        {id(function) for function in functions.values()}
    ):
        (folder / "functions.py").write_text(FUTURE + "\n\n" + "\n\n".join(dict.fromkeys(known)))
        return {"form": "source", **names}
    by_value = {
        role: None if name is None else _without_globals(functions[role]) for role, name in names.items()
    }
    pickles.dump_by_value(by_value, folder / "functions.pkl")
    return {"form": "pickle", **names}


def _without_globals(function: types.FunctionType) -> types.FunctionType:
    """As if it were the notebook's, so that it is stored by value, and without what the notebook holds beside it."""
    copy = types.FunctionType(
        function.__code__,
        {"__builtins__": __builtins__, "__name__": "__main__"},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = "__main__"
    return copy


def _write_assets(assets: Mapping[str, Any], folder: Path) -> dict[str, str]:
    files = {}
    if assets:
        (folder / "assets").mkdir()
    for name, value in assets.items():
        files[name] = f"assets/{name}.pkl"
        try:
            pickles.dump(value, folder / files[name])
        except SaveFailed:
            raise
        except OSError:
            raise
        except Exception as error:
            raise SaveFailed(
                f"The asset {name!r} ({type(value).__name__}) could not be saved: {type(error).__name__}: {error}",
                subject=name,
                hint="It must be possible to pickle it: no open files, locks, connections or generators.",
            ) from error
    return files


def _distributions(assets: Mapping[str, Any]) -> list[str]:
    top = {type(value).__module__.partition(".")[0] for value in assets.values()}
    return ["scikit-learn" if name == "sklearn" else name for name in sorted(top - {"builtins", "__main__"})]


def _copy_folder(source: Path, target: Path) -> None:
    """Files and folders only: a link could lead anywhere, and reading a pipe would never end."""
    target.mkdir()
    for entry in sorted(os.scandir(source), key=lambda found: found.name):
        if entry.name in _NOT_KEPT:
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _copy_folder(Path(entry.path), target / entry.name)
        elif stat.S_ISREG(mode):
            shutil.copyfile(entry.path, target / entry.name, follow_symlinks=False)
        else:
            raise SaveFailed(
                f"{entry.path} is neither a file nor a folder.",
                subject=entry.path,
                hint="Replace links by what they point to, and leave pipes and devices out of transformer_dir.",
            )
