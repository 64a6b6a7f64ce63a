"""The Open Inference Protocol's gRPC messages (`inference.GRPCInferenceService`) as bytes.

Tensors are written raw (`raw_input_contents`, `raw_output_contents`), BYTES with a length of 4 bytes before each text; typed
contents are read as well. Source: https://github.com/kserve/open-inference-protocol, grpc_predict_v2.proto.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, tensors, v2
from kale_serve_lab.inference.grpc import wire
from kale_serve_lab.inference.grpc.wire import Buffer, Field
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.inference.tensors import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERVICE: Final = "inference.GRPCInferenceService"
_MAX_PARAMETERS: Final = 1024
_MAX_PARTS: Final = 64

# dtype -> the field of InferTensorContents. FP16 has none and comes raw.
_CONTENTS: Final = {
    "BOOL": 1,
    "INT8": 2,
    "INT16": 2,
    "INT32": 2,
    "INT64": 3,
    "UINT8": 4,
    "UINT16": 4,
    "UINT32": 4,
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    "BYTES": 8,
}


def method(name: str) -> str:
    """The path of a method: `method("ModelInfer")`."""
    return f"/{SERVICE}/{name}"


@dataclass(frozen=True)
class Model:
    """Which model a message is about; `version` is "" where it is left to the server."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class ModelMetadata:
    """A server's description of a model; a shape has -1 where any size will do."""

    name: str
    versions: tuple[str, ...] = ()
    platform: str = ""
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the same protocol says it over HTTP."""
        return {
            "name": self.name,
            "versions": list(self.versions),
            "platform": self.platform,
            **{
                key: [
                    {"name": name, "datatype": datatype, "shape": list(shape)}
                    for name, datatype, shape in found
                ]
                for key, found in (("inputs", self.inputs), ("outputs", self.outputs))
            },
        }


def encode_request(
    model: Model,
    inputs: Sequence[Tensor],
    outputs: Sequence[str] | None = None,
    id: str | None = None,  # noqa: A002
    parameters: Mapping[str, Any] | None = None,
) -> bytes:
    """A ModelInferRequest."""
    parts: list[Buffer] = [
        wire.text(1, model.name),
        wire.text(2, model.version),
        wire.text(3, id or v2.new_id()),
    ]
    parts += _parameters(4, parameters or {})
    parts += [wire.blob(5, _tensor(tensor)) for tensor in inputs]
    parts += [wire.blob(6, wire.text(1, name)) for name in outputs or ()]
    return b"".join(_raw(7, parts, inputs))


def decode_request(message: Buffer) -> tuple[Model, v2.InferRequest]:
    """Reads a ModelInferRequest. Raises `InvalidInput`."""
    name = version = request_id = ""
    parameters: dict[str, Any] = {}
    found: list[Field] = []
    outputs: list[v2.RequestedOutput] = []
    raw: list[memoryview] = []
    for item in wire.fields(message, "The request"):
        if item.number == 1:
            name = item.text()
        elif item.number == 2:
            version = item.text()
        elif item.number == 3:
            request_id = _id(item)
        elif item.number == 4:
            _read_parameter(item, parameters)
        elif item.number == 5:
            _bounded(found, "inputs").append(item)
        elif item.number == 6:
            _bounded(outputs, "outputs").append(v2.RequestedOutput(_requested(item)))
        elif item.number == 7:
            _bounded(raw, "raw_input_contents").append(item.view())
    inputs = _read_tensors(found, raw, "raw_input_contents")
    if not inputs:
        raise InvalidInput("A v2 request has at least one input.")
    return Model(name, version), v2.InferRequest(request_id, inputs, outputs or None, parameters)


def encode_response(response: v2.InferResponse) -> bytes:
    """A ModelInferResponse."""
    parts: list[Buffer] = [
        wire.text(1, response.model_name),
        wire.text(2, response.model_version or ""),
        wire.text(3, response.id),
    ]
    parts += _parameters(4, response.parameters)
    parts += [wire.blob(5, _tensor(tensor)) for tensor in response.outputs]
    return b"".join(_raw(6, parts, response.outputs))


def decode_response(message: Buffer) -> v2.InferResponse:
    """Reads a ModelInferResponse. Raises `InvalidInput`."""
    name = version = request_id = ""
    parameters: dict[str, Any] = {}
    found: list[Field] = []
    raw: list[memoryview] = []
    for item in wire.fields(message, "The answer"):
        if item.number == 1:
            name = item.text()
        elif item.number == 2:
            version = item.text()
        elif item.number == 3:
            request_id = item.text()
        elif item.number == 4:
            _read_parameter(item, parameters)
        elif item.number == 5:
            _bounded(found, "outputs").append(item)
        elif item.number == 6:
            _bounded(raw, "raw_output_contents").append(item.view())
    return v2.InferResponse(
        name, version or None, request_id, _read_tensors(found, raw, "raw_output_contents"), parameters
    )


def encode_model(model: Model) -> bytes:
    """A ModelReadyRequest or ModelMetadataRequest."""
    return wire.text(1, model.name) + wire.text(2, model.version)


def decode_model(message: Buffer) -> Model:
    """Reads either."""
    name = version = ""
    for item in wire.fields(message, "The request"):
        if item.number == 1:
            name = item.text()
        elif item.number == 2:
            version = item.text()
    return Model(name, version)


def encode_flag(value: bool) -> bytes:  # noqa: FBT001
    """A ServerLiveResponse, ServerReadyResponse or ModelReadyResponse."""
    return wire.number(1, 1) if value else b""


def decode_flag(message: Buffer) -> bool:
    """Reads any of them."""
    value = False
    for item in wire.fields(message, "The answer"):
        if item.number == 1:
            value = item.boolean()
    return value


def encode_server(name: str, version: str, extensions: Sequence[str]) -> bytes:
    """A ServerMetadataResponse."""
    return wire.text(1, name) + wire.text(2, version) + b"".join(wire.text(3, item) for item in extensions)


def encode_metadata(
    model: Model, platform: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]
) -> bytes:
    """A ModelMetadataResponse."""
    parts = [wire.text(1, model.name), wire.text(2, model.version), wire.text(3, platform)]
    for number, specs in ((4, inputs), (5, outputs)):
        parts += [
            wire.blob(number, wire.text(1, spec.name) + wire.text(2, spec.dtype) + wire.packed(3, spec.shape))
            for spec in specs
        ]
    return b"".join(parts)


def decode_metadata(message: Buffer) -> ModelMetadata:
    """Reads a ModelMetadataResponse. Raises `InvalidInput`."""
    name = platform = ""
    versions: list[str] = []
    listed: dict[int, list[tuple[str, str, tuple[int, ...]]]] = {4: [], 5: []}
    for item in wire.fields(message, "The metadata"):
        if item.number == 1:
            name = item.text()
        elif item.number == 2:
            _bounded(versions, "versions").append(item.text())
        elif item.number == 3:
            platform = item.text()
        elif item.number in listed:
            _bounded(listed[item.number], "tensors").append(_read_head(item, -1).told())
    return ModelMetadata(name, tuple(versions), platform, tuple(listed[4]), tuple(listed[5]))


@dataclass
class _Head:
    """A tensor's name, datatype and shape, and its typed contents: InferTensorContents, as yet unread.

    Contents that come in several parts are one message: protobuf merges them.
    """

    name: str = ""
    datatype: str = ""
    shape: list[int] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    contents: list[memoryview] = field(default_factory=list)

    def told(self) -> tuple[str, str, tuple[int, ...]]:
        return self.name, self.datatype, tuple(self.shape)


def _tensor(tensor: Tensor) -> bytes:
    parts = [
        wire.text(1, tensor.name),
        wire.text(2, tensor.dtype),
        wire.packed(3, tensor.shape),
        *_parameters(4, tensor.parameters),
    ]
    return b"".join(parts)


def _raw(number: int, parts: list[Buffer], sent: Sequence[Tensor]) -> list[Buffer]:
    for tensor in sent:
        raw = tensors.to_bytes(tensor)
        parts += (wire.head(number, raw.nbytes), raw)
    return parts


def _parameters(number: int, parameters: Mapping[str, Any]) -> list[bytes]:
    made = []
    for key, value in parameters.items():
        if isinstance(value, bool):
            one = wire.number(1, int(value))
        elif isinstance(value, int):
            one = wire.number(2, value) if value < 2**63 else wire.number(5, value)
        elif isinstance(value, float):
            one = wire.double(4, value)
        else:
            # Lists (where texts are missing) have no form of their own here and travel as JSON text.
            said = value if isinstance(value, str) else json.dumps(value)
            one = wire.blob(3, said.encode("utf-8", "replace"))
        made.append(wire.blob(number, wire.text(1, key) + wire.blob(2, one)))
    return made


def _read_parameter(item: Field, into: dict[str, Any]) -> None:
    key: str = ""
    value: bool | int | float | str | None = None
    for part in wire.fields(item.view(), "A parameter"):
        if part.number == 1:
            key = part.text()
        elif part.number == 2:
            for one in wire.fields(part.view(), "A parameter"):
                if one.number == 1:
                    value = one.boolean()
                elif one.number == 2:
                    value = one.signed()
                elif one.number == 3:
                    value = one.text()
                elif one.number == 4:
                    value = one.double()
                elif one.number == 5:
                    value = one.unsigned()
    if len(into) >= _MAX_PARAMETERS:
        raise InvalidInput(f"There are more than {_MAX_PARAMETERS} parameters.")
    into[key] = value


def _read_head(item: Field, smallest: int) -> _Head:
    head = _Head()
    for part in wire.fields(item.view(), "A tensor"):
        if part.number == 1:
            head.name = part.text()
        elif part.number == 2:
            head.datatype = part.text()
        elif part.number == 3:
            _read_sizes(part, head, smallest)
        elif part.number == 4:
            _read_parameter(part, head.parameters)
        elif part.number == 5:
            if len(head.contents) >= _MAX_PARTS:
                raise InvalidInput(
                    f"{head.name or 'A tensor'}: the contents come in more than {_MAX_PARTS} parts."
                )
            head.contents.append(part.view())
    return head


def _read_sizes(part: Field, head: _Head, smallest: int) -> None:
    what = head.name or "A tensor"
    if part.kind == wire.VARINT:
        head.shape.append(part.signed())
    else:
        view = part.view()
        if view.nbytes > tensors.MAX_RANK * 10:
            raise InvalidInput(f"{what}: a shape is a list of at most {tensors.MAX_RANK} sizes.")
        count = sum(byte < 0x80 for byte in view)
        found = wire.varints([part], count, what).astype("int64")
        head.shape += found.tolist()
    if len(head.shape) > tensors.MAX_RANK or any(size < smallest for size in head.shape):
        raise InvalidInput(f"{what}: {str(head.shape)[:80]} is not a shape.", subject=head.name or None)


def _read_tensors(found: Sequence[Field], raw: Sequence[memoryview], where: str) -> list[Tensor]:
    if raw and len(raw) != len(found):
        raise InvalidInput(f"{where} has {len(raw)} entries for {len(found)} tensors.")
    made: dict[str, Tensor] = {}
    for at, item in enumerate(found):
        tensor = _read_tensor(_read_head(item, 0), raw[at] if raw else None, where)
        if tensor.name in made:
            raise InvalidInput(f"The tensor {tensor.name!r} is there twice.", subject=tensor.name)
        made[tensor.name] = tensor
    return list(made.values())


def _read_tensor(head: _Head, raw: memoryview | None, where: str) -> Tensor:
    name, dtype = head.name, head.datatype
    if not name:
        raise InvalidInput("A tensor has a name.")
    if dtype not in dtypes.ALL:
        raise InvalidInput(
            f"{name}: the datatype {dtype[:40]!r} is not known.",
            subject=name,
            hint=f"Known are {', '.join(dtypes.ALL)}.",
        )
    shape = tensors.checked_shape(name, head.shape)
    parameters = dict(head.parameters)
    if isinstance(parameters.get(tensors.MISSING), str):
        try:
            parameters[tensors.MISSING] = json.loads(parameters[tensors.MISSING])
        except (ValueError, RecursionError):
            raise InvalidInput(f"{name}: parameter {tensors.MISSING} is no list.", subject=name) from None
    if raw is not None:
        if any(head.contents):
            raise InvalidInput(f"{name}: data comes either in contents or in {where}.", subject=name)
        # A copy of its own is aligned, and a model may write into what it is given.
        return tensors.from_bytes(name, dtype, shape, memoryview(bytearray(raw)), parameters)
    return Tensor(name, dtype, shape, _typed(head, dtype, shape), parameters)


def _typed(head: _Head, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The values of typed contents."""
    name, count = head.name, math.prod(shape)
    parts = _content_fields(head, dtype)
    if dtype == dtypes.BYTES:
        return tensors.from_texts(name, (bytes(part.view()) for part in parts), shape)
    numpy_name = dtypes.NUMPY[dtype][0]
    if dtype in ("FP32", "FP64"):
        return wire.fixed(parts, count, numpy_name, name).reshape(shape)
    found = wire.varints(parts, count, name)
    if dtype == "BOOL":
        return found.astype("bool").reshape(shape)
    wide = found.astype("int64") if dtype.startswith("INT") else found
    narrow = wide.astype(numpy_name)
    if not bool((narrow == wide).all()):
        raise InvalidInput(f"{name}: a value lies outside of {dtype}.", subject=name)
    return narrow.reshape(shape)


def _content_fields(head: _Head, dtype: str) -> Iterator[Field]:
    for contents in head.contents:
        for part in wire.fields(contents, head.name):
            if part.number != _CONTENTS.get(dtype):
                raise InvalidInput(
                    f"{head.name}: the contents are not those of {dtype}.",
                    subject=head.name,
                    hint="FP16 travels in raw_input_contents." if dtype == "FP16" else None,
                )
            yield part


def _requested(item: Field) -> str:
    name = ""
    for part in wire.fields(item.view(), "A requested output"):
        if part.number == 1:
            name = part.text()
    if not name:
        raise InvalidInput("A requested output has a name.")
    return name


def _id(item: Field) -> str:
    found = item.text()
    if len(found) > 256:
        raise InvalidInput("An id is a text of at most 256 characters.")
    return found


def _bounded(found: list[Any], what: str) -> list[Any]:
    if len(found) >= v2.MAX_TENSORS:
        raise InvalidInput(f"There are more than {v2.MAX_TENSORS} {what}.")
    return found
