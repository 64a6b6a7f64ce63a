"""PyTorch: `model.pt2` (torch.export), `model.pt` (TorchScript) or `model.pth` (a module by value).

The first two run no code of their own when loaded: what torch would unpickle of them is held to weights. A `model.pth` does
run code, and is unpickled only where kale.json says that a module was saved so: any other one is no model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server import loaders

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

# What torch.export.load imports only then (sympy among it) takes as long as torch itself.
PRELOAD = (
    "torch",
    "torch.export",
    "torch._export.serde.serialize",
    "torch.export.pt2_archive",
    "cloudpickle",
)

EXPORTED, SCRIPTED, BY_VALUE = "model.pt2", "model.pt", "model.pth"


def load(folder: Path, about: dict[str, Any]) -> Any:
    """A `TorchModel`; `declared` is what an exported program says of its inputs and outputs."""
    names = (EXPORTED, SCRIPTED, BY_VALUE)
    there = [name for name in names if (folder / name).is_file()]
    path = folder / there[0] if there else loaders.one_file(folder, SCRIPTED, (".pt", ".pt2", ".pth", ".ts"))
    kind = kind_of(path)
    import torch

    if kind == "export":
        return ExportedModel(load_exported(path))
    if kind == "script":
        return TorchModel(torch.jit.load(path, map_location="cpu").eval())
    if kind == "pickle" and about.get("format") == "pth":
        module = torch.load(path, map_location="cpu", weights_only=False)
        if not isinstance(module, torch.nn.Module):
            raise loaders.WrongFile(f"{path.name} holds a {type(module).__name__}, not a module")
        return TorchModel(module.eval())
    raise loaders.WrongFile(
        f"{path.name} was written by torch.save and holds weights, or a pickle that nobody has declared to be one; "
        "a model is torch.export.save's or TorchScript's file, or a module that is submitted itself"
        if kind == "pickle"
        else f"{path.name} is no file of PyTorch's"
    )


def kind_of(path: Path) -> str | None:
    """What a file of PyTorch's holds, by its zip's members: "export", "script", "pickle" (torch.save), or None."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2] for name in archive.namelist()}
    if "archive_format" in members or any(name.startswith("models/") for name in members):
        return "export"
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return "script"
    return "pickle" if "data.pkl" in members else None


def load_exported(path: Path) -> Any:
    """The `ExportedProgram` in a file. Raises `WrongFile` where reading it would run code.

    torch.export.load unpickles what it cannot read as weights, and loads compiled libraries.
    """
    import torch

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/aotinductor/" in name or "opaque_obj_" in name or "custom_obj_" in name:
                raise loaders.WrongFile(
                    f"{path.name} holds compiled or pickled parts ({name}), not only a program"
                )
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        # By its content: a name that does not end in .pt2 would be warned of.
        with path.open("rb") as file:
            return torch.export.load(file)
    except pickle.UnpicklingError as error:
        raise loaders.WrongFile(
            f"{path.name} holds pickled parts that are no tensors, not only a program"
        ) from error
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before


_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class TorchModel:
    """A module that takes arrays and gives arrays.

    `predict` takes an array, a DataFrame (a table of numbers), or a dict of arrays by the names of `forward`'s arguments. It
    answers an array; a list of arrays where `forward` gives a tuple; a dict of arrays where it names its outputs. Floating
    inputs get the type of the module's own weights: JSON's and pandas' floats have 64 bits, a module's have 32.
    """

    def __init__(self, module: Any) -> None:
        import torch

        self._torch = torch
        self._module = module
        weights = [weight for weight in module.parameters() if weight.is_floating_point()]
        kinds = {weight.dtype for weight in weights}
        self._float = kinds.pop() if len(kinds) == 1 else None
        self._device = weights[0].device if weights else torch.device("cpu")
        self._names, self._required = arguments(module)

    def predict(self, given: Any) -> Any:
        """The module's answer, without gradients."""
        if isinstance(given, Mapping):
            from kale_serve_lab.model_server import fit

            if self._names is not None:
                fit.check_names(given, self._names, self._required)
            tensors = {name: self._tensor(name, value) for name, value in given.items()}
            with self._torch.no_grad():
                return arrays(self._module(**tensors))
        with self._torch.no_grad():
            return arrays(self._module(self._tensor("The input", given)))

    def _tensor(self, name: str, value: Any) -> torch.Tensor:
        found = tensor_of(name, value)
        return found.to(device=self._device, dtype=self._float if found.is_floating_point() else None)


class ExportedModel:
    """A program of torch.export's: it knows its inputs' names, types and shapes, and refuses others in words."""

    def __init__(self, program: Any) -> None:
        import torch

        self._torch = torch
        self._module = program.module()
        self._given = list(program.graph_signature.user_inputs)
        self._structure = program.call_spec.in_spec
        self._dtypes = input_dtypes(program)
        self.declared = exported_signature(program)
        named = not all(spec.name.startswith("predict") for spec in self.declared.outputs)
        self.outputs = tuple(spec.name for spec in self.declared.outputs) if named else ()

    def predict(self, given: Any) -> Any:
        """The program's answer, in the form that the module's own has."""
        from torch.utils import _pytree

        from kale_serve_lab.model_server import fit

        found = {
            name: tensor_of(name, value).to(self._dtypes[name])
            for name, value in fit.by_name(given, self.declared.inputs).items()
        }
        # A number or a None that the program was exported with is part of it.
        flat = [found.get(item) if isinstance(item, str) else item for item in self._given]
        args, kwargs = _pytree.tree_unflatten(flat, self._structure)
        with self._torch.no_grad():
            return arrays(self._module(*args, **kwargs))


