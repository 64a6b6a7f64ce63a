"""The daemon's relay and the ways behind it: real sockets, servers that misbehave, an API server that is one of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import os
import socket
import stat
import threading

import pytest

from kale_serve_lab import errors, paths
from kale_serve_lab.backends.kserve.carrying import Wires
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.backends.kserve.way import Ways
from kale_serve_lab.daemon.cluster_relay import ClusterRelay
from kale_serve_lab.daemon.idle import Idle
from kale_serve_lab.serving.types import Address, ServiceKey

KEY = ServiceKey("team", "iris")
PREDICT = "/serving/team/iris/v1/models/iris:predict"
PREDICTIONS = b'{"predictions": [1]}'


def answer(body=PREDICTIONS, status="200 OK", kind="application/json", **headers):
    lines = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    head = "".join(
        f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value is not None
    )
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class Upstream:
    """Answers each request by `behave(head, body, send)`; keeps what it was asked and counts connections."""

    def __init__(self, behave=None):
        self.behave = behave or (lambda head, body, send: send(answer()))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heads, self.bodies, self.connections = [], [], 0
        self.threads = [threading.Thread(target=self._accept)]
        self.open = []
        self.threads[0].start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                head = line
                while (line := file.readline()) not in (b"\r\n", b""):
                    head += line
                text = head.decode("latin-1")
                fields = dict(one.lower().split(": ", 1) for one in text.split("\r\n")[1:] if one)
                body = b""
                if "content-length" in fields:
                    body = file.read(int(fields["content-length"]))
                elif fields.get("transfer-encoding") == "chunked":
                    while size := int(file.readline(), 16):
                        body += file.read(size)
                        file.readline()
                    file.readline()
                self.heads.append(text)
                self.bodies.append(body)
                self.behave(text, body, connection.sendall)

    def asked(self, start):
        return [head for head in self.heads if head.startswith(start)]

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def upstream():
    with contextlib.ExitStack() as stack:

        def make(behave=None):
            one = Upstream(behave)
            stack.callback(one.close)
            return one

        yield make


class Running:
    """The relay in an event loop of its own, before a connection that a kubeconfig makes."""

    def __init__(
        self, home, api, addresses, *, most=1 << 20, resolve=None, token="api-server-token", **settings
    ):
        kubeconfig = home / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "contexts": [
                        {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}
                    ],
                    "clusters": [{"name": "c", "cluster": {"server": api.url}}],
                    "users": [{"name": "u", "user": {"token": token}}],
                }
            )
        )
        self.settings = Settings(kubeconfig=str(kubeconfig), context="c", **settings)
        self.cluster = connect(self.settings)
        self.addresses = addresses
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        more = {} if resolve is None else {"resolve": resolve}

        async def begin():
            self.ways = Ways(self.cluster, self.settings, self.candidates, wires=Wires(most=most), **more)
            self.idle = Idle(1000, lambda: True, lambda: None)
            self.relay = ClusterRelay(lambda: self.ways)
            self.relay.start(self.idle)

        self.run(begin())

    def candidates(self, key):
        if key != KEY:
            raise errors.EndpointNotFound(f"There is no {key}.", subject=key.name)
        return self.addresses

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def ask(self, path=PREDICT, body=b'{"instances": [[1]]}', method="POST", headers=None):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(paths.cluster_socket()))
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        return response.status, content, response.headers

    def refused(self, *arguments, **keywords):
        status, content, headers = self.ask(*arguments, **keywords)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"] == "application/json"
        found = json.loads(content)["error"]
        return status, found["code"], found["message"], found["hint"]

    def predict_once(self):
        return self.run(self.ways.predict_once(KEY, "/v1/models/iris:predict", b"{}"))

    def close(self):
        async def end():
            await self.relay.close()
            await self.ways.close()
            self.idle.close()
            await self.loop.shutdown_default_executor()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()
        self.cluster.close()


@pytest.fixture
def relay(home):
    with contextlib.ExitStack() as stack:

        def make(api, *addresses, **settings):
            one = Running(home, api, addresses, **settings)
            stack.callback(one.close)
            return one

        yield make


def external(server, path="", host=None):
    return Address("external", server.url + path, host)


PROXY = Address("api-server", "/api/v1/namespaces/team/services/iris-predictor:80/proxy")


def test_a_prediction_goes_by_the_host_that_the_gateway_knows(upstream, relay):
    server = upstream()
    running = relay(upstream(), external(server, host="iris-team.example.org"))
    status, content, _ = running.ask(
        headers={"Content-Type": "application/json", "Cookie": "session=1", "Authorization": "Bearer mine"}
    )
    assert (status, content) == (200, PREDICTIONS)
    head = server.asked("POST /v1/models/iris:predict")[0].lower()
    assert "host: iris-team.example.org" in head
    assert "cookie" not in head
    assert "authorization" not in head
    assert stat.S_IMODE(os.stat(paths.cluster_socket()).st_mode) == 0o600


def test_a_path_based_address_keeps_its_path_and_connections_are_kept(upstream, relay):
    server = upstream()
    running = relay(upstream(), external(server, "/serving/team/iris"))
    for _ in range(5):
        assert running.ask()[0] == 200
    assert len(server.asked("POST /serving/team/iris/v1/models/iris:predict")) == 5
    assert server.connections <= 2


def test_through_the_api_server_with_its_credentials_and_binary_untouched(upstream, relay):
    tensors = b'{"inputs": []}' + bytes(range(256))
    api = upstream(
        lambda head, body, send: send(
            answer(body, kind="application/octet-stream", Inference_Header_Content_Length="14")
        )
    )
    running = relay(api, PROXY)
    status, content, headers = running.ask(
        "/serving/team/iris/v2/models/iris/infer",
        tensors,
        headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "14"},
    )
    assert (status, content, headers["Inference-Header-Content-Length"]) == (200, tensors, "14")
    (head,) = api.asked("POST /api/v1/namespaces/team/services/iris-predictor:80/proxy/v2/models/iris/infer ")
    assert "authorization: Bearer api-server-token" in head
    assert "inference-header-content-length: 14" in head


def test_the_first_way_that_works_is_remembered_and_another_taken_when_it_fails(upstream, relay):
    first, api = upstream(), upstream()
    running = relay(api, external(first), PROXY)
    tried = running.predict_once()
    assert tried.ok
    assert tried.address.kind == "external"
    assert [address.works for address in tried.addresses] == [True, None]
    first.close()
    assert running.ask()[0] == 200
    assert [address.works for address in running.ways.addresses(KEY)] == [False, True]
    assert "refused" in running.ways.addresses(KEY)[0].why.lower()


def test_the_probe_tells_why_each_other_way_did_not_work(upstream, relay):
    login = upstream(
        lambda head, body, send: send(answer(b"", "302 Found", Location="https://kf/dex/auth?state=1"))
    )
    named = Address(
        "external", "http://iris-team.example.com", None, False, "example.com is only a placeholder"
    )
    running = relay(upstream(), named, external(login), PROXY)
    tried = running.predict_once()
    assert tried.ok
    assert tried.address.kind == "api-server"
    assert [address.works for address in tried.addresses] == [False, False, True]
    assert tried.addresses[0].why == named.why
    assert "login page" in tried.addresses[1].why


def test_where_no_way_works_the_error_says_what_to_do_and_lists_them(upstream, relay):
    login = upstream(
        lambda head, body, send: send(answer(b"", "302 Found", Location="https://kf/oauth2/start"))
    )
    away = upstream()
    away.close()
    running = relay(upstream(), external(away), external(login))
    status, code, message, hint = running.refused()
    assert (status, code) == (401, "Unauthorized")
    assert "login page" in message
    assert "--audience" in hint
    tried = running.predict_once()
    assert not tried.ok
    assert {address["works"] for address in tried.error.details["addresses"]} == {False}


def test_what_the_model_says_is_passed_on_as_it_is(upstream, relay):
    said = b'{"error": "X has 3 features, but 4 are expected"}'
    running = relay(
        upstream(), external(upstream(lambda head, body, send: send(answer(said, "400 Bad Request"))))
    )
    assert running.ask()[:2] == (400, said)
    tried = running.predict_once()
    assert (tried.ok, tried.status, tried.error.code) == (False, 400, "InvalidInput")
    assert tried.address.works is True


BOMB = gzip.compress(b"0" * 100_000_000, 9)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", "UpstreamFailed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 70_000, "UpstreamFailed"),
        (answer(BOMB, Content_Encoding="gzip"), "UpstreamFailed"),
        (answer(b"<script>alert(1)</script>", kind="text/html"), "Unauthorized"),
        (answer(b"<h1>bad</h1>", "502 Bad Gateway", "text/html"), "UpstreamFailed"),
        (answer(b"", "301 Moved", Location="http://169.254.169.254/"), "UpstreamFailed"),
        (answer(b"RBAC: access denied", "403 Forbidden", "text/plain"), "Forbidden"),
        (answer(b"no healthy upstream", "503 No", "text/plain"), "EndpointNotReady"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "UpstreamFailed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", "UpstreamFailed"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "UpstreamFailed"),
    ],
    ids=[
        "10-gb",
        "endless-headers",
        "gzip-bomb",
        "html",
        "html-502",
        "redirect",
        "istio",
        "no-upstream",
        "smuggling",
        "endless-chunk",
        "no-http",
    ],
)
def test_what_is_no_answer_is_an_error_of_ours_at_the_bounds(upstream, relay, raw, code):
    server = upstream(lambda head, body, send: send(raw if head.startswith("POST") else answer()))
    running = relay(upstream(), external(server))
    # The way itself is found by a question about the model.
    status, found, _, _ = running.refused()
    assert found == code
    assert status == {"Unauthorized": 401, "Forbidden": 403, "EndpointNotReady": 503}.get(code, 502)


def test_an_answer_that_grows_beyond_the_bound_is_cut(upstream, relay):
    def endless(head, body, send):
        if head.startswith("GET"):
            return send(answer())
        send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            send(b"10000\r\n" + b"0" * 65536 + b"\r\n")

    running = relay(upstream(), external(upstream(endless)), most=1 << 20)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        running.ask()


def test_large_bodies_stream_both_ways(upstream, relay):
    server = upstream(lambda head, body, send: send(answer(body, kind="application/octet-stream")))
    running = relay(upstream(), external(server), most=1 << 26)
    body = os.urandom(5_000_000)
    assert running.ask(body=body)[1] == body
    chunks = (body[at : at + 700_000] for at in range(0, len(body), 700_000))
    status, content, _ = running.ask(body=chunks)
    assert (status, content) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/serving/team/..%2fx/v1/models/iris:predict",
        "/serving/team/%2e%2e/v1/models/iris:predict",
        "/serving/team/a.b/v1/models/iris:predict",
        "/serving/team/" + "a" * 64 + "/v1/models/iris",
        "/serving/team/%ef%bd%81/v1/models/iris",
        "/serving/team//v1/models/iris",
        "/serving/../iris/v1/models/iris",
        "/serving/team/iris/v1/models/../../x",
        "/serving/team/iris/v1/models/%2e%2e",
        "/serving/team/iris/v3/models/iris",
        "/serving/team/iris/v1/models/iris:predict?url=http://169.254.169.254/",
        "/serving/team/iris/v1//169.254.169.254/x",
        "/serving/team/iris/v1/models/iris@evil.example.org",
    ],
)
def test_names_and_paths_that_are_none_go_nowhere(upstream, relay, path):
    server = upstream()
    running = relay(upstream(), external(server))
    status, code, _, _ = running.refused(path, method="GET", body=None)
    assert status == 400
    assert code in ("InvalidName", "InvalidRequest")
    assert server.connections == 0


def test_an_unknown_service_is_told_as_such(upstream, relay):
    running = relay(upstream())
    assert running.refused("/serving/team/other/v1/models/other:predict")[:2] == (404, "EndpointNotFound")
    status, code, message, _ = running.refused()
    assert (status, code) == (503, "EndpointNotReady")
    assert "no address" in message


def resolver(table):
    async def resolve(host, port):
        found = table.get(host, [host] if host.replace(".", "").isdigit() else None)
        if found is None:
            raise socket.gaierror(-2, "Name or service not known")
        return found.pop(0) if isinstance(found[0], list) else found

    return resolve


@pytest.mark.parametrize(
    ("ips", "why"),
    [
        (["169.254.169.254"], "link-local"),
        (["10.0.0.1", "169.254.169.254"], "link-local"),
        (["::ffff:169.254.169.254"], "link-local"),
        (["fe80::1"], "link-local"),
        (["fd00:ec2::254"], "metadata"),
        (["100.100.100.200"], "metadata"),
        (["0.0.0.0"], "no address of a server"),
    ],
)
def test_names_that_lead_to_metadata_are_refused(upstream, relay, ips, why):
    running = relay(
        upstream(),
        Address("external", "http://iris.evil.example.org/"),
        resolve=resolver({"iris.evil.example.org": ips}),
    )
    status, code, message, _ = running.refused()
    assert (status, code) == (403, "Forbidden")
    assert why in message


def test_a_name_is_resolved_once(upstream, relay):
    """The second answer of the DNS would lead elsewhere."""
    server, elsewhere = upstream(), upstream()
    table = {"iris.example.org": [["127.0.0.1"], ["127.0.0.2"]]}
    running = relay(
        elsewhere,
        Address("external", f"http://iris.example.org:{server.port}"),
        resolve=resolver(table),
    )
    for _ in range(3):
        assert running.ask()[0] == 200
    assert table["iris.example.org"] == [["127.0.0.2"]]


def token_server(tokens, status="201 Created", account="editor"):
    def behave(head, body, send):
        assert head.startswith(f"POST /api/v1/namespaces/team/serviceaccounts/{account}/token ")
        asked = json.loads(body)
        assert asked["spec"]["audiences"] == ["gateway"]
        token = {"token": tokens.pop(0) if tokens else "", "expirationTimestamp": "2999-01-01T00:00:00Z"}
        found = (
            {"kind": "TokenRequest", "status": token}
            if status.startswith("201")
            else {"kind": "Status", "apiVersion": "v1", "code": 403}
        )
        send(answer(json.dumps(found).encode(), status))

    return behave


def test_a_token_is_made_for_the_gateway_and_kept(upstream, relay):
    api, server = upstream(token_server(["first", "second"])), upstream()
    running = relay(api, external(server), audience="gateway", token_account="editor")
    for _ in range(3):
        assert running.ask()[0] == 200
    assert all("authorization: Bearer first" in head for head in server.heads)
    assert "api-server-token" not in "".join(server.heads)
    assert len(api.heads) == 1
    assert "first" not in repr(vars(running.ways))


def of_account(subject):
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).rstrip(b"=").decode()
    return f"e30.{claims}.signature"


@pytest.mark.parametrize(
    ("own", "account"),
    [
        ("api-server-token", "default-editor"),
        (of_account("system:serviceaccount:team:notebook"), "notebook"),
        (of_account("system:serviceaccount:elsewhere:notebook"), "default-editor"),
        (of_account("jane"), "default-editor"),
    ],
    ids=["no-jwt", "own", "of-another-namespace", "a-person"],
)
def test_the_token_is_made_for_the_account_that_we_are(upstream, relay, own, account):
    api, server = upstream(token_server(["made"], account=account)), upstream()
    running = relay(api, external(server), audience="gateway", token=own)
    assert running.ask()[0] == 200
    assert "authorization: Bearer made" in server.heads[0]


def test_a_token_that_the_gateway_refuses_is_made_anew(upstream, relay):
    api = upstream(token_server(["old", "new"]))

    def gateway(head, body, send):
        if "Bearer new" in head:
            return send(answer())
        send(answer(b"Jwt is expired", "401 Unauthorized", "text/plain"))

    running = relay(api, external(upstream(gateway)), audience="gateway", token_account="editor")
    assert running.refused()[:2] == (401, "Unauthorized")
    # The next look is a second later at the soonest; a probe looks at once.
    assert running.predict_once().ok
    assert running.ask()[0] == 200


def test_the_right_to_make_tokens_is_named_where_it_is_missing(upstream, relay):
    api, server = upstream(token_server([], "403 Forbidden")), upstream()
    running = relay(api, external(server), audience="gateway", token_account="editor")
    status, code, message, hint = running.refused()
    assert (status, code) == (403, "Forbidden")
    assert "serviceaccount team/editor" in message
    assert 'resources ["serviceaccounts/token"], verbs ["create"]' in hint
    assert server.connections == 0


@pytest.mark.parametrize(
    ("status", "said", "code", "hint"),
    [
        (
            "403 Forbidden",
            "services is forbidden",
            "Forbidden",
            '["services/proxy"], verbs ["get", "create"]',
        ),
        ("404 Not Found", 'services "iris-predictor" not found', "EndpointNotReady", "pods are not ready"),
        ("503 Service Unavailable", "no endpoints available", "EndpointNotReady", "pods are not ready"),
        ("401 Unauthorized", "Unauthorized", "Unauthorized", "Log in to the cluster again"),
    ],
    ids=["no-right", "no-service", "no-pods", "no-login"],
)
def test_the_api_servers_own_refusals(upstream, relay, status, said, code, hint):
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": said}
    running = relay(upstream(lambda head, _, send: send(answer(json.dumps(body).encode(), status))), PROXY)
    found = running.refused()
    assert found[1] == code
    assert said in found[2] or code == "Unauthorized"
    assert hint in found[3]


def test_only_the_way_that_the_settings_name_is_taken(upstream, relay):
    server, api = upstream(), upstream()
    running = relay(api, external(server), PROXY, address="api-server")
    assert running.ask()[0] == 200
    assert server.connections == 0
    assert running.ways.addresses(KEY)[0].why == "the settings name another way"


def test_a_caller_that_goes_is_not_worked_for(upstream, relay):
    gone = threading.Event()

    def think(head, body, send):
        if head.startswith("GET"):
            return send(answer())
        asked.set()
        gone.wait(30)
        send(answer())

    asked = threading.Event()
    server = upstream(think)
    running = relay(upstream(), external(server))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(paths.cluster_socket()))
        caller.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert asked.wait(60)
    # The connection to the server ends with the caller's.
    connection = server.open[-1]
    connection.settimeout(60)
    gone.set()
    assert running.ask()[0] == 200
