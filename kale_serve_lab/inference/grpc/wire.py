"""Protobuf's wire format: fields in, fields out; no schema, no registry.

Reading gives views of the message, so what it takes is bounded by what came: a length is compared with what is there before
anything is made of it. Groups, which no message here has, field number 0 and everything else that no encoder writes is
refused with `InvalidInput`. Format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from array import array as packed_array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from kale_serve_lab.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

_MAX_FIELD: Final = (1 << 29) - 1
# Numbers are unpacked this many bytes at a time, so that the steps between take no multiple of a long message.
_STEP: Final = 1 << 16
_ENDLESS: Final = "a number does not end, or has more than 64 bits."
_KINDS: Final = {VARINT: "a number", FIXED64: "8 bytes", LENGTH: "a length", FIXED32: "4 bytes"}

Buffer = bytes | bytearray | memoryview


class Field:
    """One field as it came: `number`, `kind` (a wire type), and the value as an int (varint) or a view (all else)."""

    __slots__ = ("kind", "number", "value", "what")

    def __init__(self, number: int, kind: int, value: int | memoryview, what: str) -> None:
        self.number = number
        self.kind = kind
        self.value = value
        self.what = what

    def view(self) -> memoryview:
        """Bytes, or the message in it."""
        if self.kind != LENGTH:
            self._refuse(LENGTH)
        return self.value  # type: ignore[return-value]

    def text(self) -> str:
        """A string."""
        try:
            return str(self.view(), "utf-8")
        except UnicodeError:
            raise InvalidInput(f"{self.what}: field {self.number} is not UTF-8 text.") from None

    def unsigned(self) -> int:
        """uint64, uint32, enum."""
        if self.kind != VARINT:
            self._refuse(VARINT)
        return self.value  # type: ignore[return-value]

    def signed(self) -> int:
        """int64, int32."""
        found = self.unsigned()
        return found - (1 << 64) if found >> 63 else found

    def boolean(self) -> bool:
        """bool: any number but 0."""
        return self.unsigned() != 0

    def double(self) -> float:
        """A double."""
        if self.kind != FIXED64:
            self._refuse(FIXED64)
        found: float = struct.unpack("<d", self.value)[0]  # type: ignore[arg-type]
        return found

    def _refuse(self, wanted: int) -> NoReturn:
        raise InvalidInput(
            f"{self.what}: field {self.number} holds {_KINDS[self.kind]} where {_KINDS[wanted]} belongs."
        )


def fields(message: Buffer, what: str) -> Iterator[Field]:
    """The fields of one message, in their order; `what` names it in errors."""
    view = memoryview(message)
    at, end = 0, view.nbytes
    while at < end:
        key, at = _varint(view, at, end, what)
        number, kind = key >> 3, key & 7
        if not 0 < number <= _MAX_FIELD:
            raise InvalidInput(f"{what}: {str(number)[:20]} is no field's number.")
        if kind == VARINT:
            value, at = _varint(view, at, end, what)
            yield Field(number, kind, value, what)
            continue
        if kind == LENGTH:
            size, at = _varint(view, at, end, what)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise InvalidInput(f"{what}: field {number} has the wire type {kind}, which is not used.")
        if size > end - at:
            raise InvalidInput(f"{what}: field {number} says {size} bytes, {end - at} are left.")
        yield Field(number, kind, view[at : at + size], what)
        at += size


def _varint(view: memoryview, at: int, end: int, what: str) -> tuple[int, int]:
    if at < end:
        first = view[at]
        if first < 0x80:
            return first, at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
    raise InvalidInput(f"{what}: {_ENDLESS}")


def varints(parts: Iterable[Field], count: int, what: str) -> NDArray[Any]:
    """`count` numbers, packed or one by one, as uint64 (two's complement where they were signed)."""
    import numpy as np

    values = packed_array("Q")
    for part in parts:
        if part.kind == VARINT:
            values.append(part.unsigned())
        else:
            raw = np.frombuffer(part.view(), dtype="uint8")
            at = 0
            while at < raw.size and len(values) <= count:
                found, taken = _some(raw[at : at + _STEP], what)
                values.frombytes(found.tobytes())
                at += taken
        if len(values) > count:
            break
    _check_count(len(values), count, what)
    return np.frombuffer(values, dtype="uint64")


def _some(raw: NDArray[Any], what: str) -> tuple[NDArray[Any], int]:
    """The numbers that end in these bytes, and how many bytes they took."""
    import numpy as np

    ends = np.flatnonzero(raw < 0x80)
    if not ends.size:
        raise InvalidInput(f"{what}: {_ENDLESS}")
    taken = int(ends[-1]) + 1
    if ends.size == taken:
        return raw[:taken].astype("uint64"), taken
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > 10 or (longest == 10 and bool((raw[ends[lengths == 10]] > 1).any())):
        raise InvalidInput(f"{what}: {_ENDLESS}")
    values = np.zeros(ends.size, dtype="uint64")
    for place in range(longest):
        there = lengths > place
        digits = (raw[starts[there] + place] & 0x7F).astype("uint64")
        values[there] |= digits << np.uint64(7 * place)
    return values, taken


def fixed(parts: Iterable[Field], count: int, dtype: str, what: str) -> NDArray[Any]:
    """`count` numbers of 4 or 8 bytes, packed or one by one; `dtype` is numpy's name, little-endian on the wire."""
    import numpy as np

    kind = np.dtype(dtype).newbyteorder("<")
    one = FIXED64 if kind.itemsize == 8 else FIXED32
    raw = bytearray()
    for part in parts:
        raw += part.value if part.kind == one else part.view()  # type: ignore[arg-type]
    if len(raw) % kind.itemsize:
        raise InvalidInput(f"{what}: {len(raw)} bytes are no whole number of {dtype}.")
    _check_count(len(raw) // kind.itemsize, count, what)
    return np.frombuffer(raw, dtype=kind).astype(dtype, copy=False)


def _check_count(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise InvalidInput(
            f"{what}: {found}{' or more' if found > wanted else ''} values came for a shape that takes {str(wanted)[:20]}."
        )


def varint(value: int) -> bytes:
    """A number of at most 64 bits; negative ones as two's complement."""
    value &= (1 << 64) - 1
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field of a varint."""
    return varint(field << 3 | VARINT) + varint(value)


def double(field: int, value: float) -> bytes:
    """A field of a double."""
    return varint(field << 3 | FIXED64) + struct.pack("<d", value)


def head(field: int, size: int) -> bytes:
    """What stands before `size` bytes of a field; the bytes themselves follow without a copy."""
    return varint(field << 3 | LENGTH) + varint(size)


def blob(field: int, value: bytes) -> bytes:
    """A field of bytes, or of a message."""
    return head(field, len(value)) + value


def text(field: int, value: str) -> bytes:
    """A field of a string; nothing for an empty one, as protobuf has it."""
    if not value:
        return b""
    try:
        return blob(field, value.encode("utf-8"))
    except UnicodeError:
        raise InvalidInput(f"{ascii(value)[:80]} holds a lone surrogate, which no UTF-8 text can.") from None


def packed(field: int, values: Sequence[int]) -> bytes:
    """A repeated field of varints."""
    return blob(field, b"".join(map(varint, values))) if values else b""
