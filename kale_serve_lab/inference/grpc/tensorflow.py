"""TensorFlow Serving's gRPC messages (`tensorflow.serving.PredictionService`, `ModelService`) as bytes.

Numbers are written as `tensor_content`, texts as `string_val`; the typed fields of TensorProto are read as well. Sources:
tensorflow/core/framework/tensor.proto, tensorflow_serving/apis/{predict,get_model_metadata,get_model_status}.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
METADATA: Final = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"
DEFAULT_SIGNATURE: Final = "serving_default"
AVAILABLE: Final = 30

# tensorflow.DataType -> our name and the typed field of TensorProto.
_TYPES: Final = {
    1: ("FP32", 5),
    2: ("FP64", 6),
    3: ("INT32", 7),
    4: ("UINT8", 7),
    5: ("INT16", 7),
    6: ("INT8", 7),
    7: ("BYTES", 8),
    9: ("INT64", 10),
    10: ("BOOL", 11),
    17: ("UINT16", 7),
    19: ("FP16", 13),
    22: ("UINT32", 16),
    23: ("UINT64", 17),
}
_NUMBERS: Final = {name: number for number, (name, _) in _TYPES.items()}
_VALUES: Final = frozenset(range(5, 19))


@dataclass(frozen=True)
class ModelSpec:
    """Which model, version (None: the newest) and signature a message is about."""

    name: str
    version: int | None = None
    signature: str = ""


@dataclass(frozen=True)
class SignatureDef:
    """A signature of a SavedModel; the tensors' names are those of its inputs and outputs, not of the graph's nodes."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def encode_request(spec: ModelSpec, inputs: Sequence[Tensor], outputs: Sequence[str] | None = None) -> bytes:
    """A PredictRequest."""
    parts = [wire.blob(1, _encode_spec(spec)), *_encode_map(2, inputs)]
    return b"".join([*parts, *(wire.text(3, name) for name in outputs or ())])


def decode_request(message: Buffer) -> tuple[ModelSpec, v2.InferRequest]:
    """Reads a PredictRequest. Raises `InvalidInput`."""
    spec = ModelSpec("")
    found: dict[str, Tensor] = {}
    outputs: list[v2.RequestedOutput] = []
    for item in wire.fields(message, "The request"):
        if item.number == 1:
            spec = _read_spec(item)
        elif item.number == 2:
            _read_entry(item, found)
        elif item.number == 3:
            if len(outputs) >= v2.MAX_TENSORS:
                raise InvalidInput(f"There are more than {v2.MAX_TENSORS} outputs.")
            outputs.append(v2.RequestedOutput(item.text()))
    if not found:
        raise InvalidInput("A request has at least one input.")
    return spec, v2.InferRequest("", list(found.values()), outputs or None)


def encode_response(spec: ModelSpec, outputs: Sequence[Tensor]) -> bytes:
    """A PredictResponse."""
    return b"".join([*_encode_map(1, outputs), wire.blob(2, _encode_spec(spec))])


def decode_response(message: Buffer) -> v2.InferResponse:
    """Reads a PredictResponse. Raises `InvalidInput`."""
    spec = ModelSpec("")
    found: dict[str, Tensor] = {}
    for item in wire.fields(message, "The answer"):
        if item.number == 1:
            _read_entry(item, found)
        elif item.number == 2:
            spec = _read_spec(item)
    version = None if spec.version is None else str(spec.version)
    return v2.InferResponse(spec.name, version, "", list(found.values()))


def encode_metadata_request(spec: ModelSpec) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    return wire.blob(1, _encode_spec(spec)) + wire.text(2, "signature_def")


