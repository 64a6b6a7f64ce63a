"""gRPC from `Endpoint`: which protocol is chosen, what a status means, new revisions, and TensorFlow Serving's service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import numpy as np
import pytest

from kale_serve_lab import Endpoint, errors
from kale_serve_lab.inference import statuses, tensors, v2
from kale_serve_lab.inference.grpc import tensorflow, wire
from kale_serve_lab.inference.grpc import v2 as messages

X = np.ones((1, 2))


class Handlers(grpc.GenericRpcHandler):
    def __init__(self, methods):
        self.methods = methods
        self.metadata = []

    def service(self, details):
        self.metadata.append(dict(details.invocation_metadata))
        found = self.methods.get(details.method)
        return found and grpc.unary_unary_rpc_method_handler(found)


@pytest.fixture
def serve(home):
    """Starts servers of real gRPC that answer with these bytes; gives the handlers and the port."""
    made = []

    def start(methods, address="127.0.0.1:0", credentials=None):
        pool = futures.ThreadPoolExecutor(4)
        server = grpc.server(pool)
        handlers = Handlers(methods)
        server.add_generic_rpc_handlers((handlers,))
        if credentials is None:
            handlers.port = server.add_insecure_port(address)
        else:
            handlers.port = server.add_secure_port(address, credentials)
        server.start()
        made.append((server, pool))
        handlers.stop = lambda: server.stop(0).wait()
        return handlers

    yield start
    for server, pool in made:
        server.stop(0).wait()
        pool.shutdown()


def answering(*values, revision=None):
    def infer(message, context):
        _, asked = messages.decode_request(message)
        if revision is not None:
            context.set_trailing_metadata(((statuses.REVISION_KEY, revision),))
        outputs = [tensors.from_array("predict", np.array(values or asked.inputs[0].data.sum(axis=1)))]
        return messages.encode_response(v2.InferResponse("iris", revision, asked.id, outputs))

    return {messages.method("ModelInfer"): infer}


def refusing(code, said, trailing=()):
    def infer(_, context):
        context.set_trailing_metadata(trailing)
        context.abort(code, said)

    return {messages.method("ModelInfer"): infer}


@pytest.fixture
def service(registry):
    return registry.serve("iris", protocol="grpc-v2")


def test_the_services_own_protocol_is_spoken(service, serve):
    handlers = serve(answering(), f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint:
        assert endpoint.predict(X).tolist() == [2.0]
        assert endpoint.predict([[1.0, 2.0]]) == [3.0]
    assert "authorization" not in handlers.metadata[0]


@pytest.mark.parametrize(("own", "asked"), [("v2", "grpc-v2"), ("v1", "grpc-v2")])
def test_one_that_is_offered_can_be_asked_for(registry, serve, own, asked):
    service = registry.serve("iris", protocol=own)
    serve(answering(), f"unix:{service['grpc_socket']}")
    with Endpoint("iris", protocol_version=asked) as endpoint:
        assert endpoint.predict(X).tolist() == [2.0]


def test_one_that_is_not_offered_is_refused(registry):
    registry.serve("iris", protocols=["v1", "v2"], grpc_socket=None)
    with pytest.raises(errors.InvalidRequest, match="does not speak grpc-v2; it speaks v1, v2") as caught:
        Endpoint("iris", protocol_version="grpc-v2")
    assert "grpcio" in caught.value.hint
    for wrong in ("v3", "", 2):
        with pytest.raises(errors.InvalidRequest, match="no protocol"):
            Endpoint("iris", protocol_version=wrong)


def test_a_daemon_that_says_nothing_of_protocols_speaks_rest(registry, scripted, answer):
    service = registry.serve("iris")
    for key in ("protocols", "binary", "grpc_socket"):
        del registry.services["iris"][key]
    front = scripted(service["socket"])
    front.run(front.answer(answer({"model_name": "iris", "id": "1", "outputs": [], "predictions": [1]})))
    with Endpoint("iris", protocol_version="v1") as endpoint:
        assert endpoint.predict([[1.0, 2.0]]) == [1]


def test_json_where_the_server_takes_no_binary(registry, scripted, answer):
    service = registry.serve("iris", binary=False)
    front = scripted(service["socket"])
    outputs = [{"name": "predict", "shape": [1], "datatype": "FP64", "data": [2.5]}]
    front.run(front.answer(answer({"model_name": "iris", "id": "1", "outputs": outputs})))
    with Endpoint("iris") as endpoint:
        assert endpoint.predict(X).tolist() == [2.5]
    assert json.loads(front.requests[0][1])["inputs"][0]["data"] == [1.0, 1.0]


@pytest.mark.parametrize("url", [None, "grpc://127.0.0.1:1"])
def test_without_grpcio_one_sentence_says_what_to_install(service, url):
    code = f"""
