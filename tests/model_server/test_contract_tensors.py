"""PyTorch, TensorFlow and ONNX: made, saved and served by a user's own interpreter; answers over every form equal the model's own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest

from kale_serve_lab.inference import tensors, v2
from kale_serve_lab.inference.signature import Signature

HERE = Path(__file__).parent
MODELS = {
    "torch": ("network", "two", "image", "by_data", "scripted", "bfloat16", "fixed"),
    "tensorflow": ("dense", "two", "texts", "module"),
    "onnx": ("zipmap", "labels", "columns", "masked", "fixed"),
}


@dataclass
class Case:
    name: str
    told: dict[str, Any]
    signature: Signature
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def rows(self):
        """As v1 has them."""
        if self.signature.layout == "tensors":
            listed = {name: array.tolist() for name, array in self.inputs.items()}
            return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
        (array,) = self.inputs.values()
        return array.tolist()

    def tensors(self):
        return [tensors.from_array(name, array) for name, array in self.inputs.items()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a framework's models, made once by its peer."""
    folders = {}

    def make(framework):
        if framework not in folders:
            folder = tmp_path_factory.mktemp(framework)
            ran = subprocess.run(
                [
                    peers.python(framework),
                    "-W",
                    "error::UserWarning:kale_serve_lab",
                    HERE / "peer_models.py",
                    framework,
                    folder,
                ],
                env=os.environ | {"PYTHONPATH": str(HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert ran.returncode == 0, ran.stderr
            folders[framework] = folder
        return folders[framework]

    return make


def case_of(folder, name):
    told = json.loads((folder / f"{name}.json").read_text())
    held = np.load(folder / f"{name}.npz", allow_pickle=True)
    return Case(
        name,
        told,
        Signature.from_json(told["signature"]),
        {key[3:]: held[key] for key in held.files if key.startswith("in_")},
        {key[4:]: held[key] for key in held.files if key.startswith("out_")},
    )


@pytest.fixture(scope="module", params=[(f, n) for f, names in MODELS.items() for n in names], ids="-".join)
def served(request, made, module_servers):
    framework, name = request.param
    folder = made(framework)
    case = case_of(folder, name)
    server = module_servers(
        framework=case.told["framework"],
        class_name=case.told["class_name"],
        artifact_dir=str(folder / name),
        signature=case.told["signature"],
    )
    server.start(peers.python(framework), {"TF_CPP_MIN_LOG_LEVEL": "3"})
    yield case, server.ready()
    server.close()


def infer(server, given, names=None, *, binary=True):
    header, buffers, length = v2.encode_request(given, names, "r-1", binary=binary)
    headers = {} if length is None else {v2.LENGTH_HEADER: str(length)}
    return server.request("POST", "/v2/models/iris/infer", b"".join([header, *buffers]), headers)


def outputs_of(answer):
    assert answer.status == 200, answer.body
    found = v2.decode_response(answer.body, v2.header_length(answer.headers.get(v2.LENGTH_HEADER)))
    return {tensor.name: tensor for tensor in found.outputs}


def same(answer, own):
    assert np.asarray(answer).shape == own.shape
    assert np.asarray(answer).tolist() == own.tolist()


def refused(answer):
    assert answer.status == 400, answer.body
    assert answer.error["code"] == "InvalidInput"
    return answer.error["message"]


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_v2(served, binary):
    case, server = served
    found = outputs_of(infer(server, case.tensors()[::-1], binary=binary))
    assert found.keys() == case.outputs.keys()
    for name, own in case.outputs.items():
        same(found[name].array, own)
        if own.dtype.kind in "biuf":
            # What has no bits of its own on the wire (bfloat16) has those of a type that holds it.
            assert found[name].array.dtype == own.dtype


def test_each_output_by_its_name(served):
    case, server = served
    for name, own in case.outputs.items():
        found = outputs_of(infer(server, case.tensors(), [name]))
        assert list(found) == [name]
        same(found[name].array, own)


def test_predict_asks_for_all(served):
    case, server = served
    assert outputs_of(infer(server, case.tensors(), ["predict"])).keys() == case.outputs.keys()


def test_v1(served):
    case, server = served
    answer = server.v1(case.rows())
    assert answer.status == 200, answer.body
    predictions = answer.json["predictions"]
    if len(case.outputs) == 1:
        same(predictions, next(iter(case.outputs.values())))
    elif case.name == "by_data":
        # Outputs without names are a list of them, as scikit-learn's are.
        for found, own in zip(predictions, case.outputs.values(), strict=True):
            same(found, own)
    else:
        for name, own in case.outputs.items():
            same([row[name] for row in predictions], own)


def test_rows_one_at_a_time_are_the_rows_together(served):
    case, server = served
    if case.name == "fixed":
        pytest.skip("takes five")
    one = {name: array[:1] for name, array in case.inputs.items()}
    found = outputs_of(infer(server, [tensors.from_array(name, array) for name, array in one.items()]))
    if case.name == "by_data":
        pytest.skip("what one row gets depends on the others")
    for name, own in case.outputs.items():
        if own.dtype.kind == "f":
            # Another number of rows may be another kernel, with another order of sums.
            np.testing.assert_allclose(
                found[name].array, own[:1], rtol=1e-2 if own.dtype == "float16" else 1e-4, atol=1e-5
            )
        else:
            same(found[name].array, own[:1])


def test_metadata_lists_the_models_own_tensors(served):
    case, server = served
    told = server.request("GET", "/v2/models/iris").json
    assert [item["name"] for item in told["inputs"]] == [spec.name for spec in case.signature.wire_inputs()]
    assert {item["name"] for item in told["outputs"]} == case.outputs.keys()
    for item in told["outputs"]:
        own = case.outputs[item["name"]]
        assert item["datatype"] == tensors.from_array("x", own).dtype
        assert len(item["shape"]) == own.ndim
        assert all(size in (-1, there) for size, there in zip(item["shape"], own.shape, strict=True))


def test_what_does_not_fit_is_refused_in_words(served):
    case, server = served
    names = list(case.inputs)
    first = case.inputs[names[0]]
    rest = [tensors.from_array(name, case.inputs[name]) for name in names[1:]]
    flat = refused(infer(server, [tensors.from_array(names[0], first.reshape(-1)), *rest]))
    assert "shape" in flat
    other = np.ones(first.shape) if first.dtype.kind == "O" else np.full(first.shape, "text")
    assert "BYTES" in refused(infer(server, [tensors.from_array(names[0], other), *rest]))
    assert (
        "no rows"
        in refused(
            infer(server, [tensors.from_array(name, array[:0]) for name, array in case.inputs.items()])
        )
        or case.name == "fixed"
    )
    if case.signature.layout == "tensors":
        assert f"misses {names[-1]!r}" in refused(infer(server, case.tensors()[:-1]))
        assert "no input 'other'" in refused(
            infer(server, [*case.tensors(), tensors.from_array("other", first)])
        )
        if case.name != "fixed":
            fewer = [tensors.from_array(names[0], first[:2]), *rest]
            assert f"{names[1]} has 5 rows, {names[0]} has 2" in refused(infer(server, fewer))
    assert outputs_of(infer(server, case.tensors())).keys() == case.outputs.keys()


def test_an_unknown_output_is_refused(served):
    case, server = served
    assert "no output 'nothing'" in refused(infer(server, case.tensors(), ["nothing"]))


def test_a_fixed_number_of_rows_is_said(served):
    case, server = served
    if case.name != "fixed":
        pytest.skip("takes any number")
    fewer = [tensors.from_array(name, array[:2]) for name, array in case.inputs.items()]
    answer = infer(server, fewer)
    assert "2 rows came; the model was exported for exactly 5 rows a request" in refused(answer)
    assert "Send 5 at a time" in answer.error["hint"]


@pytest.mark.parametrize(
    ("framework", "name"),
    [("torch", "two"), ("tensorflow", "two"), ("onnx", "zipmap"), ("onnx", "masked")],
)
def test_without_a_signature_the_file_says_what_it_takes(framework, name, made, servers):
    folder = made(framework)
    case = case_of(folder, name)
    server = servers(framework=case.told["framework"], artifact_dir=str(folder / name), signature=None)
    server.start(peers.python(framework), {"TF_CPP_MIN_LOG_LEVEL": "3"}).ready()
    told = server.request("GET", "/v2/models/iris").json
    assert {(item["name"], item["datatype"]) for item in told["inputs"]} == {
        (spec.name, spec.dtype) for spec in case.signature.inputs
    }
    assert {item["name"] for item in told["outputs"]} == case.outputs.keys()
    for binary in (False, True):
        found = outputs_of(infer(server, case.tensors(), binary=binary))
        for output, own in case.outputs.items():
            same(found[output].array, own)
    assert refused(infer(server, [tensors.from_array(case.signature.inputs[0].name, np.ones(3))]))


def test_executable_is_only_what_runs_code(made):
    forms = {name: case_of(made("torch"), name).told["executable"] for name in MODELS["torch"]}
    assert [name for name, executable in forms.items() if executable] == ["by_data"]
    assert not any(
        case_of(made(f), name).told["executable"] for f in ("tensorflow", "onnx") for name in MODELS[f]
    )
    source = made("torch") / "by_data" / "source"
    assert any("class ByData" in path.read_text() for path in source.rglob("*.py"))