def decode_metadata(message: Buffer) -> tuple[ModelSpec, dict[str, SignatureDef]]:
    """The signatures of a GetModelMetadataResponse, by their names. Raises `InvalidInput`."""
    spec = ModelSpec("")
    found: dict[str, SignatureDef] = {}
    for item in wire.fields(message, "The metadata"):
        if item.number == 1:
            spec = _read_spec(item)
        elif item.number == 2:
            # map<string, Any>: the Any of "signature_def" holds a SignatureDefMap, which is one map.
            key, value = _entry(item)
            if key == "signature_def":
                for part in wire.fields(value, "The metadata"):
                    if part.number == 2:
                        for one in wire.fields(part.view(), "The metadata"):
                            if one.number == 1:
                                name, signature = _entry(one)
                                found[name] = _read_signature(signature)
    return spec, found


def encode_status_request(spec: ModelSpec) -> bytes:
    """A GetModelStatusRequest."""
    return wire.blob(1, _encode_spec(spec))


def decode_status(message: Buffer) -> dict[int, int]:
    """Version -> state (`AVAILABLE`: it predicts) of a GetModelStatusResponse. Raises `InvalidInput`."""
    found: dict[int, int] = {}
    for item in wire.fields(message, "The status"):
        if item.number == 1:
            version = state = 0
            for part in wire.fields(item.view(), "The status"):
                if part.number == 1:
                    version = part.signed()
                elif part.number == 2:
                    state = part.unsigned()
            found[version] = state
    return found


@dataclass
class _Proto:
    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    content: memoryview | None = None
    typed: bool = False


def _encode_spec(spec: ModelSpec) -> bytes:
    version = b"" if spec.version is None else wire.blob(2, wire.number(1, spec.version))
    return wire.text(1, spec.name) + version + wire.text(3, spec.signature)


def _read_spec(item: Field) -> ModelSpec:
    name, version, signature = "", None, ""
    for part in wire.fields(item.view(), "The model's name"):
        if part.number == 1:
            name = part.text()
        elif part.number == 2:
            version = next(
                (one.signed() for one in wire.fields(part.view(), "The version") if one.number == 1), 0
            )
        elif part.number == 3:
            signature = part.text()
    return ModelSpec(name, version, signature)


def _encode_map(number: int, given: Sequence[Tensor]) -> Iterator[bytes]:
    for tensor in given:
        yield wire.blob(number, wire.text(1, tensor.name) + wire.blob(2, _encode_tensor(tensor)))


def _encode_tensor(tensor: Tensor) -> bytes:
    sizes = b"".join(wire.blob(2, wire.number(1, size)) for size in tensor.shape)
    start = wire.number(1, _NUMBERS[tensor.dtype]) + wire.blob(2, sizes)
    if tensor.dtype == dtypes.BYTES:
        return b"".join([start, *(wire.blob(8, item) for item in tensor.data.ravel().tolist())])
    raw = tensors.to_bytes(tensor)
    return b"".join([start, wire.head(4, raw.nbytes), raw])


def _entry(item: Field) -> tuple[str, memoryview]:
    key, value = "", memoryview(b"")
    for part in wire.fields(item.view(), "An entry"):
        if part.number == 1:
            key = part.text()
        elif part.number == 2:
            value = part.view()
    return key, value


def _read_entry(item: Field, into: dict[str, Tensor]) -> None:
    name, value = _entry(item)
    if not name:
        raise InvalidInput("A tensor has a name.")
    if len(into) >= v2.MAX_TENSORS:
        raise InvalidInput(f"There are more than {v2.MAX_TENSORS} tensors.")
    into[name] = _read_tensor(name, value)


def _read_tensor(name: str, message: memoryview) -> Tensor:
    proto = _Proto()
    for item in wire.fields(message, name):
        if item.number == 1:
            proto.dtype = item.unsigned()
        elif item.number == 2:
            proto.shape = _read_shape(item, name, 0)
        elif item.number == 4:
            proto.content = item.view()
        elif item.number in _VALUES:
            proto.typed = True
    dtype, number = _type(name, proto.dtype)
    shape = tensors.checked_shape(name, proto.shape)
    if proto.content and proto.typed:
        raise InvalidInput(f"{name}: data comes either in tensor_content or typed.", subject=name)
    if proto.content and dtype != dtypes.BYTES:
        # A copy of its own is aligned, and a model may write into what it is given.
        return tensors.from_bytes(name, dtype, shape, memoryview(bytearray(proto.content)))
    return Tensor(name, dtype, shape, _typed(name, message, dtype, number, shape))


