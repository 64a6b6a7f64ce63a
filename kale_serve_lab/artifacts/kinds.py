"""What a value is, told by its class alone: no property, no repr and no method of the user's object is called."""

from __future__ import annotations

from typing import Any

from kale_serve_lab.artifacts.savers import module_of


def is_class(value: Any) -> bool:
    """Whether the value is itself a class."""
    return issubclass(type(value), type)


def is_frame(value: Any) -> bool:
    """A pandas DataFrame."""
    return _is(value, "pandas", "DataFrame")


def is_series(value: Any) -> bool:
    """A pandas Series."""
    return _is(value, "pandas", "Series")


def is_array(value: Any) -> bool:
    """A numpy array."""
    return _is(value, "numpy", "ndarray")


def is_sparse(value: Any) -> bool:
    """A scipy sparse matrix or array."""
    return _is(value, "scipy", "_spbase") or _is(value, "scipy", "spmatrix")


def is_tensor(value: Any) -> bool:
    """A torch or TensorFlow tensor."""
    return (
        _is(value, "torch", "Tensor")
        or _is(value, "tensorflow", "Tensor")
        or _is(value, "tensorflow", "Variable")
    )


def is_table_like(value: Any) -> bool:
    """Whether the value can be a model's features."""
    return is_frame(value) or is_series(value) or is_array(value) or is_sparse(value) or is_tensor(value)


def _is(value: Any, package: str, name: str) -> bool:
    return any(
        cls.__name__ == name and module_of(cls).partition(".")[0] == package for cls in type(value).__mro__
    )