def live(module: Any) -> Callable[[Any], Any]:
    """The `predict` of a module in use elsewhere: in evaluation mode meanwhile, and afterwards as it was."""

    def predict(given: Any) -> Any:
        with evaluating(module):
            return TorchModel(module).predict(given)

    return predict


@contextlib.contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """The module in evaluation mode; each part is in its own mode again afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def arguments(module: Any) -> tuple[list[str] | None, list[str]]:
    """The names of the arguments of `forward`, None where it takes any; and those without a default."""
    import inspect

    import torch

    if isinstance(module, torch.jit.ScriptModule):
        schema = module._c._get_method("forward").schema  # noqa: SLF001 (there is no public way to its names)
        own = schema.arguments[1:]
        return [each.name for each in own], [each.name for each in own if not each.has_default_value()]
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return None, []
    if any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters):
        return None, []
    return (
        [each.name for each in parameters],
        [each.name for each in parameters if each.default is each.empty],
    )


def tensor_of(name: str, value: Any) -> torch.Tensor:
    """A tensor over the array's own memory where that may be written to. Raises `InvalidInput` for texts."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach()
    from kale_serve_lab.model_server import fit

    array = fit.as_array(name, value)
    if array.dtype.kind == "O":
        from kale_serve_lab.inference import tensors

        array = tensors.from_array(name, array).data
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name}: a PyTorch model takes numbers, texts came.", subject=name)
    array = np.ascontiguousarray(array)
    # What was read from a request cannot be written to, and torch has no tensor for that.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def arrays(value: Any, name: str = "predict") -> Any:
    """A module's answer as an array, a list of arrays (a tuple) or a dict of arrays (by name); None among them is left out."""
    flat = list(_flat(value, name))
    if isinstance(value, Mapping) or _fields(value) is not None:
        return {label.removeprefix(f"{name}-"): array for label, array in flat}
    if isinstance(value, list | tuple) and len(flat) != 1:
        return [array for _, array in flat]
    return flat[0][1]


def _flat(value: Any, label: str) -> Iterator[tuple[str, NDArray[Any]]]:
    import numpy as np
    import torch

    fields = _fields(value)
    if value is None:
        return
    if isinstance(value, torch.Tensor):
        # numpy has no bfloat16; each of its values is one of float32.
        found = value.detach().to(torch.float32) if value.dtype == torch.bfloat16 else value.detach()
        yield label, found.cpu().numpy()
    elif fields is not None or isinstance(value, Mapping):
        for key, part in (fields or value).items():
            yield from _flat(part, f"{label}-{key}")
    elif isinstance(value, list | tuple):
        for at, part in enumerate(value):
            yield from _flat(part, f"{label}-{at}")
    else:
        yield label, np.asarray(value)


def _fields(value: Any) -> dict[str, Any] | None:
    """A named tuple's or dataclass's parts by name."""
    if isinstance(value, Mapping):
        return None
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def input_dtypes(program: Any) -> dict[str, torch.dtype]:
    """The program's inputs that are tensors, by name, with torch's own types."""
    placeholders = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    return {
        name: placeholders[name].dtype
        for name in program.graph_signature.user_inputs
        if isinstance(name, str) and hasattr(placeholders.get(name), "dtype")
    }


def exported_signature(program: Any) -> Signature:
    """What a program says of its inputs and outputs. Raises `InvalidSignature` for a type that cannot travel."""
    nodes = {node.name: node for node in program.graph.nodes}
    inputs = [_spec(name, nodes[name].meta["val"]) for name in input_dtypes(program)]
    values = [
        nodes[name].meta.get("val") if isinstance(name, str) and name in nodes else None
        for name in program.graph_signature.user_outputs
    ]
    return Signature(
        layout="tensor" if len(inputs) == 1 else "tensors",
        inputs=inputs,
        outputs=_output_specs(program, values),
    )


def _output_specs(program: Any, values: Sequence[Any]) -> list[TensorSpec]:
    from torch.utils import _pytree

    structure = _pytree.tree_unflatten(list(values), program.call_spec.out_spec)
    named = isinstance(structure, Mapping) or _fields(structure) is not None
    labels = list(_labels(structure, "predict"))
    if len(labels) == 1 and not named:
        labels = [("predict", labels[0][1])]
    return [_spec(label.removeprefix("predict-") if named else label, value) for label, value in labels]


def _labels(value: Any, label: str) -> Iterator[tuple[str, Any]]:
    fields = _fields(value)
    if fields is not None or isinstance(value, Mapping):
        for key, part in (fields or value).items():
            yield from _labels(part, f"{label}-{key}")
    elif isinstance(value, list | tuple):
        for at, part in enumerate(value):
            yield from _labels(part, f"{label}-{at}")
    elif value is not None:
        yield label, value


def _spec(name: str, value: Any) -> TensorSpec:
    dtype = str(value.dtype)
    return TensorSpec(
        name,
        "FP32" if dtype == "torch.bfloat16" else dtypes.v2_name(dtype),
        tuple(size if type(size) is int else -1 for size in value.shape),
    )
