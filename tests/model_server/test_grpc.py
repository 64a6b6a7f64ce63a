"""The built-in server over gRPC: the same answers and the same errors as over HTTP, from real processes."""

from __future__ import annotations

import json
import pickle
import threading

import grpc
import numpy as np
import pandas as pd
import pytest
from contract_models import CASES, sklearn_array_classifier

from kale_serve_lab import errors
from kale_serve_lab.inference import statuses, tensors
from kale_serve_lab.inference.grpc import v2 as messages
from kale_serve_lab.inference.grpc import wire

IRIS = messages.Model("iris")


class Client:
    """Bytes in and out over grpcio's own channel."""

    def __init__(self, server):
        self.channel = grpc.insecure_channel(
            f"unix:{server.grpc_path}", [("grpc.max_receive_message_length", -1)]
        )

    def call(self, method, message=b"", timeout=60):
        answer, call = self.channel.unary_unary(messages.method(method)).with_call(message, timeout)
        assert dict(call.trailing_metadata())[statuses.REVISION_KEY] == "3"
        return answer

    def infer(self, given, outputs=None, model=IRIS):
        answer = self.call("ModelInfer", messages.encode_request(model, given, outputs, "r-1"))
        found = messages.decode_response(answer)
        assert (found.id, found.model_name, found.model_version) == ("r-1", "iris", "3")
        return {tensor.name: tensor.array for tensor in found.outputs}

    def refused(self, method, message):
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, message)
        error = caught.value
        told = dict(error.trailing_metadata()).get(statuses.ERROR_KEY)
        return error.code().name, error.details(), told and errors.from_json(json.loads(told))


@pytest.fixture(scope="module")
def iris(module_servers):
    case = sklearn_array_classifier()
    server = module_servers(grpc=True, **case.write(module_servers.folder / "iris")).start().ready()
    client = Client(server)
    yield case, server, client
    client.channel.close()


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_answers_equal_the_models_own(make, module_servers):
    case = make()
    server = module_servers(grpc=True, **case.write(module_servers.folder / make.__name__)).start().ready()
    rows = case.rows if isinstance(case.rows, pd.DataFrame) else pd.DataFrame(case.rows)
    given = [
        tensors.from_array(
            spec.name,
            rows.iloc[:, at].astype(str if spec.dtype == "BYTES" else rows.dtypes.iloc[at]).to_numpy(),
        )
        for at, spec in enumerate(case.signature.inputs)
    ]
    client = Client(server)
    found = client.infer(given, list(case.outputs))
    client.channel.close()
    server.close()
    assert found.keys() == case.outputs.keys()
    for name, own in case.outputs.items():
        assert found[name].tolist() == np.asarray(own).tolist()
        if own.dtype.kind in "biuf":
            assert found[name].dtype == own.dtype


def test_typed_contents_and_a_choice_of_outputs(iris):
    case, _, client = iris
    values = case.rows[:2]
    body = b"".join(
        [
            wire.text(1, "iris"),
            wire.blob(
                5,
                wire.text(1, "x")
                + wire.text(2, "FP64")
                + wire.packed(3, values.shape)
                + wire.blob(5, wire.blob(7, values.tobytes())),
            ),
            wire.blob(6, wire.text(1, "predict_proba")),
        ]
    )
    found = messages.decode_response(client.call("ModelInfer", body))
    assert found.id  # one of ours, where the request has none
    (proba,) = found.outputs
    assert proba.name == "predict_proba"
    assert np.array_equal(proba.data, case.outputs["predict_proba"][:2])


def test_what_the_server_says_of_itself(iris):
    _, _, client = iris
    for method in ("ServerLive", "ServerReady"):
        assert messages.decode_flag(client.call(method))
    for model in (IRIS, messages.Model("iris", "3")):
        assert messages.decode_flag(client.call("ModelReady", messages.encode_model(model)))
        found = messages.decode_metadata(client.call("ModelMetadata", messages.encode_model(model)))
        assert (found.name, found.versions, found.platform) == ("iris", ("3",), "sklearn")
        assert found.inputs == (("input-0", "FP64", (-1, 4)),)


def test_metadata_is_that_of_http(iris):
    _, server, client = iris
    over_http = server.request("GET", "/v2/models/iris").json
    over_grpc = messages.decode_metadata(client.call("ModelMetadata", messages.encode_model(IRIS)))
    assert over_grpc.to_json() == over_http


ROWS = [tensors.from_array("x", np.zeros((1, 4)))]


