"""What a function needs from outside itself, and its source where that alone defines it."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import textwrap
import types
from collections.abc import Iterator

# Annotations name types that only the notebook has imported; nobody reads them in the server.
FUTURE = "from __future__ import annotations\n"

_IMPLICIT = {"__name__", "__builtins__", "__file__", "__doc__", "__class__"}


def free_names(function: types.FunctionType) -> set[str]:
    """The names that the function reads and neither binds or imports inside nor finds among the builtins."""
    read, bound = set(), set()
    for code in _codes(function.__code__):
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(str(instruction.argval))
            elif instruction.opname in ("STORE_GLOBAL", "STORE_NAME"):
                bound.add(str(instruction.argval))
    read |= set(function.__code__.co_freevars)
    tree = _definition(function)
    if tree is not None:
        # Defaults and decorators are evaluated where the function is defined, which will be in the server.
        outside = [
            *tree.decorator_list,
            *tree.args.defaults,
            *(node for node in tree.args.kw_defaults if node is not None),
        ]
        read |= {inner.id for node in outside for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return read - bound - set(vars(builtins)) - _IMPLICIT


def source_of(function: types.FunctionType) -> str | None:
    """The function's own `def`, None where there is none to read (a lambda, typed into a prompt) or it is not what runs."""
    tree = _definition(function)
    if tree is None:
        return None
    source = textwrap.dedent(inspect.getsource(function)).rstrip() + "\n"
    # The file may have been edited since it was imported.
    compiled = next(
        code
        for code in compile(FUTURE + source, "functions.py", "exec").co_consts
        if isinstance(code, types.CodeType)
    )
    ours = function.__code__
    return source if ours.co_freevars or _shape(compiled) == _shape(ours) else None


def _definition(function: types.FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    node = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != function.__name__:
        return None
    return node


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _shape(code: types.CodeType) -> tuple[object, ...]:
    constants = [constant for constant in code.co_consts if not isinstance(constant, types.CodeType)]
    return code.co_names, code.co_varnames, repr(constants)
