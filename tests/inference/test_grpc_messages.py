"""gRPC's messages by hand: the same bytes as the generated modules of public packages, and no way to make them harm us."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import peers
import pytest

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import tensors, v2
from kale_serve_lab.inference.grpc import tensorflow, wire
from kale_serve_lab.inference.grpc import v2 as messages

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("peer", "script"),
    [("tritonclient", "peer_v2_messages.py"), ("tfserving", "peer_tensorflow_messages.py")],
)
def test_our_bytes_are_those_of_the_generated_messages(peer, script):
    python = peers.python(peer)
    done = subprocess.run(
        [python, HERE / script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("104 cases"), done.stdout


def test_nothing_is_registered_and_nothing_of_grpcs_is_imported():
    code = """
import sys
from kale_serve_lab.inference.grpc import tensorflow, v2
print([name for name in sys.modules if name.split(".")[0] in ("google", "grpc", "numpy")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- attacks --------------------------------------------------------------------------------------------------------


def tensor(datatype="FP64", shape=(1,), contents=b"", name="x", **fields):
    body = wire.text(1, name) + wire.text(2, datatype) + wire.packed(3, shape)
    return wire.blob(5, body + (wire.blob(5, contents) if contents else b"") + fields.get("more", b""))


def raw(*parts):
    return b"".join(wire.blob(7, part) for part in parts)


ONE = struct.pack("<d", 1.0)


@pytest.mark.parametrize(
    "message",
    [
        # Lengths and varints that lie.
        b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x2a\x05abc",
        b"\x2a",
        b"\xff" * 11,
        b"\x80" * 30,
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # 65 bits
        b"\x00\x01",  # field 0
        wire.varint(1 << 33) + b"\x01",
        b"\x2b\x2c",  # a group
        b"\x0e\x01",  # wire type 6
        b"\x28\x01",  # a number where a tensor belongs
        b"\x0a\x02\xff\xfe",  # a name that is no text
        # Tensors.
        b"",
        tensor(),
        tensor() + raw(b""),
        tensor() + raw(ONE + b"x"),
        tensor() + raw(ONE, ONE),
        tensor(name="") + raw(ONE),
        tensor(datatype="FP128") + raw(ONE),
        tensor() + tensor() + raw(ONE, ONE),
        tensor(contents=wire.blob(7, ONE)) + raw(ONE),
        tensor(contents=wire.blob(7, ONE[:5])),
        tensor(contents=wire.blob(6, ONE)),
        tensor(contents=wire.blob(7, ONE * 2)),
        tensor(shape=(2**40,)) + raw(ONE),
        tensor(shape=(2**40, 2**40)) + raw(ONE),
        tensor(shape=(2**62, 8)) + raw(b""),
        tensor(shape=(0, 2**40)) + raw(b""),
        tensor(shape=(0, 65536, 65536, 65536, 65536)) + raw(b""),
        tensor("BYTES", (0, 65536, 65536, 65536, 65536)),
        tensor(shape=(-1,)) + raw(ONE),
        tensor(shape=(1,) * 33) + raw(ONE),
        tensor(shape=(2**40,), contents=wire.blob(7, ONE)),
        tensor("INT8", contents=wire.packed(2, [300])),
        tensor("INT32", contents=wire.packed(2, [2**31])),
        tensor("UINT8", contents=wire.packed(4, [-1])),
        tensor("INT64", (2,), contents=wire.packed(3, [1])),
        tensor("INT64", (2**50,), contents=wire.packed(3, [1])),
        tensor("INT64", contents=wire.blob(3, b"\xff\xff")),
        tensor("INT64", contents=wire.blob(3, b"\xff" * 10 + b"\x01")),
        tensor("INT64", contents=wire.blob(3, b"\xff" * 9 + b"\x02")),
        tensor("FP16", contents=wire.packed(2, [1])),
        tensor("BOOL") + raw(b"\x02"),
        tensor("BYTES") + raw(b"\xff\xff\xff\x7fabc"),
        tensor("BYTES", (2**30,)) + raw(b"\0" * 8),
        tensor("BYTES", (3,), contents=wire.blob(8, b"a")),
        tensor("BYTES", contents=wire.blob(8, b"a") * 2),
        tensor("BYTES", more=wire.blob(4, wire.text(1, "missing") + wire.blob(2, wire.text(3, "[7]")))) + raw(b"\0" * 4),
        tensor("BYTES", more=wire.blob(4, wire.text(1, "missing") + wire.blob(2, wire.text(3, "[" * 9000)))) + raw(b"\0" * 4),
        tensor() + raw(ONE) + wire.blob(6, b""),
        tensor() + raw(ONE) + wire.text(3, "x" * 257),
    ],
)  # fmt: skip
def test_a_v2_request_that_lies_is_refused(message):
    with pytest.raises(InvalidInput) as caught:
        messages.decode_request(message)
    assert len(caught.value.message) < 500


def test_what_the_future_may_add_is_passed_over():
    message = tensor() + raw(ONE) + wire.number(99, 5) + wire.double(98, 1.0) + wire.blob(97, b"abc")
    (found,) = messages.decode_request(message)[1].inputs
    assert found.data.tolist() == [1.0]


def test_contents_in_several_parts_are_one_message():
    contents = wire.blob(5, wire.blob(7, ONE)) + wire.blob(5, wire.double(7, 2.0))
    (found,) = messages.decode_request(tensor(shape=(2,), more=contents))[1].inputs
    assert found.data.tolist() == [1.0, 2.0]


def test_missing_texts_arrive():
    given = tensors.from_array("city", np.array(["Athens", None, ""], dtype=object))
    asked = messages.decode_request(messages.encode_request(messages.Model("m"), [given]))[1]
    assert [str(value) for value in asked.inputs[0].array] == ["Athens", "nan", ""]


@pytest.mark.parametrize(
    ("message", "times"),
    [
        # Many small things in a large message; each may cost a few times its bytes, never more.
        (b"\x2a\x00" * 200_000, 12),
        (raw(*[b""] * 200_000), 12),
        (wire.blob(4, b"") * 50_000, 2),
        (tensor("INT64", (10**6,), contents=wire.blob(3, b"\x01" * 10**6)), 24),
        (tensor("INT64", (2**40,), contents=wire.blob(3, b"\x01" * 10**6)), 24),
        (tensor("INT64", (200_000,), contents=b"\x18\x01" * 200_000), 24),
        (tensor("BYTES", (200_000,), contents=b"\x42\x00" * 200_000), 24),
        (tensor("BYTES", (2**40,)) + raw(b"\0" * 10**6), 12),
        (tensor("FP64", (2**40,), contents=wire.blob(7, b"\0" * 10**6)), 12),
        (tensor("FP64", (1,), more=(wire.blob(5, b"") * 200_000)), 12),
    ],
)
def test_memory_stays_within_a_few_times_the_message(message, times):
    messages.decode_request(tensor() + raw(ONE))
    tracemalloc.start()
    try:
        messages.decode_request(message)
    except InvalidInput:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A number of 8 bytes takes one byte on the wire: that much more is no fault of ours.
    assert peak < times * len(message) + 64 * v2.MAX_TENSORS * 8


def test_random_damage_never_gets_past_the_readers():
    chance = random.Random(7)
    given = [
        tensors.from_array("a", np.arange(6.0).reshape(2, 3)),
        tensors.from_array("b", np.array(["x", "yy"])),
    ]
    request = messages.encode_request(messages.Model("m", "1"), given, ["p"], "id", {"k": 1, "t": "s"})
    predict = tensorflow.encode_request(tensorflow.ModelSpec("m", 3, "s"), given, ["p"])
    readers = [
        (request, messages.decode_request),
        (request, messages.decode_response),
        (request, messages.decode_metadata),
        (predict, tensorflow.decode_request),
        (predict, tensorflow.decode_response),
        (predict, tensorflow.decode_metadata),
        (predict, tensorflow.decode_status),
    ]
    for message, read in readers:
        for at in range(len(message)):
            for damaged in (message[:at], message[:at] + bytes([message[at] ^ 0x80]) + message[at + 1 :]):
                try:
                    read(damaged)
                except InvalidInput:
                    pass
        for _ in range(1500):
            damaged = bytearray(message)
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            if chance.random() < 0.3:
                del damaged[chance.randrange(len(damaged)) :]
            try:
                read(bytes(damaged))
            except InvalidInput:
                pass


@pytest.mark.parametrize(
    "proto",
    [
        b"",
        wire.number(1, 99) + wire.blob(4, ONE),
        wire.number(1, 2) + wire.blob(4, ONE + b"x"),
        wire.number(1, 2) + wire.blob(2, wire.blob(2, wire.number(1, 2**40))) + wire.blob(4, ONE),
        wire.number(1, 2) + wire.blob(2, wire.blob(2, wire.number(1, 2**40))) + wire.double(6, 1.0),
        wire.number(1, 2) + wire.blob(2, wire.blob(2, wire.number(1, -1))) + wire.blob(4, ONE),
        wire.number(1, 2) + wire.blob(2, wire.blob(2, b"") * 40) + wire.blob(4, ONE),
        wire.number(1, 2) + wire.blob(4, ONE) + wire.double(6, 1.0),
        wire.number(1, 2) + wire.number(7, 1),
        wire.number(1, 6) + wire.number(7, 300),
        wire.number(1, 7) + wire.blob(4, b"abc"),
    ],
)
def test_a_tensor_proto_that_lies_is_refused(proto):
    with pytest.raises(InvalidInput):
        tensorflow.decode_request(wire.blob(2, wire.text(1, "x") + wire.blob(2, proto)))
