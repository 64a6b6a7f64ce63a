"""Transformers of both ways before a real predictor, over v1 and v2."""

from __future__ import annotations

import json
import pickle
import shutil
import socketserver
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler

import cloudpickle
import pytest
from contract_models import sklearn_array_classifier
from sklearn.preprocessing import StandardScaler

from kale_serve_lab.inference import tensors, v2

# The raw rows are given in millimetres, the model was trained on centimetres.
ROW = [51.0, 35.0, 14.0, 2.0]

SOURCE = """
    def preprocess(inputs):
        return {"instances": [[value / scale for value in row] for row in inputs["instances"]]}

    async def postprocess(outputs):
        return {"predictions": [label.upper() for label in outputs["predictions"]], **{k: v for k, v in outputs.items() if k == "outputs"}}
"""

SUBCLASS = """
    import argparse
    import kserve
    from kserve import InferInput, InferRequest, InferResponse, Model
    from kserve.errors import InvalidInput
    from kserve.logging import logger
    from kserve.model_server import parser

    args, _ = argparse.ArgumentParser(parents=[parser]).parse_known_args()

    class Millimetres(kserve.Model):
        def __init__(self, name, predictor_host, protocol="v1"):
            super().__init__(name)
            self.predictor_host, self.protocol, self.ready = predictor_host, protocol, True

        async def preprocess(self, payload, headers=None):
            assert isinstance(headers, dict)
            if isinstance(payload, InferRequest):
                values = payload.inputs[0].as_numpy() / 10
                given = InferInput(name="input-0", datatype="FP64", shape=list(values.shape))
                given.set_data_from_numpy(values)
                return InferRequest(model_name=self.name, infer_inputs=[given], request_id=payload.id)
            if "instances" not in payload:
                raise InvalidInput("instances are missing")
            return {"instances": [[value / 10 for value in row] for row in payload["instances"]]}

        def postprocess(self, result, headers=None):
            if isinstance(result, InferResponse):
                result.outputs[0].set_data_from_numpy(result.outputs[0].as_numpy()[::-1])
                return result
            return {"predictions": result["predictions"], "by": type(self).__name__}

    if __name__ == "__main__":
        kserve.ModelServer().start([])
"""


@pytest.fixture(scope="module")
def predictor(module_servers):
    case = sklearn_array_classifier()
    return module_servers(grpc=True, **case.write(module_servers.folder / "iris")).start().ready()


@pytest.fixture
def transformer(servers, predictor, home):
    def make(about, files, protocol="v1", **spec):
        folder = home / "artifact"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(
                textwrap.dedent(content).encode() if isinstance(content, str) else content
            )
        folder.mkdir(exist_ok=True)
        (folder / "kale.json").write_text(json.dumps(about))
        return servers(
            component="transformer",
            framework=None,
            **{"predictor_socket": str(predictor.socket_path), "protocol": protocol} | spec,
            artifact_dir=str(folder),
        ).start()

    return make


def functional(**changes):
    return {
        "kind": "functional",
        "form": "source",
        "preprocess": "preprocess",
        "postprocess": "postprocess",
        "assets": {"scale": "assets/scale.pkl"},
    } | changes


FILES = {"functions.py": SOURCE, "assets/scale.pkl": pickle.dumps(10.0)}


def test_functions_from_source_with_assets(transformer):
    server = transformer(functional(), FILES).ready()
    answer = server.v1([ROW, ROW])
    assert (answer.status, answer.json) == (200, {"predictions": ["SETOSA", "SETOSA"]})
    assert answer.headers["X-Kale-Serve-Revision"] == "3"
    # The request for more outputs is not lost in a preprocess that builds a new request.
    assert len(server.v1([ROW], ["predict", "predict_proba"]).json["outputs"]["predict_proba"][0]) == 3


def test_functions_from_a_pickle_with_assets_as_globals(transformer):
    namespace = {}
    exec(textwrap.dedent(SOURCE), namespace)
    stored = cloudpickle.dumps({"preprocess": namespace["preprocess"], "postprocess": None})
    server = transformer(
        functional(form="pickle", postprocess=None),
        {"functions.pkl": stored, "assets/scale.pkl": pickle.dumps(10.0)},
    ).ready()
    assert server.v1([ROW]).json == {"predictions": ["setosa"]}


