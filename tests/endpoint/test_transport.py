"""The connection: kept, noticed when dead, moved with the front socket, bounded in time and size."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import tracemalloc

import numpy as np
import pytest

from kale_serve_lab import Endpoint, errors, paths
from kale_serve_lab.inference import v2
from kale_serve_lab.inference.tensors import from_array


def reply(answer, values=(7,), **headers):
    header, buffers, length = v2.encode_response(
        "iris",
        [from_array("predict", np.array(values))],
        "1",
        binary=["predict"],
    )
    return answer(header + b"".join(buffers), Inference_Header_Content_Length=str(length), **headers)


@pytest.fixture
def front(registry, scripted):
    service = registry.serve("iris")
    return scripted(service["socket"])


@pytest.fixture
def endpoint(registry):
    registry.serve("iris")
    with Endpoint("iris") as found:
        yield found


X = np.ones((1, 2))


def several(front, count, raw):
    def script(connection):
        for _ in range(count):
            if front.read(connection) is None:
                return
            connection.sendall(raw)

    return script


def test_a_connection_is_kept(front, endpoint, answer):
    front.run(several(front, 5, reply(answer)))
    for _ in range(5):
        assert endpoint.predict(X).tolist() == [7]
    assert len(front.requests) == 5


def test_a_dead_kept_connection_is_noticed_before_sending(front, endpoint, answer):
    front.run(front.answer(reply(answer)), front.answer(reply(answer, (8,))))
    assert endpoint.predict(X).tolist() == [7]
    kept = next(iter(endpoint._service()[1]._all))
    kept.poll.poll(10_000)
    assert endpoint.predict(X).tolist() == [8]
    assert len(front.requests) == 2


def test_the_front_socket_may_move_to_a_new_revision(front, endpoint, scripted, answer, home):
    front.run(front.answer(reply(answer, Connection="close")))
    new = scripted(home / "new.sock")
    assert endpoint.predict(X).tolist() == [7]
    os.rename(home / "new.sock", front.address)
    new.run(new.answer(reply(answer, (9,))))
    assert endpoint.predict(X).tolist() == [9]


def test_after_the_switch_the_old_revision_is_not_asked_again(front, endpoint, scripted, answer, home):
    front.run(several(front, 2, reply(answer)))
    new = scripted(home / "new.sock")
    new.run(new.answer(reply(answer, (9,))))
    assert endpoint.predict(X).tolist() == [7]
    os.rename(home / "new.sock", front.address)
    assert endpoint.predict(X).tolist() == [9]
    assert len(front.requests) == 1


def test_a_kept_connection_outlives_its_path(front, endpoint, answer):
    front.run(several(front, 2, reply(answer)))
    endpoint.predict(X)
    os.unlink(front.address)
    assert endpoint.predict(X).tolist() == [7]


def test_a_new_revisions_signature_is_learned_from_its_answer(front, endpoint, registry, answer):
    front.run(several(front, 3, reply(answer, X_Kale_Serve_Revision="2")))
    assert endpoint.signature is None
    asked = registry.asked
    registry.services["iris"]["signature"] = {
        "layout": "columns",
        "inputs": [{"name": "x0", "dtype": "FP64"}, {"name": "x1", "dtype": "FP64"}],
    }
    for _ in range(3):
        endpoint.predict(X)
    assert registry.asked == asked + 1
    assert len(endpoint.signature.inputs) == 2


def test_an_unread_request_is_sent_again_once(front, endpoint, answer):
    def unread(connection):
        connection.recv(1)

    front.run(unread, front.answer(reply(answer)))
    assert endpoint.predict(X).tolist() == [7]
    assert len(front.requests) == 1


def test_a_request_that_was_read_is_never_sent_again(front, endpoint):
    front.run(front.read)
    with pytest.raises(errors.EndpointGone, match="ended before the answer"):
        endpoint.predict(X)
    assert len(front.requests) == 1


def test_a_server_that_says_nothing_times_out(front, endpoint):
    done = threading.Event()

    def silent(connection):
        front.read(connection)
        done.wait(20)

    front.run(silent)
    start = time.monotonic()
    with pytest.raises(errors.Timeout, match=r"0\.2 s"):
        endpoint.predict(X, timeout=0.2)
    assert time.monotonic() - start < 5
    done.set()


def test_a_server_that_drips_times_out_too(front, endpoint):
    done = threading.Event()

    def drip(connection):
        front.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not done.wait(0.02):
            try:
                connection.sendall(b"X")
            except OSError:
                return

    front.run(drip)
    with pytest.raises(errors.Timeout):
        endpoint.predict(X, timeout=0.3)
    done.set()


def test_a_full_backlog_is_waited_for(registry, endpoint, answer):
    path = str(paths.front_socket("default", "iris"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting = []
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(path)
            except BlockingIOError:
                sock.close()
                break
            waiting.append(sock)
        with pytest.raises(errors.Timeout):
            endpoint.predict(X, timeout=0.1)
        results = []
        thread = threading.Thread(target=lambda: results.append(endpoint.predict(X)))
        thread.start()
        for _ in waiting:
            listener.accept()[0].close()
        connection = listener.accept()[0]
        with connection:
            connection.recv(65536)
            connection.sendall(reply(answer))
            thread.join(10)
        for sock in waiting:
            sock.close()
    assert [found.tolist() for found in results] == [[7]]


def test_each_thread_has_a_connection_and_a_forked_child_too(registry, start_server, home):
    import joblib
    from sklearn.dummy import DummyRegressor

    folder = home / "artifact"
    folder.mkdir()
    joblib.dump(DummyRegressor(strategy="mean").fit([[0.0]], [3.0]), folder / "model.joblib")
    service = registry.serve("mean")
    server = start_server(service["socket"], service="mean", artifact_dir=str(folder))
    with Endpoint("mean") as endpoint:
        wrong = []

        def work(rows):
            for _ in range(30):
                if endpoint.predict(np.zeros((rows, 1))).tolist() != [3.0] * rows:
                    wrong.append(rows)

        threads = [threading.Thread(target=work, args=(rows,)) for rows in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

        assert endpoint.predict([[1.0]]) == [3.0]
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if all(endpoint.predict([[1.0]] * 2) == [3.0] * 2 for _ in range(20)) else 1)
            finally:
                os._exit(2)
        for _ in range(20):
            assert endpoint.predict([[1.0]]) == [3.0]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        large = np.random.default_rng(0).random((3_000_000, 1))
        assert len(endpoint.predict(large)) == len(large)

        server.kill()
        server.listener.close()
        with pytest.raises(errors.KaleServeError) as caught:
            endpoint.predict([[1.0]])
        assert isinstance(caught.value, errors.EndpointNotReady | errors.EndpointGone)


def test_more_columns_than_one_sendmsg_takes(front, endpoint, answer):
    import pandas as pd

    front.run(front.answer(reply(answer)))
    frame = pd.DataFrame({f"c{at}": [float(at)] if at % 2 else [str(at)] for at in range(2000)})
    endpoint.predict(frame)
    head, body = front.requests[0]
    length = int(
        next(line for line in head.split("\r\n") if line.lower().startswith("inference-header")).split(":")[1]
    )
    found = v2.decode_request(body, length)
    assert [tensor.array.tolist() for tensor in found.inputs] == [frame[name].tolist() for name in frame]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
BODY = b'{"outputs":[{"name":"predict","datatype":"INT64","shape":[1],"data":[7]}]}'


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED
        + b"5\r\n"
        + BODY[:5]
        + b"\r\n"
        + f"{len(BODY) - 5:X};ext=1\r\n".encode()
        + BODY[5:]
        + b"\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
        + str(len(BODY)).encode()
        + b"\r\n\r\n"
        + BODY,
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    ],
)
def test_framings_that_are_read(front, endpoint, raw):
    front.run(front.answer(raw))
    assert endpoint.predict(X).tolist() == [7]


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (
            OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            errors.UpstreamFailed,
            "content-length twice",
        ),
        (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", errors.UpstreamFailed, "both"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", errors.UpstreamFailed, "transfer coding"),
        (
            OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            errors.UpstreamFailed,
            "content coding",
        ),
        (OK + b"Content-Length: 10737418240\r\n\r\n", errors.UpstreamFailed, "larger than"),
        (OK + b"Content-Length: -1\r\n\r\n", errors.UpstreamFailed, "Content-Length"),
        (OK + b"Content-Length: 0x10\r\n\r\n", errors.UpstreamFailed, "Content-Length"),
        (OK + b"Content-Length : 5\r\n\r\nhello", errors.UpstreamFailed, "malformed header"),
        (OK + b"X: y\r\n" * 30_000, errors.UpstreamFailed, "headers are longer"),
        (CHUNKED + b"zz\r\n", errors.UpstreamFailed, "malformed"),
        (CHUNKED + b"-5\r\n", errors.UpstreamFailed, "malformed"),
        (CHUNKED + b"FFFFFFFFFF\r\n", errors.UpstreamFailed, "larger than"),
        (CHUNKED + b"3\r\nabcX\r\n", errors.UpstreamFailed, "malformed"),
        (CHUNKED + b"1" * 200_000, errors.UpstreamFailed, "does not end"),
        (CHUNKED + b"5\r\nab", errors.EndpointGone, "ended after 2 of 5"),
        (OK + b"Content-Length: 50\r\n\r\nhello", errors.EndpointGone, "5 of 50"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", errors.UpstreamFailed, "does not speak HTTP"),
        (OK + b"Content-Length: 3\r\n\r\n[1]", errors.UpstreamFailed, "cannot be read"),
        (OK + b"Content-Length: 2\r\n\r\n{}", errors.UpstreamFailed, "cannot be read"),
        (OK + b'Content-Length: 14\r\n\r\n{"outputs":[]}', errors.UpstreamFailed, "no outputs"),
        (OK + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", errors.Unauthorized, "web page"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /dex/auth\r\nContent-Length: 0\r\n\r\n",
            errors.Unauthorized,
            "redirects to /dex/auth",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", errors.EndpointNotReady, "503"),
        (b'HTTP/1.1 500 Oops\r\nContent-Length: 16\r\n\r\n{"error": "why"}', errors.PredictFailed, "why"),
        (
            b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            errors.Forbidden,
            "web page",
        ),
    ],
)
def test_answers_that_are_refused(front, endpoint, raw, error, words):
    front.run(front.answer(raw))
    with pytest.raises(error, match=words):
        endpoint.predict(X)


def test_a_length_is_not_believed_before_the_bytes_come(front, endpoint):
    front.run(front.answer(OK + b"Content-Length: 1000000000\r\n\r\nhello"))
    tracemalloc.start()
    with pytest.raises(errors.EndpointGone):
        endpoint.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000


def test_before_a_transformer_the_models_signature_says_nothing(front, registry, answer):
    columns = {"layout": "columns", "inputs": [{"name": "x0", "dtype": "FP64"}]}
    registry.serve("iris", protocol="v1", signature=columns, transformer={"signature": None})
    front.run(several(front, 5, answer({"predictions": [7]})), several(front, 1, answer({"label": "good"})))
    with Endpoint("iris") as endpoint:
        assert endpoint.signature is None
        assert endpoint.predict(["a text"]) == [7]
        assert endpoint.predict(np.array([[1.0, 2.0]])).tolist() == [7]
        assert endpoint.predict({"anything": [1]}) == {"predictions": [7]}
        assert endpoint.predict('{"instances": "x"}') == {"predictions": [7]}
        assert endpoint.predict({"inputs": [1]}) == {"predictions": [7]}
        endpoint.close()
        assert endpoint.predict(["a text"]) == {"label": "good"}
    assert [json.loads(body) for _, body in front.requests[:4]] == [
        {"instances": ["a text"]},
        {"instances": [[1.0, 2.0]]},
        {"anything": [1]},
        {"instances": "x"},
    ]
