"""PyTorch: `model.pt2` (torch.export), `model.pt` (TorchScript), or `model.pth`, the module by value with its source beside it.

The first two are programs of tensors, which run without the module's code. What cannot be one (its way through `forward`
depends on the data, or on the number of rows) is saved by value.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers, source
from kale_serve_lab.artifacts.environment import distributions
from kale_serve_lab.artifacts.pickles import by_value
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec

PACKAGE = "torch"
FORMATS = ("pt2", "pt", "pth")

# Of what no other number of rows can be: a size of 0 or 1 is taken for the only one there is.
_ROWS = 3


def matches(obj: Any) -> bool:
    """Modules, scripted modules and exported programs; a loss is a module too, and no model."""
    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return True
    return savers.derives_from(obj, PACKAGE, "Module") and not savers.derives_from(obj, PACKAGE, "_Loss")


def problem(obj: Any) -> str | None:
    """No forward, or weights that have no shape yet."""
    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return None
    import torch

    module = _unwrapped(obj)
    if not isinstance(module, torch.jit.ScriptModule) and type(module).forward is torch.nn.Module.forward:
        return "has no forward method"
    if any(isinstance(weight, torch.nn.parameter.UninitializedTensorMixin) for weight in module.parameters()):
        return "has lazy layers that have not seen any data yet"
    return None


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:
    """As a program where it is one, else by value. On the CPU, in evaluation mode; the module itself stays as it is."""
    import torch

    from kale_serve_lab.model_server.loaders import pytorch as loader

    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        _refuse_other(obj, wanted, "pt2")
        torch.export.save(obj, folder / loader.EXPORTED)
        return _program("pt2", loader.EXPORTED)
    module = _unwrapped(obj)
    with loader.evaluating(module):
        module = _on_cpu(module)
        if isinstance(module, torch.jit.ScriptModule):
            _refuse_other(obj, wanted, "pt")
            torch.jit.save(module, str(folder / loader.SCRIPTED))
            return _program("pt", loader.SCRIPTED)
        if wanted == "pt":
            torch.jit.save(torch.jit.script(module), str(folder / loader.SCRIPTED))
            return _program("pt", loader.SCRIPTED)
        if wanted in ("pt2", None):
            failed = _export(module, folder / loader.EXPORTED, signature)
            if failed is None:
                return _program("pt2", loader.EXPORTED)
            if wanted is not None:
                raise UnsupportedModel(
                    f"{type(obj).__name__} cannot be exported for any number of rows: {failed}",
                    subject=type(obj).__name__,
                    hint="Give a signature with rows of its input, or leave format away to save the module itself.",
                )
        return _by_value(module, folder)


def methods(obj: Any) -> dict[str, Callable[[Any], Any]]:
    """`forward` of arrays, in evaluation mode and without gradients."""
    from kale_serve_lab.model_server.loaders import pytorch as loader

    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return {"predict": loader.ExportedModel(obj).predict}
    return {"predict": loader.live(_unwrapped(obj))}


def declared(obj: Any) -> Signature | None:
    """What an exported program says of its inputs and outputs; a module knows nothing of them."""
    if not savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return None
    from kale_serve_lab.model_server.loaders.pytorch import exported_signature

    return exported_signature(obj)


def input_names(obj: Any) -> list[str] | None:
    """The names of the arguments of `forward`, None where it takes any."""
    from kale_serve_lab.model_server.loaders.pytorch import arguments

    return None if savers.derives_from(obj, PACKAGE, "ExportedProgram") else arguments(_unwrapped(obj))[0]


def float_dtype(obj: Any) -> str | None:
    """The v2 name of the type that the module takes floats in: its weights', where they have one."""
    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return None
    kinds = {str(weight.dtype) for weight in obj.parameters() if weight.is_floating_point()}
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    return "FP32" if kind == "torch.bfloat16" else dtypes.v2_name(kind)


def width(obj: Any) -> int | None:
    """How many columns its first layer takes, where that is a linear one."""
    if savers.derives_from(obj, PACKAGE, "ExportedProgram"):
        return None
    for part in obj.modules():
        if next(part.children(), None) is None and next(part.parameters(recurse=False), None) is not None:
            # A scripted layer is told by the name of what it was made from.
            name = getattr(part, "original_name", type(part).__name__)
            return int(part.weight.shape[1]) if name == "Linear" else None
    return None


def _refuse_other(obj: Any, wanted: str | None, own: str) -> None:
    if wanted not in (None, own):
        raise UnsupportedModel(
            f"{type(obj).__name__} can be saved as {own} only, not as {wanted}.",
            subject=type(obj).__name__,
            hint="Leave format away, or give the module that it was made from.",
        )


def _program(form: str, file: str) -> Saved:
    return Saved(form, (file,), executable=False, packages=("torch", "numpy"))


def _unwrapped(obj: Any) -> Any:
    """The module within torch.compile's or a parallel wrapper."""
    while True:
        if savers.derives_from(obj, PACKAGE, "OptimizedModule"):
            obj = obj._orig_mod  # noqa: SLF001 (it has no public name)
        elif savers.derives_from(obj, PACKAGE, "DataParallel") or savers.derives_from(
            obj, PACKAGE, "DistributedDataParallel"
        ):
            obj = obj.module
        else:
            return obj


