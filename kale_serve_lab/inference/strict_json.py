"""JSON as RFC 8259 has it: what Python's own module lets through beyond that is refused.

NaN, Infinity and numbers that become infinite (1e999), duplicate keys, lone surrogates, other encodings than UTF-8,
nesting that exhausts the stack. Memory stays proportional to the text.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from kale_serve_lab.errors import InvalidInput

# Only these texts can hold what the fast path would let through, so that the common body pays one scan for each.
_MAYBE_INFINITE = re.compile(rb"[eE]\+?\d{3}|\d{300}")
_MAYBE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(body: bytes | bytearray | memoryview, what: str = "The body") -> Any:
    """The value of a JSON text; raises `InvalidInput` saying where it is wrong."""
    raw = bytes(body)
    decoder = _CAREFUL if _MAYBE_INFINITE.search(raw) else _FAST
    try:
        value = decoder.decode(raw.decode("utf-8"))
        if _MAYBE_SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput(f"{what} is nested too deep.") from None
    except UnicodeError:
        raise InvalidInput(f"{what} is not UTF-8 text.") from None
    except ValueError as error:
        # Among others: an integer of more digits than Python is willing to read.
        raise InvalidInput(
            f"{what} is not JSON: {_bounded(str(error))}.", hint="json.dumps(...) writes JSON."
        ) from None
    return value


def dumps(value: Any, what: str = "The input") -> bytes:
    """Compact UTF-8 JSON of plain values. NaN becomes null; an infinite number is refused with `InvalidInput`.

    Null is what KServe's servers read as a missing number; a literal NaN is a syntax error to them.
    """
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except RecursionError:
        raise InvalidInput(f"{what} is nested too deep.") from None
    except UnicodeError:
        raise InvalidInput(f"{what} holds a lone surrogate, which no UTF-8 text can.") from None
    except TypeError as error:
        raise InvalidInput(f"{what} cannot be written as JSON: {_bounded(str(error))}.") from None
    except ValueError:
        cleaned = _without_nan(value, what)
    return dumps(cleaned, what)


def _without_nan(value: Any, what: str) -> Any:
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124 (NaN)
            return None
        if value in (float("inf"), float("-inf")):
            raise InvalidInput(
                f"{what} holds an infinite number, which JSON cannot say.",
                hint="Over the v2 protocol arrays and frames travel in binary, where infinity is a number like others.",
            )
        return value
    if isinstance(value, dict):
        return {key: _without_nan(item, what) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item, what) for item in value]
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(f"{name} is not JSON.", hint="Write null for a missing number.")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidInput(f"The number {_bounded(text)} is larger than any float64.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInput(f"The key {_bounded(key)!r} is there twice in one object.")
            seen.add(key)
    return found


def _bounded(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."


# Made once: json.loads and json.dumps make new ones for each call with such options.
_FAST = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
_CAREFUL = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique, parse_float=_finite)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)