def _typed(name: str, message: memoryview, dtype: str, number: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """The values of the typed field; TensorProto's shorthand, one value for all, is read for one element only."""
    parts = _value_fields(name, message, number)
    if dtype == dtypes.BYTES:
        return tensors.from_texts(name, (bytes(part.view()) for part in parts), shape)
    count, numpy_name = math.prod(shape), dtypes.NUMPY[dtype][0]
    if dtype in ("FP32", "FP64"):
        return wire.fixed(parts, count, numpy_name, name).reshape(shape)
    found = wire.varints(parts, count, name)
    if dtype == "BOOL":
        return found.astype("bool").reshape(shape)
    if dtype == "FP16":
        # half_val holds each number's 16 bits in an int32.
        return found.astype("uint16").view("float16").reshape(shape)
    wide = found.astype("int64") if dtypes.NUMPY[dtype][0].startswith("int") else found
    narrow = wide.astype(numpy_name)
    if not bool((narrow == wide).all()):
        raise InvalidInput(f"{name}: a value lies outside of {dtype}.", subject=name)
    return narrow.reshape(shape)


def _value_fields(name: str, message: memoryview, number: int) -> Iterator[Field]:
    for item in wire.fields(message, name):
        if item.number == number:
            yield item
        elif item.number in _VALUES:
            raise InvalidInput(f"{name}: the values are not those of its dtype.", subject=name)


def _type(name: str, number: int) -> tuple[str, int]:
    try:
        return _TYPES[number]
    except KeyError:
        raise InvalidInput(
            f"{name}: TensorFlow's data type {str(number)[:20]} is not known.",
            subject=name,
            hint=f"Known are {', '.join(_NUMBERS)}.",
        ) from None


def _read_shape(item: Field, name: str, smallest: int) -> list[int]:
    sizes: list[int] = []
    for part in wire.fields(item.view(), name):
        if part.number == 2:
            size = 0
            for one in wire.fields(part.view(), name):
                if one.number == 1:
                    size = one.signed()
            if size < smallest or len(sizes) >= tensors.MAX_RANK:
                raise InvalidInput(f"{name}: {str([*sizes, size])[:80]} is not a shape.", subject=name)
            sizes.append(size)
    return sizes


def _read_signature(message: memoryview) -> SignatureDef:
    listed: dict[int, list[TensorSpec]] = {1: [], 2: []}
    for item in wire.fields(message, "A signature"):
        if item.number not in listed:
            continue
        name, value = _entry(item)
        dtype, shape = 0, []
        for part in wire.fields(value, name):
            if part.number == 2:
                dtype = part.unsigned()
            elif part.number == 3:
                shape = _read_shape(part, name, -1)
        if dtype in _TYPES and name and len(listed[item.number]) < v2.MAX_TENSORS:
            listed[item.number].append(TensorSpec(name, _TYPES[dtype][0], tuple(shape)))
    # A protobuf map has no order; by name it is the same one each time.
    return SignatureDef(*(tuple(sorted(found, key=lambda spec: spec.name)) for found in listed.values()))


def chosen(signatures: Mapping[str, SignatureDef]) -> SignatureDef:
    """The signature that predicts by default, else the first."""
    return signatures.get(DEFAULT_SIGNATURE) or next(iter(signatures.values()), SignatureDef())


def as_json(spec: ModelSpec, signatures: Mapping[str, SignatureDef]) -> dict[str, Any]:
    """The metadata in the form of the v2 protocol, from the signature that predicts by default."""
    signature = chosen(signatures)
    return {
        "name": spec.name,
        "versions": [] if spec.version is None else [str(spec.version)],
        "platform": "tensorflow",
        **{
            key: [{"name": one.name, "datatype": one.dtype, "shape": list(one.shape)} for one in listed]
            for key, listed in (("inputs", signature.inputs), ("outputs", signature.outputs))
        },
    }
