"""Which of the fields that we wrote others have changed since. Pure.

What the server adds of its own is none of ours. Lists of things with a name are compared by it, so their order says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from kale_serve_lab.serving.kserve.features import mode_of

_KEYS = ("name", "containerPort", "mountPath")
# The webhook rewrites the older names of the modes.
_MODE = "metadata.annotations[serving.kserve.io/deploymentMode]"
_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(1000),
    **{unit: Decimal(1000) ** (place + 2) for place, unit in enumerate("MGTPE")},
    **{unit + "i": Decimal(1024) ** (place + 1) for place, unit in enumerate("KMGTPE")},
}
_AMOUNTS = ("limits", "requests")
_GONE = object()


def drift(applied: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the fields that differ from what we applied, or are gone."""
    return tuple(_differing(applied, live, ""))


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values below."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, _below(path, str(key)))
    elif isinstance(value, list) and _key_of(value) is not None:
        key = _key_of(value)
        for one in value:
            yield from leaves(one, f"{path}[{one[key]}]")
    else:
        yield path


def _differing(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key, inner in ours.items():
            yield from _differing(inner, theirs.get(key, _GONE), _below(path, str(key)))
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _lists(ours, theirs, path)
    elif theirs is _GONE and _empty(ours):
        # The API server drops what is empty.
        return
    elif not _same(ours, theirs, path):
        yield path


def _lists(ours: list[Any], theirs: list[Any], path: str) -> Iterator[str]:
    key = _key_of(ours)
    if key is None:
        if len(ours) != len(theirs):
            yield path
            return
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differing(one, other, f"{path}[{place}]")
        return
    there = {one.get(key): one for one in theirs if isinstance(one, Mapping)}
    for one in ours:
        yield from _differing(one, there.get(one[key], _GONE), f"{path}[{one[key]}]")


def _key_of(items: Sequence[Any]) -> str | None:
    """The field that names each of these things, if one does."""
    for key in _KEYS:
        if items and all(isinstance(one, Mapping) and key in one for one in items):
            return key if len({str(one[key]) for one in items}) == len(items) else None
    return None


def _same(ours: Any, theirs: Any, path: str) -> bool:
    if ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool):
        return True
    if path == _MODE and isinstance(theirs, str):
        return mode_of(str(ours)) is not None and mode_of(str(ours)) == mode_of(theirs)
    parts = path.rsplit(".", 2)
    if any(part.split("[")[0] in _AMOUNTS for part in parts[-2:]):
        first, second = amount(ours), amount(theirs)
        return first is not None and first == second
    return False


def amount(value: Any) -> Decimal | None:
    """A quantity of Kubernetes as a number: 500m, 4Gi, 1e3; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = str(value).strip()
    digits = text.rstrip("numkKMGTPEi")
    suffix = text[len(digits) :]
    if suffix not in _SUFFIXES:
        return None
    try:
        found = Decimal(digits) * _SUFFIXES[suffix]
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _empty(value: Any) -> bool:
    return value is None or value in ({}, [])


def _below(path: str, key: str) -> str:
    if any(sign in key for sign in "./[]"):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
