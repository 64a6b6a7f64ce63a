"""TensorFlow: a SavedModel, `1/saved_model.pb` and `1/variables/`. A graph: no Python code comes with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server import loaders

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRELOAD = ("tensorflow", "numpy")

FILE = "saved_model.pb"
# What servers and Keras call the one that predicts.
_PREFERRED = ("serving_default", "serve", "predict", "__call__")


def load(folder: Path, about: dict[str, Any]) -> Any:  # noqa: ARG001
    """A `FunctionModel`."""
    path = model_folder(folder)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return FunctionModel(_function(loaded), loaded)


def model_folder(folder: Path) -> Path:
    """The folder of the newest version, or the folder itself. Raises `WrongFile`."""
    if (folder / FILE).is_file():
        return folder
    versions = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.isdigit() and (path / FILE).is_file()
    ]
    if not versions:
        raise loaders.WrongFile(f"there is no {FILE} in it, nor in a folder named by a version (1/{FILE})")
    return max(versions, key=lambda path: int(path.name))


class FunctionModel:
    """A concrete function that takes arrays by the names of its inputs and gives a dict of arrays by those of its outputs."""

    def __init__(self, function: Any, owner: Any = None) -> None:
        import tensorflow as tf

        self._tf = tf
        # A signature's function has only weak references to the variables of what it was loaded with.
        self._owner = owner
        self._function = function
        positional, named = function.structured_input_signature
        # A file's function has names only, one of a module in use its arguments too.
        self._positional = [spec.name or f"input_{at}" for at, spec in enumerate(positional)]
        specs = dict(zip(self._positional, positional, strict=True)) | dict(sorted(named.items()))
        self._dtypes = {name: spec.dtype for name, spec in specs.items()}
        inputs = [spec_of(name, spec) for name, spec in specs.items()]
        outputs = [
            spec_of(name, spec) for name, spec in sorted(_by_name(function.structured_outputs).items())
        ]
        self.declared = Signature(
            layout="tensor" if len(inputs) == 1 else "tensors", inputs=inputs, outputs=outputs
        )
        self.outputs = tuple(spec.name for spec in outputs)

    def predict(self, given: Any) -> dict[str, NDArray[Any]]:
        """All outputs of the function."""
        from kale_serve_lab.model_server import fit

        found = {
            name: self._tf.convert_to_tensor(value, dtype=self._dtypes[name])
            for name, value in fit.by_name(given, self.declared.inputs).items()
        }
        positional = [found.pop(name) for name in self._positional]
        answered = _by_name(self._function(*positional, **found))
        return {name: array(answered[name]) for name in self.outputs}


def _by_name(outputs: Any) -> dict[str, Any]:
    """A function's outputs by the names that they have, or get in a file."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    listed = outputs if isinstance(outputs, list | tuple) else [outputs]
    return {f"output_{at}": part for at, part in enumerate(listed)}


def spec_of(name: str, spec: Any) -> TensorSpec:
    """Of a TensorFlow TensorSpec, tensor or Keras tensor. Raises `InvalidSignature` for a type that cannot travel."""
    dtype = getattr(spec.dtype, "name", spec.dtype)
    shape = tuple(-1 if size is None else int(size) for size in spec.shape)
    return TensorSpec(name, "FP32" if dtype == "bfloat16" else dtypes.v2_name(dtype), shape)


def array(value: Any) -> NDArray[Any]:
    """A tensor's array; bfloat16, which numpy does not have, as float32, which has all of its values."""
    import numpy as np
    import tensorflow as tf

    tensor = tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value
    return np.asarray(tensor.numpy())


def _function(loaded: Any) -> Any:
    signatures = dict(loaded.signatures)
    for name in _PREFERRED:
        if name in signatures:
            return signatures[name]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    raise loaders.WrongFile(
        f"its signatures are {', '.join(signatures)}, none of which is serving_default"
        if signatures
        else "it was saved without a signature, so that nobody knows its inputs: "
        "tf.saved_model.save(module, path, signatures=module.__call__.get_concrete_function(...))"
    )