def test_an_asset_of_a_framework(transformer):
    scaler = StandardScaler(with_mean=False)
    scaler.fit([[0.0] * 4, [20.0] * 4])
    code = "def preprocess(inputs):\n    return {'instances': scale.transform(inputs['instances'])}\n"
    server = transformer(
        functional(postprocess=None), {"functions.py": code, "assets/scale.pkl": pickle.dumps(scaler)}
    ).ready()
    # An array in the request is written as lists.
    assert server.v1([ROW]).json == {"predictions": ["setosa"]}


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_functions_see_v2_as_its_json_object(transformer, binary):
    code = """
        def preprocess(inputs):
            (given,) = inputs["inputs"]
            return {"inputs": [given | {"data": [value / scale for value in given["data"]]}]}

        def postprocess(outputs):
            for output in outputs["outputs"]:
                output["data"] = [value.title() for value in output["data"]]
            return outputs
    """
    server = transformer(functional(), FILES | {"functions.py": code}, protocol="v2").ready()
    found = infer(server, binary=binary)
    assert found["predict"].array.tolist() == ["Setosa", "Setosa"]


def infer(server, *, binary):
    import numpy as np

    header, buffers, length = v2.encode_request(
        [tensors.from_array("input-0", np.array([ROW, ROW]))], ["predict"], "r", binary=binary
    )
    headers = {} if length is None else {v2.LENGTH_HEADER: str(length)}
    answer = server.request("POST", "/v2/models/iris/infer", b"".join([header, *buffers]), headers)
    assert answer.status == 200, answer.body
    assert (v2.LENGTH_HEADER in answer.headers) == binary
    found = v2.decode_response(answer.body, v2.header_length(answer.headers.get(v2.LENGTH_HEADER)))
    assert found.id == "r"
    return {tensor.name: tensor for tensor in found.outputs}


def test_subclass_without_kserve_installed(transformer):
    about = {"kind": "subclass", "module_name": "millimetres", "class_name": "Millimetres", "assets": {}}
    server = transformer(about, {"module/millimetres.py": SUBCLASS}).ready()
    assert server.v1([ROW]).json == {"predictions": ["setosa"], "by": "Millimetres"}
    for binary in (False, True):
        assert infer(server, binary=binary)["predict"].array.tolist() == ["setosa", "setosa"]
    refused = server.request("POST", "/v1/models/iris:predict", b"{}")
    assert (refused.status, refused.error["code"], refused.error["message"]) == (
        400,
        "InvalidInput",
        "instances are missing",
    )


def test_a_predictor_over_grpc(transformer, predictor, servers, home):
    about = {"kind": "subclass", "module_name": "millimetres", "class_name": "Millimetres", "assets": {}}
    server = transformer(
        about,
        {"module/millimetres.py": SUBCLASS},
        "grpc-v2",
        # Nobody there: what comes back came over gRPC.
        predictor_socket=str(home / "absent.sock"),
        predictor_grpc_socket=str(predictor.grpc_path),
    ).ready()
    assert infer(server, binary=True)["predict"].array.tolist() == ["setosa", "setosa"]
    refused = server.request("POST", "/v2/models/iris/infer", json.dumps(v2_request([[1.0]])))
    assert (refused.status, refused.error["code"]) == (400, "InvalidInput")
    assert "[1, 1]" in refused.error["message"]


def test_a_predictor_over_grpc_that_starts_later(transformer, predictor, home):
    path = home / "late.g"
    code = "def preprocess(inputs):\n    return inputs\n"
    server = transformer(
        functional(postprocess=None),
        FILES | {"functions.py": code},
        "grpc-v2",
        predictor_grpc_socket=str(path),
    ).ready()
    body = json.dumps(v2_request([[value / 10 for value in ROW]]))
    answer = server.request("POST", "/v2/models/iris/infer", body)
    assert (answer.status, answer.error["code"]) == (503, "EndpointNotReady")
    path.symlink_to(predictor.grpc_path)
    deadline = time.monotonic() + 60
    while answer.status == 503 and time.monotonic() < deadline:
        answer = server.request("POST", "/v2/models/iris/infer", body)
    assert answer.json["outputs"][0]["data"] == ["setosa"]


def v2_request(rows):
    shape = [len(rows), len(rows[0])]
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "input-0", "shape": shape, "datatype": "FP64", "data": flat}]}


