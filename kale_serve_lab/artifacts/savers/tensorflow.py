"""TensorFlow and Keras: `1/saved_model.pb` and `1/variables/`, a SavedModel as TensorFlow Serving wants it; runs no code when loaded."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kale_serve_lab.artifacts import savers
from kale_serve_lab.artifacts.savers import Saved
from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.inference import dtypes
from kale_serve_lab.inference.signature import Signature, TensorSpec

PACKAGE = "tensorflow"
FOLDER = "1"
FORMATS = ("saved_model",)

_KERAS = ("keras", "tf_keras", "tensorflow")
_SIGNATURE = "serving_default"


def matches(obj: Any) -> bool:
    """Keras models, and what has signatures or functions that can be saved with one; no layer, no variable."""
    return _is_keras(obj) or (
        savers.derives_from(obj, "tensorflow", "AutoTrackable")
        and not any(
            savers.derives_from(obj, package, name)
            for package in _KERAS
            for name in ("Layer", "Optimizer", "BaseOptimizer", "Metric", "Loss")
        )
    )


def problem(obj: Any) -> str | None:
    """Not built, or without a function whose inputs are known."""
    if _is_keras(obj):
        if not obj.built:
            return "is not built yet"
        # tf_keras has no other backend, and no word for it.
        keras = importlib.import_module("keras")
        name = keras.backend.backend() if _keras_module(obj) == "keras" else "tensorflow"
        return (
            None
            if name == "tensorflow"
            else f"runs on Keras' backend {name}; only TensorFlow's can be saved so"
        )
    return (
        None
        if _function(obj) is not None
        else (
            "has no function whose inputs are known: decorate its __call__ with "
            "@tf.function(input_signature=[tf.TensorSpec(...)])"
        )
    )


def save(obj: Any, folder: Path, signature: Signature | None = None, wanted: str | None = None) -> Saved:  # noqa: ARG001
    """With one signature, `serving_default`, whose inputs and outputs have the model's own names."""
    target = str(folder / FOLDER)
    if _is_keras(obj):
        _export(obj, target, signature)
    else:
        import tensorflow as tf

        # Writing changes what it is given where that was loaded itself.
        tf.saved_model.save(obj, target, signatures={_SIGNATURE: _function(obj)})
    files = tuple(
        str(path.relative_to(folder)) for path in sorted((folder / FOLDER).rglob("*")) if path.is_file()
    )
    packages = ("tensorflow", *(("keras",) if _is_keras(obj) else ()))
    return Saved("saved_model", files, executable=False, packages=packages)


def methods(obj: Any) -> dict[str, Callable[[Any], Any]]:
    """`predict` of arrays, or of a dict of arrays by name; a dict of arrays by the outputs' names."""
    if not _is_keras(obj):
        from kale_serve_lab.model_server.loaders.tensorflow import FunctionModel

        return {"predict": FunctionModel(_function(obj)).predict}
    known = declared(obj)

    def predict(given: Any) -> Any:
        if known is not None:
            from kale_serve_lab.model_server import fit

            given = _packed(obj, [_taken(value) for value in fit.by_name(given, known.inputs).values()])
        elif hasattr(given, "to_numpy"):
            given = given.to_numpy()
        return dict(_named(obj, obj.predict(given, verbose=0)))

    return {"predict": predict}


def declared(obj: Any) -> Signature | None:
    """What the model says of its inputs and outputs; None of a subclassed model, which does not know them."""
    if not _is_keras(obj):
        from kale_serve_lab.model_server.loaders.tensorflow import FunctionModel

        return FunctionModel(_function(obj)).declared
    inputs = _inputs(obj)
    if inputs is None:
        return None
    outputs = [_spec(name, tensor) for name, tensor in _named(obj, _structure(obj, "outputs"))]
    return Signature(layout="tensor" if len(inputs) == 1 else "tensors", inputs=inputs, outputs=outputs)


def _is_keras(obj: Any) -> bool:
    return any(savers.derives_from(obj, package, "Model") for package in _KERAS)


def _keras_module(obj: Any) -> str:
    return next(
        package
        for cls in type(obj).__mro__
        if (package := savers.module_of(cls).partition(".")[0]) in ("keras", "tf_keras")
    )


def _structure(obj: Any, which: str) -> Any:
    """A model's symbolic tensors in the structure that it was made with: one, a list or a dict."""
    inner = getattr(obj, "_functional", None) or obj
    found = getattr(inner, f"_{which}_struct", None)
    if found is None:
        found = getattr(obj, which, None)
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def _inputs(obj: Any) -> list[TensorSpec] | None:
    structure = _structure(obj, "inputs")
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return [_spec(name, tensor) for name, tensor in structure.items()]
    if isinstance(structure, list | tuple):
        return [_spec(_name(tensor.name, f"input_{at}"), tensor) for at, tensor in enumerate(structure)]
    return [_spec(_name(structure.name, "inputs"), structure)]


