"""Bodies made to hurt (faults-and-attacks, number 15): refused with InvalidInput, never more memory than the body's."""

from __future__ import annotations

import json
import random
import tracemalloc

import numpy as np
import pytest

from kale_serve_lab.errors import InvalidInput
from kale_serve_lab.inference import dtypes, strict_json, tensors, v1, v2


def body(**tensor):
    return json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]} | tensor]}
    ).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[1" + b"0" * 10_000 + b"]",
        b"[1e999]",
        b"[-1e999]",
        b"[1" + b"0" * 400 + b".0]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b'{"a": 1, "a": 2}',
        b'["\\ud800"]',
        b'["\\udc00\\ud800"]',
        b'{"\\ud800": 1}',
        b"\xff",
        '["a"]'.encode("utf-16"),
        b"\xef\xbb\xbf[]",
        b"",
        b"[1,]",
        b"['a']",
        b"[1] 2",
        b"nul",
        b"[01]",
    ],
)
def test_json_beyond_the_standard(text):
    with pytest.raises(InvalidInput):
        strict_json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b"[1e308]", [1e308]),
        (b"[1e-999]", [0.0]),
        (b"[100000000000000000000]", [10**20]),
        (b'{"a":{"a":1}}', {"a": {"a": 1}}),
        (b"null", None),
    ],
)
def test_json_within_it(text, value):
    assert strict_json.loads(text) == value


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [2**40]},
        {"shape": [-1]},
        {"shape": [-1, -1]},
        {"shape": [2**32, 2**32]},
        {"shape": [2**64]},
        {"shape": [2**63]},
        {"shape": [2**40, 0], "data": []},
        {"shape": [2**62, 2**62, 0], "data": []},
        {"shape": [1.0]},
        {"shape": [True]},
        {"shape": "1"},
        {"shape": None},
        {"shape": [1] * 33},
        {"shape": [[1]]},
        {"shape": [2]},
        {"shape": [0]},
        {"shape": [], "data": [1, 2]},
        {"data": None},
        {"data": {}},
        {"data": "1"},
        {"data": ["1"]},
        {"data": [[1.0, 2.0]]},
        {"data": [[[1.0]]]},
        {"data": [[]]},
        {"shape": [2, 2], "data": [[1, 2], [3]]},
        {"shape": [2, 2], "data": [[1, 2, 3], [4]]},
        {"shape": [2, 2], "data": [1, [2], 3, 4]},
        {"datatype": "FP128"},
        {"datatype": None},
        {"datatype": ["FP64"]},
        {"datatype": "x" * 10_000},
        {"name": ""},
        {"name": 1},
        {"name": None},
        {"datatype": "INT8", "data": [128]},
        {"datatype": "UINT8", "data": [-1]},
        {"datatype": "INT64", "data": [2**63]},
        {"datatype": "UINT64", "data": [2**64]},
        {"datatype": "INT64", "data": [1.5]},
        {"datatype": "INT64", "data": [None]},
        {"datatype": "BOOL", "data": [2]},
        {"datatype": "BOOL", "data": ["true"]},
        {"datatype": "BOOL", "data": [-1]},
        {"datatype": "FP32", "data": [1e300]},
        {"datatype": "FP16", "data": [70000]},
        {"datatype": "FP64", "data": [10**400]},
        {"datatype": "BYTES", "data": [1]},
        {"datatype": "BYTES", "data": [["a"], "b"]},
        {"parameters": []},
        {"parameters": "x"},
        {"parameters": {"binary_data_size": 8}},
        {"data": None, "parameters": {"binary_data_size": 8}},
        {"data": None, "parameters": {"binary_data_size": -8}},
        {"data": None, "parameters": {"binary_data_size": True}},
        {"data": None, "parameters": {"binary_data_size": 1e3}},
        {"data": None, "parameters": {"binary_data_size": 2**70}},
    ],
)
def test_tensors_that_lie(tensor):
    raw = body(**tensor)
    tracemalloc.start()
    with pytest.raises(InvalidInput):
        v2.decode_request(raw, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{}",
        b'{"inputs": {}}',
        b'{"inputs": [1]}',
        b'{"inputs": []}',
        b'{"inputs": null}',
        b'{"id": 1, "inputs": []}',
        b'{"parameters": 1, "inputs": []}',
        json.dumps({"id": "x" * 1000, "inputs": json.loads(body())["inputs"]}).encode(),
        json.dumps({"inputs": json.loads(body())["inputs"] * 2}).encode(),
        json.dumps({"inputs": json.loads(body())["inputs"], "outputs": [{"name": 1}]}).encode(),
        json.dumps(
            {
                "inputs": json.loads(body())["inputs"],
                "outputs": [{"name": "a", "parameters": {"binary_data": "yes"}}],
            }
        ).encode(),
    ],
)
def test_requests_that_are_none(raw):
    with pytest.raises(InvalidInput):
        v2.decode_request(raw, None)