class Stranger:
    """A predictor that we did not write: `GET /v2` lists `extensions`, a prediction gets the answer that was set."""

    def __init__(self, path):
        stranger = self
        self.status, self.body, self.chunked, self.extensions, self.seen = 200, b"", False, [], []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.tell(200, json.dumps({"name": "stranger", "extensions": stranger.extensions}).encode())

            def do_POST(self):
                stranger.seen.append(
                    (self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
                )
                self.tell(stranger.status, stranger.body)

            def tell(self, status, body):
                self.send_response(status)
                if stranger.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for at in range(0, len(body), 10):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(body[at : at + 10]), body[at : at + 10]))
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def stranger(home):
    found = Stranger(home / "stranger.sock")
    yield found
    found.close()


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (500, b'{"error": "ValueError : X has 3 features"}', "PredictFailed", "X has 3 features"),  # KServe
        (400, b'{"error": "unexpected shape for input"}', "InvalidInput", "unexpected shape"),  # Triton
        (404, b'{"error": "Servable not found for request"}', "EndpointNotFound", "Servable"),  # TensorFlow
        (422, b'{"detail": [{"loc": ["body", "inputs"], "msg": "missing"}]}', "InvalidInput", "body.inputs: missing"),
        (503, b'{"code": 503, "type": "InternalServerException", "message": "Prediction failed"}', "PredictFailed", "Prediction failed"),
        (500, b"Traceback (most recent call last):\n  ...\nValueError: bad row\n", "PredictFailed", "ValueError: bad row"),  # MLServer
        (200, b"<html>", "UpstreamFailed", "not JSON"),
        (200, b"[1]", "UpstreamFailed", "no predictions"),
        (200, b'{"outputs": []}', "UpstreamFailed", "no predictions"),
    ],
)  # fmt: skip
def test_a_foreign_predictors_refusal_is_an_error_of_ours(
    shared_transformer, shared_stranger, status, body, code, words
):
    shared_stranger.status, shared_stranger.body = status, body
    answer = shared_transformer.v1([ROW])
    assert answer.error["code"] == code
    assert words in answer.error["message"]
    assert answer.status >= 400


def test_a_foreign_predictors_chunked_answer_is_read(shared_transformer, shared_stranger):
    shared_stranger.status, shared_stranger.body = 200, json.dumps({"predictions": ["a"] * 20}).encode()
    shared_stranger.chunked = True
    assert shared_transformer.v1([ROW]).json == {"predictions": ["A"] * 20}
    shared_stranger.chunked = False


@pytest.fixture(scope="module")
def shared_stranger(module_servers):
    found = Stranger(module_servers.folder / "stranger.sock")
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared_transformer(module_servers, shared_stranger):
    folder = module_servers.folder / "shared"
    (folder / "assets").mkdir(parents=True)
    (folder / "kale.json").write_text(json.dumps(functional()))
    (folder / "functions.py").write_text(textwrap.dedent(SOURCE))
    (folder / "assets" / "scale.pkl").write_bytes(pickle.dumps(10.0))
    server = module_servers(
        component="transformer",
        framework=None,
        predictor_socket=str(module_servers.folder / "stranger.sock"),
        protocol="v1",
        artifact_dir=str(folder),
    )
    return server.start().ready()


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_go_in_the_form_that_the_predictor_takes(transformer, stranger, home, binary):
    stranger.extensions = ["binary_tensor_data"] if binary else ["model_repository"]
    outputs = [{"name": "predict", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]
    stranger.body = json.dumps({"model_name": "iris", "outputs": outputs}).encode()
    about = {"kind": "subclass", "module_name": "millimetres", "class_name": "Millimetres", "assets": {}}
    server = transformer(
        about,
        {"module/millimetres.py": SUBCLASS},
        "v2",
        predictor_socket=str(home / "stranger.sock"),
    ).ready()
    # The answer has no id and no version, as some servers' have not.
    assert infer(server, binary=True)["predict"].array.tolist() == ["b", "a"]
    assert infer(server, binary=False)["predict"].array.tolist() == ["b", "a"]
    for _, headers, body in stranger.seen:
        assert (v2.LENGTH_HEADER in headers) == binary
        assert binary or json.loads(body)["inputs"][0]["data"] == [value / 10 for value in ROW * 2]


def test_a_real_kserve_is_left_alone(transformer):
    real = "class Model:\n    real = True\n    def __init__(self, name):\n        self.name = name\n"
    code = """
        import kserve

        class Own(kserve.Model):
            def __init__(self, name, predictor_host, protocol="v1"):
                super().__init__(name)

            def preprocess(self, payload):
                return {"instances": [[value / 10 for value in row] for row in payload["instances"]]}

            async def predict(self, payload, headers=None):
                return {"predictions": [self.real] + (await super().predict(payload, headers))["predictions"]}
    """
    about = {"kind": "subclass", "module_name": "own", "class_name": "Own", "assets": {}}
    server = transformer(about, {"module/own.py": code, "module/kserve/__init__.py": real}).ready()
    assert server.v1([ROW]).json == {"predictions": [True, "setosa"]}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def preprocess(inputs):\n    return inputs['absent']\n", "preprocess raised KeyError: 'absent'"),
        ("def preprocess(inputs):\n    inputs['x'] = 1\n", "preprocess gave nothing back"),
        ("def preprocess(inputs):\n    return 5\n", "preprocess gave a int"),
    ],
)
def test_an_exception_of_the_transformer_names_the_step(transformer, code, words):
    server = transformer(functional(postprocess=None), FILES | {"functions.py": code}).ready()
    answer = server.v1([ROW])
    assert (answer.status, answer.error["code"]) == (500, "PredictFailed")
    assert words in answer.error["message"]
    assert "Traceback" not in answer.body.decode()