def _on_cpu(module: Any) -> Any:
    import copy

    if all(part.device.type == "cpu" for part in (*module.parameters(), *module.buffers())):
        return module
    return copy.deepcopy(module).to("cpu")


def _export(module: Any, path: Path, signature: Signature | None) -> str | None:
    """Writes the program, and reads it back to see that it answers as the module does; else why it cannot."""
    import torch

    from kale_serve_lab.model_server.loaders import pytorch as loader

    if signature is None:
        return "there is no sample of its input."
    try:
        given, dynamic = _example(module, signature)
        args, kwargs = ((given,), {}) if isinstance(given, torch.Tensor) else ((), given)
        shapes: Any = (dynamic,) if isinstance(given, torch.Tensor) else dynamic
        with torch.no_grad(), _quiet():
            program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
            torch.export.save(program, path)
        again = loader.ExportedModel(loader.load_exported(path))
        for spec, asked in zip(again.declared.inputs, _specs(signature), strict=True):
            if spec.shape != asked.shape:
                raise ValueError(f"{spec.name} would be of shape {list(spec.shape)} only.")
        for rows in (_ROWS, 1):
            if isinstance(given, torch.Tensor):
                part: Any = _sent(given[:rows])
            else:
                part = {name: _sent(tensor[:rows]) for name, tensor in given.items()}
            if not _same(again.predict(part), loader.TorchModel(module).predict(part)):
                raise ValueError(f"for {rows} rows the program answers otherwise than the module.")
    except Exception as error:  # torch.export gives up in many ways
        path.unlink(missing_ok=True)
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return None


def _example(module: Any, signature: Signature) -> tuple[Any, Any]:
    """Input for `forward` with the signature's shapes and types, and which of its dimensions may have any size."""
    import torch

    from kale_serve_lab.model_server.loaders import pytorch as loader

    float_type = next((w.dtype for w in module.parameters() if w.is_floating_point()), None)

    def tensor(spec: TensorSpec, values: list[Any] | None) -> Any:
        import numpy as np

        if spec.dtype == dtypes.BYTES:
            raise ValueError(f"{spec.name} is a text.")
        dtype = dtypes.NUMPY[spec.dtype][0]
        if values:
            # A gap is null in an example, whatever the type.
            made = np.array(_filled(values)).astype(dtype)
        else:
            made = np.zeros([2 if size == -1 else size for size in spec.shape], dtype)
        if spec.shape[:1] == (-1,):
            made = np.resize(made, (max(_ROWS, len(made)), *made.shape[1:]))
        found = loader.tensor_of(spec.name, made)
        return found.to(float_type) if found.is_floating_point() and float_type is not None else found

    def dynamic(spec: TensorSpec) -> dict[int, Any]:
        # The batch may have any size; so may what the signature leaves open.
        dims = {at: torch.export.Dim.AUTO for at, size in enumerate(spec.shape) if size == -1}
        if spec.shape[:1] == (-1,):
            dims[0] = batch
        return dims

    batch = torch.export.Dim("batch", min=1)
    rows = signature.input_example or []
    specs = _specs(signature)
    if signature.layout != "tensors":
        return tensor(specs[0], rows), dynamic(specs[0])
    return (
        {spec.name: tensor(spec, [row[at] for row in rows]) for at, spec in enumerate(specs)},
        {spec.name: dynamic(spec) for spec in specs},
    )


def _sent(tensor: Any) -> Any:
    """As it comes over the wire, which has no bfloat16."""
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _specs(signature: Signature) -> tuple[TensorSpec, ...]:
    """The tensors that `forward` gets: a table is one."""
    if signature.layout != "columns":
        return signature.inputs
    return (TensorSpec("input", signature.one_dtype or "FP64", (-1, len(signature.inputs))),)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export tells all that it tries, to whoever sits before the notebook."""
    told = logging.getLogger("torch")
    level = told.level
    told.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        told.setLevel(level)


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(part) for part in value]
    return 0 if value is None else value


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    def flat(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [value[name] for name in sorted(value)]
        return value if isinstance(value, list) else [value]

    ones, others = flat(one), flat(other)
    return len(ones) == len(others) and all(
        left.shape == right.shape
        and left.dtype == right.dtype
        and np.allclose(left, right, 1e-4, 1e-5, equal_nan=True)
        for left, right in zip(ones, others, strict=True)
    )


def _by_value(module: Any, folder: Path) -> Saved:
    import torch

    from kale_serve_lab.model_server.loaders import pytorch as loader

    code = source.code_of(module)
    with by_value(module) as cloudpickle:
        torch.save(module, folder / loader.BY_VALUE, pickle_module=cloudpickle)
    modules = {*code.packages, *source.packages_of(module), "torch", "numpy", "cloudpickle"}
    return Saved(
        "pth",
        (loader.BY_VALUE, *source.write(code, folder)),
        executable=True,
        packages=tuple(distributions(modules)),
    )
