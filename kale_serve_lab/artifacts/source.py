"""Whose code an object is made of: the user's own, which no server has, and the packages that this imports.

Own is what a fresh interpreter could not import: the notebook or script itself, and modules beside it that were found because
of the working directory or of a changed `sys.path`.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import linecache
import os
import site
import sys
import sysconfig
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts.savers import module_of

# A walk through the notebook's functions ends; what refers to more is not read by anybody.
_MOST = 2000
_NESTED = 4


@dataclass
class Code:
    """`files`: the user's own source by file name; `packages`: the top-level modules of others that it uses."""

    files: dict[str, str] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)


def code_of(obj: Any) -> Code:
    """What a function, or an object's classes, are made of."""
    walk = _Walk()
    walk.run(obj)
    return walk.code


def write(code: Code, folder: Path) -> tuple[str, ...]:
    """Writes the files below `source/`, to be read by people; returns their names."""
    for name, text in code.files.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tuple(f"source/{name}" for name in sorted(code.files))


def packages_of(obj: Any) -> set[str]:
    """The top-level modules of all classes in the object: its MRO, its attributes, the steps and lists within them."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [(obj, 0)]
    while waiting and len(seen) < _MOST:
        item, depth = waiting.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | None):
            continue
        seen.add(id(item))
        classes = item.__mro__ if isinstance(item, type) else type(item).__mro__
        found |= {module_of(cls).partition(".")[0] for cls in classes}
        if depth < _NESTED:
            waiting += [(part, depth + 1) for part in _parts(item)]
    return {name for name in found if name and not is_own(name)} - _STANDARD


def own_modules() -> list[types.ModuleType]:
    """The loaded top-level modules that are the user's own, without the notebook itself."""
    return [
        module
        for name, module in list(sys.modules.items())
        if "." not in name and name != "__main__" and isinstance(module, types.ModuleType) and is_own(name)
    ]


def is_own(name: str) -> bool:
    """Whether a module is the user's own: one that a fresh interpreter would not find."""
    if name == "__main__":
        return True
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if not isinstance(origin, str):
        folders = list(getattr(module, "__path__", ()))
        if not folders:
            return False
        origin = os.path.join(folders[0], "__init__.py")  # noqa: PTH118 (the hot path of a walk over all modules)
    # The folder that had to be on the path: as many levels up as the name has parts.
    parts = name.count(".") + 1 + (os.path.basename(origin).startswith("__init__."))  # noqa: PTH119
    base = origin
    for _ in range(parts):
        base = os.path.dirname(base)  # noqa: PTH120
    return not _is_found(base) and name.partition(".")[0] not in _editable()


def _is_found(folder: str) -> bool:
    return folder in found_anywhere() or os.path.realpath(folder) in found_anywhere()


def found_anywhere() -> frozenset[str]:
    """The folders that every interpreter of this environment has on its path."""
    return _paths(os.environ.get("PYTHONPATH", ""))


@cache
def _paths(variable: str) -> frozenset[str]:
    paths = sysconfig.get_paths()
    standard = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    sites = [*site.getsitepackages(), paths["purelib"], paths["platlib"]]
    if site.ENABLE_USER_SITE:
        sites.append(site.getusersitepackages())
    given = [part for part in variable.split(os.pathsep) if part]
    lines = [line for folder in dict.fromkeys(sites) for line in _pth_lines(Path(folder))]
    every = [*standard, *(f"{path}/lib-dynload" for path in standard), *sites, *given, *lines]
    return frozenset(os.path.realpath(path) for path in every)


def _pth_lines(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob("*.pth")):
            for line in path.read_text("utf-8", errors="replace").splitlines():
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield str(folder / line.strip())


def _editable() -> set[str]:
    """What setuptools' finders of editable installs know."""
    return {
        name
        for key, module in list(sys.modules.items())
        if key.startswith("__editable__")
        for name in getattr(module, "MAPPING", ())
    }


