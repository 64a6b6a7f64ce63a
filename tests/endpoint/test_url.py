"""A server somewhere else: its address, its token, its protocol."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading

import numpy as np
import pytest

from kale_serve_lab import Endpoint, errors

PREDICTIONS = {"predictions": [1]}
METADATA = {"name": "iris", "inputs": [], "outputs": []}
SERVER = {"name": "triton", "version": "2", "extensions": ["binary_tensor_data"]}
ANSWER = {
    "model_name": "iris",
    "outputs": [{"name": "output-0", "datatype": "FP64", "shape": [1], "data": [0.1]}],
}


@pytest.fixture
def server(scripted):
    return scripted()


def conversation(server, *answers):
    def script(connection):
        for raw in answers:
            if server.read(connection) is None:
                return
            connection.sendall(raw)

    return script


def address(server):
    return f"http://127.0.0.1:{server.address[1]}"


def test_v2_with_a_token(server, answer):
    server.run(
        conversation(server, answer(METADATA), answer(SERVER)),
        conversation(server, answer(ANSWER), answer(METADATA)),
    )
    with Endpoint("iris", url=address(server) + "/serving/default/iris/", token="abc") as endpoint:
        assert endpoint.predict(np.ones((1, 4))).tolist() == [0.1]
        assert endpoint.metadata() == METADATA
    (asked, _), _, (sent, _), _ = server.requests
    assert asked.startswith("GET /serving/default/iris/v2/models/iris HTTP/1.1\r\n")
    assert sent.startswith("POST /serving/default/iris/v2/models/iris/infer HTTP/1.1\r\n")
    assert "Authorization: Bearer abc" in sent
    assert "abc" not in repr(endpoint)


def test_v1_where_there_is_no_v2(server, answer):
    server.run(
        conversation(
            server, answer({"detail": "Not Found"}, "404 Not Found"), answer({"name": "iris", "ready": True})
        ),
        conversation(server, answer(PREDICTIONS), answer({"name": "iris", "ready": "False"})),
    )
    with Endpoint("x", url=address(server) + "/v1/models/iris:predict") as endpoint:
        assert endpoint.predict([[1.0, float("nan")]]) == [1]
        assert endpoint.ready() is False
    head, body = server.requests[2]
    assert head.startswith("POST /v1/models/iris:predict HTTP/1.1\r\n")
    assert json.loads(body) == {"instances": [[1.0, None]]}


def test_infinity_has_no_json(server, answer):
    server.run(conversation(server, answer({}, "404 Not Found"), answer({"name": "iris"})))
    with (
        Endpoint("iris", url=address(server)) as endpoint,
        pytest.raises(errors.InvalidInput, match="infinite"),
    ):
        endpoint.predict([[float("inf")]])


def test_a_token_file_is_read_again(server, answer, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    server.run(
        conversation(server, answer(METADATA), answer(SERVER)),
        conversation(server, answer(ANSWER), answer(ANSWER)),
    )
    with Endpoint("iris", url=address(server), token=f"file:{token}") as endpoint:
        endpoint.predict([[1.0]])
        token.write_text("second")
        endpoint.predict([[1.0]])
        token.write_text("a\r\nX-Evil: 1")
        with pytest.raises(errors.Unauthorized, match="characters that no token has"):
            endpoint.predict([[1.0]])
        token.unlink()
        with pytest.raises(errors.Unauthorized, match="cannot be read"):
            endpoint.predict([[1.0]])
    assert "Bearer first" in server.requests[2][0]
    assert "Bearer second" in server.requests[3][0]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "host",
        "http://",
        "http://user:pass@host",
        "http://host/?x=1",
        "http://host:99999",
        "http://ho st/",
        "http://h/a\r\nX: 1",
    ],
)
def test_addresses_that_are_refused(url):
    with pytest.raises(errors.InvalidRequest):
        Endpoint("iris", url=url)


def test_a_login_page_is_an_error_that_says_what_to_do(server, answer):
    server.run(conversation(server, answer(b"<html>", "302 Found", Location="https://dex/login")))
    with (
        Endpoint("iris", url=address(server)) as endpoint,
        pytest.raises(errors.Unauthorized, match="token="),
    ):
        endpoint.predict([[1.0]])


def test_nothing_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with Endpoint("iris", url=f"http://127.0.0.1:{free.getsockname()[1]}") as endpoint:
            with pytest.raises(errors.EndpointNotReady, match="refused"):
                endpoint.predict([[1.0]])
            assert endpoint.ready() is False


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls_is_checked(answer, tmp_path, monkeypatch):
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key",
            "-out",
            "cert",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listener.getsockname()[1]}"

    def work():
        for raws in ([], [answer(METADATA), answer(SERVER)], [answer(ANSWER), answer(ANSWER)]):
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    for raw in raws:
                        head = b""
                        while b"\r\n\r\n" not in head:
                            head += connection.recv(65536)
                        size = int(
                            head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or 0
                        )
                        body = head.partition(b"\r\n\r\n")[2]
                        while len(body) < size:
                            body += connection.recv(65536)
                        connection.sendall(raw)
                    if raws:
                        connection.recv(1)
            except OSError:
                plain.close()

    thread = threading.Thread(target=work)
    thread.start()
    with listener, Endpoint("iris", url=url) as endpoint:
        with pytest.raises(errors.EndpointNotReady, match="certificate"):
            endpoint.predict([[1.0]])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        assert endpoint.predict(np.ones((1, 2))).tolist() == [0.1]
        assert endpoint.predict(np.ones((200, 2000))).tolist() == [0.1]
    thread.join(10)