import sys
sys.modules["grpc"] = None
from kale_serve_lab import Endpoint, errors
try:
    Endpoint("iris", url={url!r}, protocol_version="grpc-v2")
except errors.InvalidRequest as error:
    print(error.hint)
"""
    # The service was recorded by another process: only the sentence is of interest here.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "pip install 'kale-serve-lab[grpc]'", done.stderr


def test_without_grpcio_rest_is_spoken_where_it_is_offered(service, scripted, answer):
    code = """
import sys
sys.modules["grpc"] = None
from kale_serve_lab import Endpoint
print(Endpoint("iris").predict({"instances": [[1]]}))
"""
    front = scripted(service["socket"])
    front.run(front.answer(answer({"predictions": [4]})))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{'predictions': [4]}", done.stderr


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("INVALID_ARGUMENT", errors.InvalidInput),
        ("NOT_FOUND", errors.EndpointNotFound),
        ("UNAVAILABLE", errors.EndpointNotReady),
        ("DEADLINE_EXCEEDED", errors.Timeout),
        ("UNAUTHENTICATED", errors.Unauthorized),
        ("PERMISSION_DENIED", errors.Forbidden),
        ("RESOURCE_EXHAUSTED", errors.InvalidInput),
        ("INTERNAL", errors.PredictFailed),
        ("UNKNOWN", errors.PredictFailed),
        ("DATA_LOSS", errors.UpstreamFailed),
    ],
)
def test_what_a_foreign_servers_status_means(service, serve, code, cls):
    serve(refusing(grpc.StatusCode[code], "why \x1b[31m" + "x" * 1000), f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint, pytest.raises(cls) as caught:
        endpoint.predict(X)
    assert type(caught.value) is cls
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.message) < 400


def test_our_own_servers_error_comes_whole(service, serve):
    error = errors.PredictFailed(
        "Model.predict raised ValueError: no",
        subject="iris",
        hint="Look.",
        details={"exception": "ValueError"},
    )
    whole = (statuses.ERROR_KEY, json.dumps(error.to_json()).encode())
    serve(refusing(grpc.StatusCode.INTERNAL, "no", (whole,)), f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint, pytest.raises(errors.PredictFailed) as caught:
        endpoint.predict(X)
    assert caught.value.to_json() == error.to_json()


@pytest.mark.parametrize("body", [b"\xff" * 30, b"", wire.text(1, "iris")])
def test_an_answer_that_is_none(service, serve, body):
    serve({messages.method("ModelInfer"): lambda *_: body}, f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint, pytest.raises(errors.UpstreamFailed):
        endpoint.predict(X)


def test_no_answer_in_time(service, serve):
    over = threading.Event()
    serve({messages.method("ModelInfer"): lambda *_: over.wait(60) and b""}, f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint, pytest.raises(errors.Timeout, match=r"within 0\.1 s"):
        endpoint.predict(X, timeout=0.1)
    over.set()


def test_nobody_there_and_then_somebody(registry, service, serve):
    registry.services["iris"] |= {"state": "Loading", "sentence": "It loads."}
    with Endpoint("iris") as endpoint:
        with pytest.raises(errors.EndpointNotReady, match="It loads"):
            endpoint.predict(X)
        assert endpoint.ready() is False
        serve(answering(), f"unix:{service['grpc_socket']}")
        # A failed attempt must not hold up the next call, as grpcio's own waiting would.
        assert endpoint.predict(X).tolist() == [2.0]


def test_a_new_revision_takes_over_between_two_calls_and_under_load(registry, service, serve, home):
    path = service["grpc_socket"]
    serve(answering(1, revision="1"), f"unix:{path}")
    over, lost, seen = threading.Event(), [], []

    def ask():
        with Endpoint("iris") as endpoint:
            while not over.is_set():
                try:
                    seen.append(endpoint.predict(X)[0])
                except errors.KaleServeError as error:
                    lost.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    with Endpoint("iris") as endpoint:
        for revision in range(2, 6):
            assert endpoint.predict(X).tolist() == [revision - 1]
            serve(answering(revision, revision=str(revision)), f"unix:{home}/new{revision}.sock")
            os.rename(home / f"new{revision}.sock", path)
            assert endpoint.predict(X).tolist() == [revision]
    over.set()
    for thread in threads:
        thread.join()
    assert not lost
    assert set(seen) >= {1, 5}


def test_a_new_revisions_signature_is_learned_from_its_answer(registry, service, serve):
    serve(answering(7, revision="2"), f"unix:{service['grpc_socket']}")
    with Endpoint("iris") as endpoint:
        assert endpoint.signature is None
        registry.services["iris"]["signature"] = {
            "layout": "columns",
            "inputs": [{"name": "x0", "dtype": "FP64"}, {"name": "x1", "dtype": "FP64"}],
        }
        asked = registry.asked
        for _ in range(3):
            endpoint.predict(X)
        assert registry.asked == asked + 1
        assert len(endpoint.signature.inputs) == 2


def test_a_forked_child_has_a_connection_of_its_own(service, serve):
    handlers = serve(answering(), f"unix:{service['grpc_socket']}")
    code = """