_STANDARD = frozenset(sys.stdlib_module_names) | set(sys.builtin_module_names)


def _parts(item: Any) -> list[Any]:
    """Attributes and members; no property and no iterator of the user's is run."""
    if type(item) in (list, tuple, set, frozenset):
        return list(item)[:_MOST]
    if type(item) is dict:
        return list(item.values())[:_MOST]
    try:
        held = object.__getattribute__(item, "__dict__")
    except AttributeError:
        return []
    return list(held.values())[:_MOST] if type(held) is dict else []


class _Walk:
    def __init__(self) -> None:
        self.code = Code()
        self._seen: set[int] = set()
        self._waiting: list[Any] = []

    def run(self, obj: Any) -> None:
        self._waiting = [obj]
        if not isinstance(obj, type | types.FunctionType | types.ModuleType):
            self._waiting += _parts(obj)
        while self._waiting and len(self._seen) < _MOST:
            item = self._waiting.pop()
            if id(item) in self._seen:
                continue
            self._seen.add(id(item))
            if isinstance(item, types.MethodType):
                self._waiting += [item.__func__, item.__self__]
            elif isinstance(item, types.ModuleType):
                self._module(item)
            elif isinstance(item, type):
                self._class(item)
            elif isinstance(item, types.FunctionType):
                self._function(item)
            else:
                self._waiting.append(type(item))

    def _module(self, module: types.ModuleType) -> None:
        name = module.__name__
        if not is_own(name):
            self._package(name)
            return
        source = self._file_of(name)
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(source or "")):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        self._imported(alias.name)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    self._imported(node.module)

    def _class(self, cls: type) -> None:
        for base in cls.__mro__:
            name = module_of(base)
            if not is_own(name):
                self._package(name)
                continue
            self._source_of(base, name)
            for value in list(type.__dict__["__dict__"].__get__(base).values()):
                inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
                if isinstance(inner, types.FunctionType):
                    self._waiting.append(inner)

    def _function(self, function: types.FunctionType) -> None:
        name = function.__module__ or "__main__"
        if not is_own(name):
            self._package(name)
            return
        self._source_of(function, name)
        for code in _codes(function.__code__):
            for instruction in dis.get_instructions(code):
                if instruction.opname == "IMPORT_NAME":
                    self._imported(str(instruction.argval))
                elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    value = function.__globals__.get(str(instruction.argval))
                    if value is not None:
                        self._waiting.append(value)
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):
                self._waiting.append(cell.cell_contents)

    def _imported(self, name: str) -> None:
        module = sys.modules.get(name)
        if module is not None and is_own(name):
            self._waiting.append(module)
        else:
            self._package(name)

    def _package(self, name: str) -> None:
        top = name.partition(".")[0]
        if top and top not in _STANDARD:
            self.code.packages.add(top)

    def _source_of(self, obj: Any, name: str) -> None:
        if name != "__main__":
            self._module(sys.modules[name])
            return
        text = _definition(obj)
        held = self.code.files.get("notebook.py", "")
        if text is not None and text not in held:
            self.code.files["notebook.py"] = f"{held}\n\n{text}" if held else text

    def _file_of(self, name: str) -> str | None:
        module = sys.modules[name]
        path = Path(getattr(module, "__file__", None) or "")
        inside = name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        if inside in self.code.files:
            return None
        try:
            text = path.read_text("utf-8")
        except (OSError, ValueError):
            return None
        self.code.files[inside] = text
        return text


def _definition(obj: Any) -> str | None:
    """The `def` or `class` of something that a cell or the script defined."""
    function = obj if isinstance(obj, types.FunctionType) else None
    if function is None:
        held = type.__dict__["__dict__"].__get__(obj).values()
        function = next((value for value in held if isinstance(value, types.FunctionType)), None)
    if function is None:
        return None
    text = "".join(linecache.getlines(function.__code__.co_filename))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == obj.__name__
    ]
    if not found:
        return None
    node = found[-1]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno]) + "\n"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