def _name(name: str, otherwise: str) -> str:
    # Keras counts what nobody has named.
    return otherwise if name.startswith("keras_tensor") else name.partition(":")[0]


def _packed(obj: Any, tensors: list[Any]) -> Any:
    """Values in the order of `_inputs`, as the model takes them."""
    structure = _structure(obj, "inputs")
    if isinstance(structure, Mapping):
        return dict(zip(structure, tensors, strict=True))
    return tensors if isinstance(structure, list | tuple) else tensors[0]


def _taken(value: Any) -> Any:
    """Keras takes arrays of numbers; a text only as a tensor."""
    if value.dtype.kind != "O":
        return value
    import tensorflow as tf

    return tf.constant(value)


def _named(obj: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """A model's outputs with the names that they have in its file."""
    if isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        names: Sequence[str] = getattr(obj, "output_names", None) or []
        if len(names) != len(value) or len(set(names)) != len(names):
            names = [f"output_{at}" for at in range(len(value))]
        yield from zip(names, value, strict=True)
    else:
        # What Keras' own export calls it.
        yield "output_0", value


def _spec(name: str, tensor: Any) -> TensorSpec:
    from kale_serve_lab.model_server.loaders.tensorflow import spec_of

    # A model that was built by data keeps that data's number of rows, and takes any.
    found = spec_of(name, tensor)
    return replace(found, shape=(-1, *found.shape[1:]))


def _export(obj: Any, target: str, signature: Signature | None) -> None:
    import tensorflow as tf

    inputs = _inputs(obj)
    if inputs is not None:
        structure = _structure(obj, "inputs")
        tensors = list(structure.values()) if isinstance(structure, Mapping) else structure
        tensors = tensors if isinstance(tensors, list | tuple) else [tensors]
        given = [
            tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=spec.name)
            for spec, tensor in zip(inputs, tensors, strict=True)
        ]
    elif signature is not None:
        given = _given_by(signature)
    else:
        raise UnsupportedModel(
            f"{type(obj).__name__} does not say what it takes.",
            subject=type(obj).__name__,
            hint="Give Model a signature: some rows of its input, or a dict of arrays for several inputs.",
        )
    named = inputs is None and signature is not None and signature.layout == "tensors"

    def serve(*args: Any) -> dict[str, Any]:
        if named:
            packed: Any = dict(zip((spec.name for spec in given), args, strict=True))
        else:
            packed = _packed(obj, list(args)) if inputs is not None else args[0]
        return dict(_named(obj, obj(packed, training=False)))

    archive = importlib.import_module(_keras_module(obj)).export.ExportArchive()
    archive.track(obj)
    archive.add_endpoint(_SIGNATURE, serve, input_signature=given)
    archive.write_out(target, verbose=False)


def _given_by(signature: Signature) -> list[Any]:
    import tensorflow as tf

    def shape(sizes: Sequence[int]) -> list[int | None]:
        return [None if size == -1 else size for size in sizes]

    def dtype(name: str) -> Any:
        return tf.string if name == dtypes.BYTES else tf.as_dtype(dtypes.NUMPY[name][0])

    if signature.layout == "columns":
        one = signature.one_dtype
        if one is None:
            raise UnsupportedModel(
                "A table of mixed types is no tensor, which a subclassed Keras model takes.",
                hint="Give an array of one type as the signature.",
            )
        return [tf.TensorSpec([None, len(signature.inputs)], dtype(one), name="inputs")]
    return [tf.TensorSpec(shape(spec.shape), dtype(spec.dtype), name=spec.name) for spec in signature.inputs]


def _function(obj: Any) -> Any:
    """The concrete function of a module that predicts: its signature, or its one function whose inputs are known."""
    signatures = getattr(obj, "signatures", None)
    if isinstance(signatures, Mapping) and signatures:
        return signatures.get(_SIGNATURE) or next(iter(signatures.values()))
    found = {}
    for name in ("__call__", *(name for name in dir(type(obj)) if not name.startswith("_"))):
        with contextlib.suppress(AttributeError, ValueError):
            function = getattr(obj, name)
            if getattr(function, "input_signature", None) is not None:
                found[name] = function
    chosen = (
        found.get("__call__")
        or found.get("predict")
        or (next(iter(found.values())) if len(found) == 1 else None)
    )
    return None if chosen is None else chosen.get_concrete_function()
