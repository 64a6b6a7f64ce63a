"""Run by an interpreter that has tritonclient: our bytes and the generated messages' are each other's, both ways."""

from __future__ import annotations

import random
import sys

import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, tensors, v2
from kale_serve_lab.inference.grpc import v2 as ours
from kale_serve_lab.inference.signature import TensorSpec

CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(["INT8", "INT16", "INT32"], "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(["UINT8", "UINT16", "UINT32"], "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
PARAMETERS = {"a": True, "b": False, "c": -(2**63), "d": 2**64 - 1, "e": "é\n", "f": -0.5, "g": 0, "": 1}


def filled(rng, dtype, shape):
    count = int(np.prod(shape))
    if dtype == "BYTES":
        pool = ["", "a", "日本", "x" * 300, "\0"]
        found = np.empty(count, dtype=object)
        found[:] = [pool[i] for i in rng.integers(0, len(pool), count)]
        return found.reshape(shape)
    name, width = dtypes.NUMPY[dtype]
    if dtype == "BOOL":
        return rng.integers(0, 2, count).astype(bool).reshape(shape)
    # All bit patterns: the least and the greatest numbers, NaN, infinity.
    return np.frombuffer(rng.bytes(count * width), dtype=name).reshape(shape)


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and (
        one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()
    )  # fmt: skip


def parameters(message):
    found = {}
    for key, value in message.items():
        which = value.WhichOneof("parameter_choice")
        found[key] = which and getattr(value, which)
    return found


def main():
    rng, choice = np.random.default_rng(0), random.Random(0)
    cases = 0
    for dtype in dtypes.ALL:
        for shape in [(), (1,), (0,), (7,), (3, 4), (2, 1, 5), (2, 0, 3), (400, 40)]:
            values = filled(rng, dtype, shape)
            tensor = tensors.from_array("naïve", values)
            if not tensor.data.size and dtype == "BYTES":
                tensor = tensors.Tensor("naïve", "BYTES", shape, values)
            other = tensors.from_array("z", np.arange(3))

            # Ours, read by theirs.
            sent = ours.encode_request(
                ours.Model("m", "2"),
                [tensor, other],
                ["p", "q"],
                "id-1",
                {k: v for k, v in PARAMETERS.items() if k},
            )
            read = pb.ModelInferRequest.FromString(sent)
            assert (read.model_name, read.model_version, read.id) == ("m", "2", "id-1")
            assert parameters(read.parameters) == {k: v for k, v in PARAMETERS.items() if k}
            assert [item.name for item in read.outputs] == ["p", "q"]
            assert (read.inputs[0].name, read.inputs[0].datatype, tuple(read.inputs[0].shape)) == (
                "naïve",
                dtype,
                shape,
            )
            raw = read.raw_input_contents[0]
            if dtype == "BYTES":
                texts = deserialize_bytes_tensor(raw) if raw else np.empty(0, dtype=object)
                assert [item.decode() for item in texts] == values.ravel().tolist()
            else:
                assert raw == values.tobytes()
            assert np.frombuffer(read.raw_input_contents[1], dtype="int64").tolist() == [0, 1, 2]

            # Theirs, read by ours: raw, then typed.
            theirs = pb.ModelInferRequest(model_name="m", id="7")
            for key, value in PARAMETERS.items():
                field = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[
                    type(value)
                ]
                setattr(theirs.parameters[key], "uint64_param" if value == 2**64 - 1 else field, value)
            item = theirs.inputs.add(name="t", datatype=dtype, shape=list(shape))
            item.parameters["x"].string_param = "y"
            theirs.outputs.add(name="o").parameters["binary_data"].bool_param = True
            if dtype == "BYTES":
                encoded = np.array([v.encode() for v in values.ravel()], dtype=object)
                packed = serialize_byte_tensor(encoded)
                theirs.raw_input_contents.append(packed.item() if packed.size else b"")
            else:
                theirs.raw_input_contents.append(values.tobytes())
            model, asked = ours.decode_request(theirs.SerializeToString())
            assert (model.name, asked.id, asked.parameters) == ("m", "7", PARAMETERS)
            assert [output.name for output in asked.outputs] == ["o"]
            (got,) = asked.inputs
            assert got.parameters == {"x": "y"}
            assert same(got.array, values), (dtype, shape)
            assert got.data.size == 0 or got.data.flags.writeable
            if dtype in CONTENTS:
                del theirs.raw_input_contents[:]
                flat = [v.encode() for v in values.ravel()] if dtype == "BYTES" else values.ravel().tolist()
                getattr(item.contents, CONTENTS[dtype]).extend(flat)
                message = theirs.SerializeToString()
                got = ours.decode_request(message)[1].inputs[0].array
                # A signalling NaN does not survive the Python float that theirs is filled by.
                floats = values.dtype.kind == "f"
                assert np.array_equal(got, values, equal_nan=True) if floats else same(got, values)

            if shape == (3, 4):
                small = theirs.SerializeToString()

            # Answers.
            answer = ours.encode_response(v2.InferResponse("m", "3", "id-2", [tensor], {"k": 1}))
            read = pb.ModelInferResponse.FromString(answer)
            assert (read.model_name, read.model_version, read.id) == ("m", "3", "id-2")
            assert parameters(read.parameters) == {"k": 1}
            found = ours.decode_response(read.SerializeToString())
            assert same(found.outputs[0].array, values)
            assert (found.model_name, found.model_version, found.id, found.parameters) == (
                "m",
                "3",
                "id-2",
                {"k": 1},
            )
            cases += 1

    specs = [TensorSpec("x", "FP32", (-1, 4)), TensorSpec("y", "BYTES", (-1,))]
    told = pb.ModelMetadataResponse.FromString(
        ours.encode_metadata(ours.Model("m", "3"), "sklearn", specs, specs[:1])
    )
    assert [(item.name, item.datatype, list(item.shape)) for item in told.inputs] == [
        ("x", "FP32", [-1, 4]),
        ("y", "BYTES", [-1]),
    ]
    assert (told.name, list(told.versions), told.platform, len(told.outputs)) == ("m", ["3"], "sklearn", 1)
    back = ours.decode_metadata(told.SerializeToString())
    assert back.inputs == (("x", "FP32", (-1, 4)), ("y", "BYTES", (-1,)))
    for kind in (
        pb.ServerLiveResponse(live=True),
        pb.ServerReadyResponse(ready=True),
        pb.ModelReadyResponse(ready=True),
    ):
        assert ours.decode_flag(kind.SerializeToString())
        assert ours.encode_flag(True) == kind.SerializeToString()
        assert not ours.decode_flag(b"")
    for kind in (pb.ModelReadyRequest, pb.ModelMetadataRequest):
        assert ours.decode_model(kind(name="a", version="b").SerializeToString()) == ours.Model("a", "b")
        assert kind.FromString(ours.encode_model(ours.Model("a", "b"))) == kind(name="a", version="b")
    assert pb.ServerMetadataResponse.FromString(ours.encode_server("n", "1", ["e", "f"])).extensions == [
        "e",
        "f",
    ]

    # A client's package and ours in one process, whatever it registered.
    assert not [name for name in sys.modules if name.startswith("kale_serve_lab") and name.endswith("_pb2")]

    # A message that somebody damaged: whoever of the two reads more into it, ours never breaks.
    refused = 0
    for _ in range(3000):
        damaged = bytearray(small)
        for _ in range(choice.randint(1, 4)):
            damaged[choice.randrange(min(len(damaged), 200))] = choice.randrange(256)
        try:
            ours.decode_request(bytes(damaged))
        except InvalidInput:
            refused += 1
    print(cases, "cases", refused, "refused")


main()