import os
import numpy as np
from kale_serve_lab import Endpoint
endpoint = Endpoint("iris")
before = endpoint.predict(np.ones((1, 2))).tolist()
pid = os.fork()
if not pid:
    os._exit(int(endpoint.predict(np.ones((1, 2)))[0]))
print(before, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), endpoint.predict(np.ones((1, 2))).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[2.0] 2 [2.0]", done.stderr
    assert len(handlers.metadata) == 3


# -- by an address --------------------------------------------------------------------------------------------------


def v2_server(**more):
    specs = [messages.TensorSpec("input-0", "FP64", (-1, 2))]
    described = messages.encode_metadata(messages.Model("iris", "3"), "sklearn", specs, [])
    return {
        messages.method("ModelMetadata"): lambda *_: described,
        messages.method("ModelReady"): lambda *_: messages.encode_flag(True),
        **answering(),
        **more,
    }


def test_an_address_with_a_token(serve, tmp_path):
    handlers = serve(v2_server())
    (tmp_path / "token").write_text("first\n")
    with Endpoint(
        "iris", url=f"grpc://127.0.0.1:{handlers.port}", token=f"file:{tmp_path / 'token'}"
    ) as endpoint:
        assert endpoint.predict(X).tolist() == [2.0]
        (tmp_path / "token").write_text("second")
        assert endpoint.ready() is True
        assert endpoint.metadata()["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}]
        with pytest.raises(errors.InvalidInput):  # the metadata says what it takes
            endpoint.predict(np.ones((1, 3)))
    sent = [found.get("authorization") for found in handlers.metadata]
    assert sent == ["Bearer first", "Bearer first", "Bearer second", "Bearer second"]


def test_a_model_that_is_not_ready(serve):
    handlers = serve(v2_server(**{messages.method("ModelReady"): lambda *_: b""}))
    with Endpoint("iris", url=f"grpc://127.0.0.1:{handlers.port}") as endpoint:
        assert endpoint.ready() is False


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("grpc://host", None),
        ("grpc://host:1/path", None),
        ("grpc://host:99999", None),
        ("grpc://user:x@host:1", None),
        ("grpc://host:1", "v2"),
        ("http://host:1", "grpc-v2"),
        ("https://host", "grpc-v1"),
    ],
)
def test_addresses_that_are_refused(url, protocol):
    with pytest.raises(errors.InvalidRequest):
        Endpoint("iris", url=url, protocol_version=protocol)


def test_nothing_answers_at_the_address(serve):
    handlers = serve({})
    handlers.stop()
    with Endpoint("iris", url=f"grpc://127.0.0.1:{handlers.port}") as endpoint:
        with pytest.raises(errors.EndpointNotReady, match="Nothing answers at"):
            endpoint.predict(X)
        assert endpoint.ready() is False


