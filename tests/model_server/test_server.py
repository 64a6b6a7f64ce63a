"""HTTP, the control socket and the end of a predictor process."""

from __future__ import annotations

import json
import os
import signal
import socket
import textwrap
import threading

import joblib
import numpy as np
import pytest
from contract_models import sklearn_array_classifier, sklearn_frame_classifier, sklearn_mixed_pipeline
from server_process import Control, UnixConnection
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from kale_serve_lab.inference import v2


@pytest.fixture(scope="module")
def iris(module_servers):
    case = sklearn_array_classifier()
    return (
        module_servers(**case.write(module_servers.folder / "iris"), max_body_bytes=1 << 20).start().ready()
    )


@pytest.fixture(scope="module")
def mixed(module_servers):
    case = sklearn_mixed_pipeline()
    return module_servers(**case.write(module_servers.folder / "mixed")).start().ready()


def post(path, body, extra=b""):
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (path, extra, len(body), body)


def user_module(folder, name, code):
    """A module that the model needs, in a folder that only the server gets on its path."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    return folder


def model_of(home, monkeypatch, name, code, expression):
    """An artifact whose model uses a module of its own; the environment for the server that has it."""
    path = user_module(home / "code", name, code)
    monkeypatch.syspath_prepend(str(path))
    import importlib

    module = importlib.import_module(name)
    folder = home / "artifact"
    folder.mkdir()
    joblib.dump(eval(expression, {"m": module}), folder / "model.joblib")
    return {"PYTHONPATH": f"{os.getcwd()}:{path}"}


# What is no prediction


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", {"status": "alive"}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2", {"name": "kale-serve", "version": "3", "extensions": ["binary_tensor_data"]}),
        ("/v2/models/iris/ready", {"name": "iris", "ready": True}),
        ("/v2/models/iris/versions/3/ready", {"name": "iris", "ready": True}),
        ("/v1/models", {"models": ["iris"]}),
        ("/v1/models/iris", {"name": "iris", "ready": True}),
    ],
)
def test_get_and_head(iris, path, expected):
    answer = iris.request("GET", path)
    assert (answer.status, answer.json) == (200, expected)
    assert answer.headers["X-Kale-Serve-Revision"] == "3"
    head = iris.request("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (
        200,
        b"",
        answer.headers["Content-Length"],
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NotFound"),
        ("POST", "/", 405, "InvalidRequest"),
        ("GET", "/v2/models/other", 404, "EndpointNotFound"),
        ("POST", "/v2/models/other/infer", 404, "EndpointNotFound"),
        ("POST", "/v1/models/other:predict", 404, "EndpointNotFound"),
        ("GET", "/v2/models/iris/versions/2", 404, "EndpointNotFound"),
        ("GET", "/v2/models/iris/infer", 405, "InvalidRequest"),
        ("PUT", "/v1/models/iris:predict", 405, "InvalidRequest"),
        ("DELETE", "/v2/models/iris", 405, "InvalidRequest"),
        ("GET", "http://elsewhere/v2", 400, "InvalidRequest"),
    ],
)
def test_what_is_not_there_or_not_allowed(iris, method, path, status, code):
    answer = iris.request(method, path)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["hint"] or code == "InvalidRequest"
    assert answer.headers["X-Kale-Serve-Revision"] == "3"


def test_pipelined_requests_are_answered_in_order(iris):
    bodies = [json.dumps({"instances": [[float(i), 3.0, 5.0, 1.0]] * (i + 1)}).encode() for i in range(5)]
    received = iris.raw(
        b"".join(
            post(b"/v1/models/iris:predict", body, b"Connection: close\r\n" if i == 4 else b"")
            for i, body in enumerate(bodies)
        )
    )
    answers = [
        json.loads(part.partition(b"\r\n\r\n")[2]) for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    ]
    assert [len(answer["predictions"]) for answer in answers] == [1, 2, 3, 4, 5]


def test_chunked_body(iris):
    body = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    received = iris.raw(
        b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunks
    )
    assert received.endswith(b'{"predictions":["setosa"]}')


# Bad input


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: 0x5\r\n",
    ],
)
def test_a_body_whose_length_is_in_doubt_closes_the_connection(iris, head):
    smuggled = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    received = iris.raw(
        b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n0\r\n\r\n" + smuggled
    )
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_no_http_at_all(iris):
    assert iris.raw(b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_body_above_the_limit_is_refused_before_it_is_read(iris):
    received = iris.raw(
        b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "InvalidInput"


def test_an_endless_chunked_body_is_cut(iris):
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
    received = iris.raw_until_closed(
        b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 6
    )
    assert received == b"" or received.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"nonsense", "JSON"),
        (b"[]", "object"),
        (b"{}", "instances"),
        (b'{"instances": []}', "no rows"),
        (b'{"instances": 5}', "instances"),
        (b'{"instances": [5]}', "Row 0"),
        (b'{"instances": [[1, 2, 3]]}', "3 values"),
        (b'{"instances": [[1, 2, 3, 4], [1, 2]]}', "Row 1"),
        (b'{"instances": [[1, 2, 3, "4"]]}', "x3"),
        (b'{"instances": [[1, 2, 3, [4]]]}', "x3"),
        (b'{"instances": [[1, 2, 3, NaN]]}', "NaN"),
        (b'{"instances": [[1, 2, 3, 1e999]]}', "larger"),
        (b'{"instances": [{"x0": 1, "x1": 2, "x3": 4}]}', "x2"),
        (b'{"instances": [[1, 2, 3, 4]], "parameters": {"outputs": ["fit"]}}', "fit"),
        (b'{"instances": [[1, 2, 3, 4]], "parameters": {"outputs": ["__class__"]}}', "__class__"),
        (b"[" * 100_000, "deep"),
        (b'{"instances": [[1, 2, 3, 4]], "instances": []}', "twice"),
    ],
)
def test_bad_v1_input_names_what_is_wrong(iris, body, words):
    answer = iris.request("POST", "/v1/models/iris:predict", body)
    assert (answer.status, answer.error["code"]) == (400, "InvalidInput"), answer.body
    assert words in answer.error["message"]
    assert iris.v1([[5.1, 3.5, 1.4, 0.2]]).json == {"predictions": ["setosa"]}


def tensor(**changes):
    return {"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": [1.0, 2, 3, 4]} | changes


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "at least one"),
        ([tensor(shape=[1, 3], data=[1, 2, 3])], "[1, 3]"),
        ([tensor(shape=[4])], "[1, 4]"),
        ([tensor(shape=[-1, 4])], "shape"),
        ([tensor(shape=[2**40, 2**40])], "shape"),
        ([tensor(shape=[0, 4], data=[])], "no rows"),
        ([tensor(datatype="FP128")], "FP128"),
        ([tensor(datatype="BYTES", data=["a", "b", "c", "d"])], "BYTES"),
        ([tensor(), tensor()], "twice"),
        ([tensor(name="x0", shape=[1], data=[1.0]), tensor(name="x1", shape=[1], data=[1.0])], "'x2', 'x3'"),
    ],
)
def test_bad_v2_input_names_what_is_wrong(iris, inputs, words):
    answer = iris.request("POST", "/v2/models/iris/infer", json.dumps({"inputs": inputs}))
    assert (answer.status, answer.error["code"]) == (400, "InvalidInput"), answer.body
    assert words in answer.error["message"]


@pytest.mark.parametrize("length", ["-1", "1e3", "99999", "999999999999999999999999", "٣"])
def test_a_binary_header_length_that_lies(iris, length):
    answer = iris.request(
        "POST", "/v2/models/iris/infer", b'{"inputs": []}', {v2.LENGTH_HEADER: length.encode()}
    )
    assert (answer.status, answer.error["code"]) == (400, "InvalidInput")


def test_integers_and_narrow_floats_are_taken_for_float_columns(iris):
    for datatype in ("INT64", "FP32", "UINT8"):
        answer = iris.request(
            "POST",
            "/v2/models/iris/infer",
            json.dumps({"inputs": [tensor(datatype=datatype, data=[1, 2, 3, 4])]}),
        )
        assert answer.status == 200, answer.body


def test_columns_of_other_types_are_refused_by_name(mixed):
    row = {"age": 30, "income": 2e4, "city": "Athens", "member": True}
    assert mixed.v1([row]).status == 200
    for column, value in (
        ("age", 30.5),
        ("age", None),
        ("income", "much"),
        ("city", 5),
        ("member", "yes"),
        ("member", 2),
    ):
        answer = mixed.v1([row | {column: value}])
        assert (answer.status, answer.error["subject"]) == (400, column)
    assert mixed.v1([{"age": 30}]).error["message"] == "Row 0 misses 'income', 'city', 'member'."


def test_unknown_columns_of_an_object_do_no_harm(mixed):
    assert mixed.v1([{"age": 30, "income": 2e4, "city": "Athens", "member": True, "target": 1}]).status == 200


def test_an_exception_of_the_model_is_named_and_its_traceback_stays_in_the_log(mixed):
    answer = mixed.v1([{"age": 30, "income": 2e4, "city": "Atlantis", "member": True}])
    assert (answer.status, answer.error["code"]) == (500, "PredictFailed")
    assert "Pipeline.predict raised ValueError: Found unknown categories" in answer.error["message"]
    assert "Traceback" not in answer.body.decode()
    assert "Traceback" in mixed.log


# Loading


def failed(server):
    message = server.control.until("failed")
    assert message["state"] == "failed", message
    assert server.wait() == 3
    assert message["error"]["code"] == "ModelLoadFailed"
    return message["error"]


def test_a_missing_package_is_named_with_the_environment(servers, home, monkeypatch):
    model_of(
        home,
        monkeypatch,
        "ksl_absent_package",
        "def double(x):\n    return x * 2\n",
        "__import__('sklearn.preprocessing').preprocessing.FunctionTransformer(m.double)",
    )
    error = failed(servers().start())
    assert "'ksl_absent_package'" in error["message"]
    assert error["details"]["package"] == "ksl_absent_package"
    assert error["details"]["python"] in error["message"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.joblib", b"this is no pickle", "could not be loaded"),
        ("readme.txt", b"", "one file *.joblib"),
        ("model.joblib", joblib.__file__.encode(), "could not be loaded"),
    ],
)
def test_a_wrong_file_is_named(servers, home, name, content, words):
    (home / "artifact").mkdir()
    (home / "artifact" / name).write_bytes(content)
    assert words in failed(servers().start())["message"]


def test_an_object_that_cannot_predict(servers, home):
    (home / "artifact").mkdir()
    joblib.dump({"not": "a model"}, home / "artifact" / "model.joblib")
    assert "dict has no method 'predict'" in failed(servers().start())["message"]


def test_a_failure_waits_for_the_daemon_that_comes_late(servers, home):
    server = servers(framework="onnx").start()
    assert "onnx" in failed(server)["message"]


def test_a_crash_on_load_is_seen_as_a_signal(servers, home, monkeypatch):
    env = model_of(
        home,
        monkeypatch,
        "ksl_crash",
        """
        import os, signal
        class Crash:
            def __setstate__(self, state): os.kill(os.getpid(), signal.SIGSEGV)
            def __getstate__(self): return {"a": 1}
    """,
        "m.Crash()",
    )
    assert servers().start(env=env).wait() == -signal.SIGSEGV


def test_a_load_that_hangs_still_obeys(servers, home, monkeypatch):
    env = model_of(
        home,
        monkeypatch,
        "ksl_hang",
        """
        import threading
        class Hang:
            def __setstate__(self, state): threading.Event().wait()
            def __getstate__(self): return {"a": 1}
    """,
        "m.Hang()",
    )
    server = servers().start(env=env)
    assert server.control.until("loading")["state"] == "loading"
    server.process.terminate()
    assert server.wait() == 0


# The control socket


def test_hello_state_and_the_socket_itself(servers, home):
    server = servers(**sklearn_array_classifier().write(home / "a")).start()
    hello = server.control.next()
    assert hello == {
        "type": "hello",
        "nonce": "ab12",
        "pid": server.process.pid,
        "service": "iris",
        "namespace": "default",
        "revision": 3,
        "component": "predictor",
    }
    loaded = server.control.until("loaded")
    assert loaded["error"] is None
    assert loaded["seconds"].keys() == {"import", "load"}
    second = Control(server.control_path)
    assert [second.next()["type"], second.next()["state"]] == ["hello", "loaded"]
    second.file.close()
    second.send("socket")
    data, fds, _, _ = socket.recv_fds(second.sock, 4096, 4)
    assert json.loads(data) == {"type": "socket"}
    with socket.socket(fileno=fds[0]) as listener:
        assert listener.getsockname() == str(server.socket_path)
    second.close()
    server.control.sock.sendall(b"nonsense\n")
    assert server.control.next()["type"] == "error"
    assert server.v1([[5.1, 3.5, 1.4, 0.2]]).json == {"predictions": ["setosa"]}


@pytest.mark.parametrize("way", ["stop", "SIGTERM"])
def test_stop_answers_what_is_in_flight(servers, home, monkeypatch, way):
    env = model_of(
        home,
        monkeypatch,
        "ksl_slow_" + way.lower(),
        """
        import os
        class Slow:
            def predict(self, x):
                with open(os.environ["KSL_FIFO"], "w") as gate: gate.write("here")
                with open(os.environ["KSL_FIFO"]) as gate: gate.read()
                return x[:, 0]
    """,
        "m.Slow()",
    )
    os.mkfifo(home / "fifo")
    server = servers().start(env=env | {"KSL_FIFO": str(home / "fifo")}).ready()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.v1([[7.0]])))
    asking.start()
    assert (home / "fifo").read_text() == "here"
    # The model computes; everything else still answers.
    other = UnixConnection(server.socket_path)
    other.request("GET", "/v2/health/live")
    assert other.getresponse().status == 200
    other.close()
    if way == "stop":
        server.control.send("stop")
    else:
        server.process.terminate()
    assert server.control.until("draining")["state"] == "draining"
    (home / "fifo").write_text("go on")
    asking.join()
    assert answers[0].json == {"predictions": [7.0]}
    assert answers[0].headers["Connection"] == "close"
    assert server.wait() == 0


def test_drain_loses_nothing(servers, home):
    """The daemon's switch by rename under load: kept and new connections, no retries, old server ends by itself."""
    X = sklearn_array_classifier().write(home / "a")
    old, new = servers(**X, revision=1).start(), servers(**X, revision=2).start()
    old.ready(), new.ready()
    front = home / "front.sock"
    os.link(old.socket_path, front)
    body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]})
    problems, revisions, stop = [], [], threading.Event()

    def ask(keep):
        connection = UnixConnection(front)
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/models/iris:predict", body)
                answer = connection.getresponse()
                answer.read()
                revisions.append(answer.headers["X-Kale-Serve-Revision"])
                if answer.status != 200:
                    problems.append(answer.status)
            except Exception as error:
                problems.append(error)
            if not keep:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(keep,)) for keep in (True, True, False, False)]
    for thread in threads:
        thread.start()
    while len(revisions) < 200 and not problems:
        stop.wait(0.01)
    os.link(new.socket_path, home / "next")
    os.rename(home / "next", front)
    old.control.send("drain")
    assert old.wait() == 0
    there = len(revisions)
    while len(revisions) < there + 200 and not problems:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert set(revisions[there + 10 :]) == {"2"}