@pytest.mark.parametrize(
    ("dtype", "shape", "raw"),
    [
        ("FP64", [2**40], b"x" * 8),
        ("FP64", [1], b"x" * 7),
        ("FP64", [1], b"x" * 9),
        ("FP64", [2**61], b""),
        ("BOOL", [2], b"\x01\x02"),
        ("BYTES", [2**40], b"\0" * 8),
        ("BYTES", [1], b"\xff\xff\xff\xff"),
        ("BYTES", [1], b"\x05\0\0\0abc"),
        ("BYTES", [1], b"\0\0\0\0\0"),
        ("BYTES", [2], b"\x04\0\0\0abcd"),
        ("BYTES", [1], b"\0\0"),
    ],
)
def test_binary_data_that_lies(dtype, shape, raw):
    header = body(datatype=dtype, shape=shape, data=None, parameters={"binary_data_size": len(raw)})
    with pytest.raises(InvalidInput):
        v2.decode_request(header + raw, len(header))


def test_headers_that_lie_about_their_length():
    raw = body()
    for length in (len(raw) + 1, len(raw) - 1, 0, 2**40):
        with pytest.raises(InvalidInput):
            v2.decode_request(raw, length)
    with pytest.raises(InvalidInput, match="left after"):
        v2.decode_request(raw + b"more", len(raw))
    for value in ("-1", "1.0", "", "9" * 20, "\u0664", " 5"):
        with pytest.raises(InvalidInput):
            v2.header_length(value)


def test_gaps_that_lie():
    for gaps in ([5], [-1], ["0"], "x", [True], {"0": 1}):
        header = body(
            datatype="BYTES", shape=[1], data=None, parameters={"binary_data_size": 4, "missing": gaps}
        )
        with pytest.raises(InvalidInput):
            v2.decode_request(header + b"\0\0\0\0", len(header))


def test_a_v1_request_is_an_object_with_a_list():
    for raw in (b"[]", b"1", b'"a"', b"null"):
        with pytest.raises(InvalidInput):
            v1.decode_request(raw)
    for payload in ({}, {"instances": 1}, {"instances": {}}):
        with pytest.raises(InvalidInput):
            v1.instances(payload)
    for parameters in (1, {"outputs": "a"}, {"outputs": []}, {"outputs": [1]}):
        with pytest.raises(InvalidInput):
            v1.requested_outputs({"parameters": parameters})


def test_noise_is_either_read_or_refused():
    """Random damage to a good body: InvalidInput or a request whose tensors fit the body, and nothing else."""
    rng = random.Random(random.getrandbits(32))
    good = [
        tensors.from_array("a", np.arange(12.0).reshape(3, 4)),
        tensors.from_array("b", np.array(["x", "yy", None], dtype=object)),
        tensors.from_array("c", np.array([True, False, True])),
        tensors.from_array("d", np.array([1, 2, 3], dtype="uint16")),
    ]
    for binary in (True, False):
        header, buffers, length = v2.encode_request(good, ["predict"], binary=binary)
        whole = header + b"".join(buffers)
        for _ in range(1500):
            raw = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(raw))
                change = rng.randrange(3)
                if change == 0:
                    raw[at] = rng.randrange(256)
                elif change == 1:
                    del raw[at : at + rng.randint(1, 9)]
                else:
                    raw[at:at] = bytes(
                        rng.choice(b'0123456789-[]{}",e.\x00\xff') for _ in range(rng.randint(1, 9))
                    )
            try:
                found = v2.decode_request(raw, length)
            except InvalidInput:
                continue
            for tensor in found.inputs:
                assert tensor.dtype in dtypes.ALL
                assert tensor.array.shape == tensor.shape
                assert tensor.array.nbytes <= 8 * len(raw)
