"""Answers over v1, v2 JSON and v2 binary equal the model's own to the last bit, for every framework, from real processes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from contract_models import CASES

from kale_serve_lab.inference import tensors, v2


@pytest.fixture(scope="module", params=CASES, ids=lambda make: make.__name__)
def served(request, module_servers):
    """A case and its server; the server ends before the next one starts, so that memory stays small."""
    case = request.param()
    server = module_servers(**case.write(module_servers.folder / request.param.__name__)).start()
    yield case, server.ready()
    server.close()


def same(answer, own):
    own = np.asarray(own)
    answer = np.asarray(answer)
    if own.dtype.kind in "OUT":
        assert answer.tolist() == own.tolist()
    else:
        # JSON has no float32: the number it writes is the same one, as a double.
        assert answer.shape == own.shape
        assert np.array_equal(answer, own, equal_nan=True)


def plain_rows(rows):
    return json.loads(
        json.dumps(
            rows.astype(object).to_numpy().tolist() if isinstance(rows, pd.DataFrame) else rows.tolist()
        )
    )


def columns(case):
    if isinstance(case.rows, pd.DataFrame):
        return [
            tensors.from_array(
                spec.name,
                case.rows[spec.name].astype(str if spec.dtype == "BYTES" else case.rows[spec.name].dtype),
            )
            for spec in case.signature.inputs
        ]
    return [tensors.from_array(spec.name, case.rows[:, i]) for i, spec in enumerate(case.signature.inputs)]


def infer(server, given, names, *, binary):
    header, buffers, length = v2.encode_request(given, names, "r-1", binary=binary)
    headers = {} if length is None else {v2.LENGTH_HEADER: str(length)}
    answer = server.request("POST", "/v2/models/iris/infer", b"".join([header, *buffers]), headers)
    assert answer.status == 200, answer.body
    found = v2.decode_response(answer.body, v2.header_length(answer.headers.get(v2.LENGTH_HEADER)))
    assert (found.id, found.model_name, found.model_version) == ("r-1", "iris", "3")
    assert (answer.headers.get(v2.LENGTH_HEADER) is not None) == binary
    return {tensor.name: tensor for tensor in found.outputs}


def texts_of_categories(case, rows):
    listed = plain_rows(rows)
    for index, spec in enumerate(case.signature.inputs):
        if spec.dtype == "BYTES":
            for row in listed:
                row[index] = str(row[index])
    return listed


def test_v1_rows(served):
    case, server = served
    answer = server.v1(texts_of_categories(case, case.rows), list(case.outputs))
    assert answer.status == 200, answer.body
    same(answer.json["predictions"], case.outputs["predict"])
    for name in set(case.outputs) - {"predict"}:
        same(answer.json["outputs"][name], case.outputs[name])


def test_v1_answers_only_predict_unless_asked(served):
    case, server = served
    assert server.v1(texts_of_categories(case, case.rows)).json.keys() == {"predictions"}


def test_v1_objects_in_any_order_of_keys(served):
    case, server = served
    names = [spec.name for spec in case.signature.inputs]
    rows = [dict(reversed(list(zip(names, row)))) for row in texts_of_categories(case, case.rows)]
    same(server.v1(rows).json["predictions"], case.outputs["predict"])


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_v2_one_tensor_a_column(served, binary):
    case, server = served
    found = infer(server, columns(case)[::-1], list(case.outputs), binary=binary)
    assert found.keys() == case.outputs.keys()
    for name, own in case.outputs.items():
        same(found[name].array, own)
        if own.dtype.kind in "biuf":
            assert found[name].array.dtype == own.dtype


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_v2_unmixed_table_as_one_tensor(served, binary):
    case, server = served
    if case.signature.one_dtype is None:
        pytest.skip("a mixed table")
    found = infer(server, [tensors.from_array("anything", np.asarray(case.rows))], None, binary=binary)
    assert list(found) == ["predict"]
    same(found["predict"].array, case.outputs["predict"])


def test_metadata_lists_the_tensors_that_travel(served):
    case, server = served
    inputs = server.request("GET", "/v2/models/iris").json["inputs"]
    if case.signature.one_dtype is not None:
        assert [(item["name"], item["shape"]) for item in inputs] == [
            ("input-0", [-1, len(case.signature.inputs)])
        ]
    else:
        assert [item["name"] for item in inputs] == [spec.name for spec in case.signature.inputs]


def test_multi_output_probabilities_are_a_tensor_each(served):
    case, server = served
    if not isinstance(getattr(case.model, "classes_", None), list):
        pytest.skip("one output")
    found = infer(server, columns(case), ["predict_proba"], binary=True)
    assert list(found) == ["predict_proba-0", "predict_proba-1"]
    for tensor, own in zip(found.values(), case.model.predict_proba(case.rows), strict=True):
        same(tensor.array, own)