def test_drain_serves_the_backlog_and_says_close(servers, home):
    server = servers(**sklearn_array_classifier().write(home / "a")).start().ready()
    os.kill(server.process.pid, signal.SIGSTOP)
    waiting = [UnixConnection(server.socket_path) for _ in range(20)]
    body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]})
    server.control.send("drain")
    for connection in waiting:
        connection.request("POST", "/v1/models/iris:predict", body)
    os.kill(server.process.pid, signal.SIGCONT)
    for connection in waiting:
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        answer.read()
        connection.close()
    assert server.wait() == 0


def test_connections_wait_in_the_backlog_while_the_model_loads(servers, home):
    server = servers(**sklearn_array_classifier().write(home / "a")).start()
    assert server.v1([[5.1, 3.5, 1.4, 0.2]]).status == 200


def test_bytecode_is_written_again_and_nothing_of_the_spec_is_in_the_command_line(servers, home, monkeypatch):
    env = model_of(
        home,
        monkeypatch,
        "ksl_env",
        """
        import os, sys
        import numpy as np
        class Env:
            def predict(self, x):
                return np.array(["PYTHONDONTWRITEBYTECODE" in os.environ, sys.dont_write_bytecode])
    """,
        "m.Env()",
    )
    server = servers().start(env=env | {"PYTHONDONTWRITEBYTECODE": "1"}).ready()
    assert server.v1([[1]]).json == {"predictions": [False, False]}
    with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
        assert b"ab12" not in file.read()


def test_large_arrays_there_and_back(servers, home):
    (home / "artifact").mkdir()
    joblib.dump(make_pipeline(FunctionTransformer()), home / "artifact" / "model.joblib")
    server = servers().start().ready()
    values = np.random.default_rng(0).random((1000, 1000), dtype="float32")
    from kale_serve_lab.inference import tensors

    header, buffers, length = v2.encode_request([tensors.from_array("x", values)], ["transform"])
    answer = server.request(
        "POST", "/v2/models/iris/infer", b"".join([header, *buffers]), {v2.LENGTH_HEADER: str(length)}
    )
    found = v2.decode_response(answer.body, v2.header_length(answer.headers[v2.LENGTH_HEADER])).outputs[0]
    assert np.array_equal(found.array, values)


def test_a_frame_model_warns_of_nothing(servers, home):
    case = sklearn_frame_classifier()
    server = servers(**case.write(home / "a")).start().ready()
    assert server.v1(case.rows.to_numpy().tolist()).status == 200
    assert "Warning" not in server.log
