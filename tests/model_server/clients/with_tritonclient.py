"""Run by an interpreter that has tritonclient: its HTTP and gRPC clients, JSON and binary, against our server."""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

given = json.load(sys.stdin)
ROWS = np.array(given["rows"])
HEADERS = {"Authorization": f"Bearer {given['token']}"}
PEOPLE = given["people"]


def inputs(kind, binary=None):
    made = kind.InferInput("input-0", list(ROWS.shape), "FP64")
    made.set_data_from_numpy(ROWS, **({} if binary is None else {"binary_data": binary}))
    return [made]


def mixed(kind, binary=None):
    found = []
    for name, values in PEOPLE["columns"].items():
        datatype = {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL"}[type(values[0])]
        made = kind.InferInput(name, [len(values)], datatype)
        column = np.array(values, dtype=object if datatype == "BYTES" else None)
        made.set_data_from_numpy(column, **({} if binary is None else {"binary_data": binary}))
        found.append(made)
    return found


def check(result, name="predict", expected=None):
    expected = given["predict"] if expected is None else expected
    answered = result.as_numpy(name)
    assert [item.decode() if isinstance(item, bytes) else item for item in answered.tolist()] == expected, (
        answered
    )


def refused(call, *words):
    try:
        call()
    except InferenceServerException as error:
        # The message is a sentence, not the representation of an object.
        assert isinstance(error.message(), str) and not error.message().startswith("{"), error.message()
        assert all(word in error.message() for word in words), error.message()
        return str(error.status())
    raise AssertionError("not refused")


def http():
    client = over_http.InferenceServerClient(given["url"].removeprefix("http://"), concurrency=2)
    assert client.is_server_live(headers=dict(HEADERS))
    assert client.is_server_ready(headers=dict(HEADERS))
    assert client.is_model_ready("iris", headers=dict(HEADERS))
    assert client.is_model_ready("iris", "1", headers=dict(HEADERS))
    assert not client.is_model_ready("other", headers=dict(HEADERS))
    assert "binary_tensor_data" in client.get_server_metadata(headers=dict(HEADERS))["extensions"]
    described = client.get_model_metadata("iris", headers=dict(HEADERS))
    assert described["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}]
    for sent in (True, False):
        check(client.infer("iris", inputs(over_http, sent), headers=dict(HEADERS)))
        for wanted in (True, False):
            asked = [
                over_http.InferRequestedOutput(name, binary_data=wanted)
                for name in ("predict", "predict_proba")
            ]
            result = client.infer(
                "iris",
                inputs(over_http, sent),
                model_version="1",
                outputs=asked,
                request_id="r 1",
                headers=dict(HEADERS),
            )
            check(result)
            # Binary and JSON alike to the last bit.
            assert result.as_numpy("predict_proba").tolist() == given["predict_proba"]
            assert result.get_response()["id"] == "r 1"
    pending = [client.async_infer("iris", inputs(over_http), headers=dict(HEADERS)) for _ in range(5)]
    for one in pending:
        check(one.get_result())
    wrong = over_http.InferInput("input-0", [1, 5], "FP64")
    wrong.set_data_from_numpy(np.zeros((1, 5)))
    assert (
        refused(lambda: client.infer("iris", [wrong], headers=dict(HEADERS)), "[1, 5]", "[rows, 4]") == "400"
    )
    assert refused(lambda: client.infer("other", inputs(over_http), headers=dict(HEADERS)), "other")
    client.close()

    client = over_http.InferenceServerClient(PEOPLE["url"].removeprefix("http://"))
    for sent in (True, False):
        check(
            client.infer("people", mixed(over_http, sent), headers=dict(HEADERS)), expected=PEOPLE["predict"]
        )
    client.close()


def grpc():
    with over_grpc.InferenceServerClient(f"unix:{given['grpc']}") as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("iris") and client.is_model_ready("iris", "1")
        refused(lambda: client.is_model_ready("other"), "other")
        assert "binary_tensor_data" in client.get_server_metadata(as_json=True)["extensions"]
        described = client.get_model_metadata("iris", as_json=True)
        assert described["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": ["-1", "4"]}]
        asked = [over_grpc.InferRequestedOutput(name) for name in ("predict", "predict_proba")]
        result = client.infer("iris", inputs(over_grpc), outputs=asked, request_id="r 1")
        check(result)
        assert result.as_numpy("predict_proba").tolist() == given["predict_proba"]
        assert result.get_response().id == "r 1"
        wrong = over_grpc.InferInput("input-0", [1, 5], "FP64")
        wrong.set_data_from_numpy(np.zeros((1, 5)))
        assert refused(lambda: client.infer("iris", [wrong]), "[1, 5]") == "StatusCode.INVALID_ARGUMENT"
    with over_grpc.InferenceServerClient(f"unix:{PEOPLE['grpc']}") as client:
        check(client.infer("people", mixed(over_grpc)), expected=PEOPLE["predict"])


http()
grpc()
print("fine")
