"""Whether a file is ONNX's or TensorFlow's, by walking the outermost fields of the protobuf; no package is needed for it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# onnx.proto, ModelProto
_ONNX = {1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES, 8: _BYTES}
_ONNX_MORE = {14: _BYTES, 20: _BYTES, 25: _BYTES, 26: _BYTES}
# saved_model.proto, SavedModel
_SAVED_MODEL = {1: _VARINT, 2: _BYTES}
# graph.proto, GraphDef: nodes, versions, library, debug info
_GRAPH = {1: _BYTES, 2: _BYTES, 3: _VARINT, 4: _BYTES, 5: _BYTES}
_MOST_FIELDS = 1_000_000
_EXTERNAL = b"\x0a\x08location\x12"


def is_onnx(path: Path) -> bool:
    """A ModelProto: its version first, a graph, and nothing that such a message has not."""
    found = _walk(path, _ONNX | _ONNX_MORE)
    return found is not None and {1, 7} <= found


def is_saved_model(path: Path) -> bool:
    """A SavedModel: its schema's version and at least one graph."""
    found = _walk(path, _SAVED_MODEL)
    return found is not None and 2 in found


def is_graph(path: Path) -> bool:
    """A GraphDef with nodes, as it was frozen before there were SavedModels."""
    found = _walk(path, _GRAPH)
    return found is not None and 1 in found and len(found) > 1


def onnx_external(path: Path) -> set[str]:
    """The files beside an ONNX model that hold its tensors: the value of each `location` of a TensorProto."""
    found = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_EXTERNAL)
        while at >= 0:
            start = at + len(_EXTERNAL)
            length = content[start] if start < len(content) else 0
            # A name of 128 bytes or more has a longer length before it, and is no name that anybody writes.
            if 0 < length < 128:
                found.add(content[start + 1 : start + 1 + length].decode("utf-8", "replace"))
            at = content.find(_EXTERNAL, start)
    return found


def _walk(path: Path, known: Mapping[int, int]) -> set[int] | None:
    """The numbers of the outermost fields; None where it is no such message to its very end."""
    size = path.stat().st_size
    if size < 2:
        return None
    found = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for count, (number, kind) in enumerate(_fields(content, size)):
            if known.get(number) != kind or count > _MOST_FIELDS:
                return None
            found.add(number)
    return found


def _fields(content: mmap.mmap, size: int) -> Iterator[tuple[int, int]]:
    """(number, wire type) of each field; (0, -1) where the bytes are no protobuf."""
    at = 0
    while at < size:
        key, at = _varint(content, at, size)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(content, at, size)
        elif kind == _BYTES:
            length, at = _varint(content, at, size)
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            at = size + 1
        if at > size:
            yield 0, -1
            return
        yield key >> 3, kind


def _varint(content: mmap.mmap, at: int, size: int) -> tuple[int, int]:
    value = shift = 0
    while at < size and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, size + 1