def test_the_predictors_errors_come_through(transformer):
    code = "def preprocess(inputs):\n    return {'instances': [[1]]}\n"
    server = transformer(functional(postprocess=None), FILES | {"functions.py": code}).ready()
    answer = server.v1([ROW])
    assert (answer.status, answer.error["code"]) == (400, "InvalidInput")
    assert "Row 0 has 1 values" in answer.error["message"]


@pytest.mark.parametrize(
    ("about", "files", "words"),
    [
        (functional(), {"assets/scale.pkl": pickle.dumps(1)}, "functions.py is not there"),
        (functional(preprocess="other"), FILES, "no function 'other'"),
        (functional(assets={"scale": "../../etc/passwd"}), FILES, "outside"),
        (
            functional(),
            FILES | {"functions.py": "import ksl_not_there\n"},
            "needs the package 'ksl_not_there'",
        ),
        (
            functional(),
            FILES | {"functions.py": "import json.of_a_later_version\n"},
            "needs the module 'json.of_a_later_version', which the json that is installed does not have",
        ),
        (functional(), FILES | {"functions.py": "def preprocess(\n"}, "SyntaxError"),
        ({"kind": "other"}, {}, "kind 'other'"),
        (
            {"kind": "subclass", "module_name": "m", "class_name": "M"},
            {"module/m.py": "x = 1\n"},
            "no class 'M'",
        ),
    ],
)
def test_a_load_that_fails_says_why(transformer, about, files, words):
    message = transformer(about, files).control.until("failed")
    assert message["state"] == "failed"
    assert words in message["error"]["message"]


def test_no_predictor(servers, home):
    folder = home / "artifact"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "assets").mkdir(parents=True)
    (folder / "kale.json").write_text(json.dumps(functional()))
    (folder / "functions.py").write_text(textwrap.dedent(SOURCE))
    (folder / "assets" / "scale.pkl").write_bytes(pickle.dumps(10.0))
    server = (
        servers(component="transformer", predictor_socket=str(home / "absent.sock"), protocol="v1")
        .start()
        .ready()
    )
    answer = server.v1([ROW])
    assert (answer.status, answer.error["code"]) == (503, "EndpointNotReady")


def test_the_predictor_ends_between_two_requests(transformer, servers, home, predictor):
    own = (
        servers(
            **{
                key: value
                for key, value in predictor.spec.items()
                if not key.startswith(("listen", "control", "grpc"))
            }
        )
        .start()
        .ready()
    )
    server = transformer(functional(), FILES)
    server.ready()
    server.close()
    server = (
        servers(component="transformer", predictor_socket=str(own.socket_path), protocol="v1").start().ready()
    )
    assert server.v1([ROW]).status == 200
    own.process.terminate()
    own.wait()
    # The next one is started on the same listening socket; the kept connection is stale.
    own.start()
    assert server.v1([ROW]).status == 200