@pytest.mark.parametrize(
    ("message", "status", "code", "words"),
    [
        (messages.encode_request(messages.Model("other"), ROWS), "NOT_FOUND", "EndpointNotFound", "'other'"),
        (messages.encode_request(messages.Model("iris", "9"), ROWS), "NOT_FOUND", "EndpointNotFound", "'9'"),
        (messages.encode_request(messages.Model(""), ROWS), "INVALID_ARGUMENT", "InvalidInput", "no model"),
        (messages.encode_request(IRIS, ROWS, ["absent"]), "INVALID_ARGUMENT", "InvalidInput", "absent"),
        (
            messages.encode_request(IRIS, [tensors.from_array("x", np.zeros((1, 5)))]),
            "INVALID_ARGUMENT",
            "InvalidInput",
            r"[1, 5]",
        ),
        (messages.encode_model(IRIS), "INVALID_ARGUMENT", "InvalidInput", "at least one input"),
        (b"\xff" * 40, "INVALID_ARGUMENT", "InvalidInput", "64 bits"),
        (
            messages.encode_request(IRIS, [tensors.from_array("x", np.array([["a"] * 4], dtype=object))]),
            "INVALID_ARGUMENT",
            "InvalidInput",
            "BYTES came",
        ),
    ],
    # A request's own id is new each time: as part of the test's name it would differ between two processes.
    ids=["model", "version", "no model", "output", "shape", "no input", "garbage", "dtype"],
)
def test_refusals_are_status_codes_with_our_words(iris, message, status, code, words):
    _, _, client = iris
    said, details, error = client.refused("ModelInfer", message)
    assert (said, error.code, error.subject is not None) == (status, code, True)
    assert words in details
    assert words in error.message


def test_an_unknown_method(iris):
    _, _, client = iris
    assert client.refused("RepositoryIndex", b"")[0] == "UNIMPLEMENTED"


def test_a_message_above_the_bound(module_servers):
    case = sklearn_array_classifier()
    written = case.write(module_servers.folder / "bounded")
    server = module_servers(grpc=True, max_body_bytes=100_000, **written).start().ready()
    client = Client(server)
    message = messages.encode_request(IRIS, [tensors.from_array("x", np.zeros((5000, 4)))])
    assert client.refused("ModelInfer", message)[0] == "RESOURCE_EXHAUSTED"
    assert client.infer(ROWS)["predict"].shape == (1,)
    client.channel.close()
    server.close()


def test_large_messages_and_many_callers(iris):
    case, _, client = iris
    rows = np.repeat(case.rows[:1], 200_000, axis=0)  # 6.4 MB, above what gRPC takes by default
    found = client.infer([tensors.from_array("x", rows)], ["predict_proba"])
    assert np.array_equal(found["predict_proba"][-1], case.outputs["predict_proba"][0])
    wrong = []

    def ask(at):
        for _ in range(30):
            row = case.rows[at % 7][None]
            if client.infer([tensors.from_array("x", row)])["predict"][0] != case.outputs["predict"][at % 7]:
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_transformer_before_a_predictor(iris, servers, home):
    case, predictor, _ = iris
    (home / "artifact" / "assets").mkdir(parents=True)
    (home / "artifact" / "functions.py").write_text(
        "def preprocess(inputs):\n"
        "    (given,) = inputs['inputs']\n"
        "    if given['data'][0] < 0:\n"
        "        raise ValueError('negative')\n"
        "    return {'inputs': [given | {'data': [value / scale for value in given['data']]}]}\n"
    )
    (home / "artifact" / "assets" / "scale.pkl").write_bytes(pickle.dumps(10.0))
    about = {
        "kind": "functional",
        "form": "source",
        "preprocess": "preprocess",
        "postprocess": None,
        "assets": {"scale": "assets/scale.pkl"},
    }
    (home / "artifact" / "kale.json").write_text(json.dumps(about))
    server = servers(
        grpc=True,
        component="transformer",
        framework=None,
        protocol="grpc-v2",
        predictor_socket=str(predictor.socket_path),
        predictor_grpc_socket=str(predictor.grpc_path),
    )
    client = Client(server.start().ready())
    found = client.infer([tensors.from_array("input-0", case.rows * 10)], ["predict", "predict_proba"])
    assert found["predict"].tolist() == case.outputs["predict"].tolist()
    status, details, error = client.refused(
        "ModelInfer", messages.encode_request(IRIS, [tensors.from_array("input-0", -case.rows)])
    )
    assert (status, error.code) == ("INTERNAL", "PredictFailed")
    assert "preprocess raised ValueError: negative" in details
    client.channel.close()