def test_a_server_of_another_kind(serve):
    handlers = serve({})
    with (
        Endpoint("iris", url=f"grpc://127.0.0.1:{handlers.port}") as endpoint,
        pytest.raises(errors.UpstreamFailed, match="does not speak this protocol"),
    ):
        endpoint.predict(X)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls_is_checked(serve, tmp_path):
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost".split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    pair = ((tmp_path / "key").read_bytes(), (tmp_path / "cert").read_bytes())
    handlers = serve(v2_server(), "localhost:0", grpc.ssl_server_credentials([pair]))
    code = f"""
from kale_serve_lab import Endpoint
print(Endpoint("iris", url="grpcs://localhost:{handlers.port}").predict([[1.0, 1.0]]))
"""

    def run(**trust):
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | trust
        )

    # grpcio reads its roots once a process.
    assert run(GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=str(tmp_path / "cert")).stdout.strip() == "[2.0]"
    assert "EndpointNotReady" in run().stderr


# -- TensorFlow Serving's service -----------------------------------------------------------------------------------


def signature_map(**tensors_by_way):
    def info(dtype, shape):
        sizes = b"".join(wire.blob(2, wire.number(1, size)) for size in shape)
        return wire.number(2, dtype) + wire.blob(3, sizes)

    def entries(number, listed):
        return b"".join(
            wire.blob(number, wire.text(1, name) + wire.blob(2, info(*of))) for name, of in listed.items()
        )

    signature = entries(1, tensors_by_way["inputs"]) + entries(2, tensors_by_way["outputs"])
    listed = wire.blob(1, wire.text(1, "serving_default") + wire.blob(2, signature))
    held = wire.text(1, "type.googleapis.com/tensorflow.serving.SignatureDefMap") + wire.blob(2, listed)
    spec = wire.blob(1, wire.text(1, "iris") + wire.blob(2, wire.number(1, 7)))
    return spec + wire.blob(2, wire.text(1, "signature_def") + wire.blob(2, held))


@pytest.fixture
def tensorflow_server(serve):
    seen = []

    def predict(message, context):
        spec, asked = tensorflow.decode_request(message)
        seen.append((spec, asked))
        (given,) = asked.inputs
        if (given.name, given.dtype) != ("dense_input", "FP32"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "input tensor alias not found in signature")
        outputs = [tensors.from_array("dense_1", given.data * np.float32(2))]
        return tensorflow.encode_response(tensorflow.ModelSpec("iris", 7), outputs)

    status = wire.blob(1, wire.number(1, 7) + wire.number(2, tensorflow.AVAILABLE))
    handlers = serve(
        {
            tensorflow.PREDICT: predict,
            tensorflow.METADATA: lambda *_: signature_map(
                inputs={"dense_input": (1, [-1, 2])}, outputs={"dense_1": (1, [-1, 2])}
            ),
            tensorflow.STATUS: lambda *_: status,
        }
    )
    handlers.seen = seen
    return handlers


def test_tensorflow_serving_is_found_by_what_it_answers(tensorflow_server):
    with Endpoint("iris", url=f"grpc://127.0.0.1:{tensorflow_server.port}") as endpoint:
        found = endpoint.predict(np.ones((3, 2)))
        assert (found.dtype, found.tolist()) == (np.float32, [[2.0, 2.0]] * 3)
        assert endpoint.predict([[1.0, 2.0]]) == [[2.0, 4.0]]
        assert endpoint.ready() is True
        assert endpoint.metadata() == {
            "name": "iris",
            "versions": ["7"],
            "platform": "tensorflow",
            "inputs": [{"name": "dense_input", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "dense_1", "datatype": "FP32", "shape": [-1, 2]}],
        }
    assert tensorflow_server.seen[0][0] == tensorflow.ModelSpec("iris", None, "serving_default")


def test_tensorflow_serving_behind_the_daemon_takes_its_own_names(registry, serve, tensorflow_server):
    target = registry.serve(
        "iris",
        protocol="grpc-v1",
        protocols=["v1", "grpc-v1"],
        signature={
            "layout": "tensor",
            "inputs": [{"name": "input-0", "dtype": "FP64", "shape": [-1, 2]}],
            "outputs": [{"name": "predict", "dtype": "FP32", "shape": [-1, 2]}],
        },
    )
    serve(tensorflow_server.methods, f"unix:{target['grpc_socket']}")
    with Endpoint("iris") as endpoint:
        assert endpoint.predict(X).tolist() == [[2.0, 2.0]]
        assert endpoint.predict(X, outputs=["predict"]).tolist() == [[2.0, 2.0]]
        assert endpoint.predict({"instances": [[1, 2]]}) == {"predictions": [[2.0, 4.0]]}
