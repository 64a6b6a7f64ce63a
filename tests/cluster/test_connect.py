"""A connection to an API server: by a kubeconfig, by the pod's account, through a proxy, and all the ways that it is not there."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import os
import re
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest
from connect_proxy import Proxy
from fake_cluster import certs

from kale_serve_lab.backends.kserve.cluster import APPLY
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.resources import INFERENCE_SERVICES, PODS
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.errors import ClusterUnavailable, InvalidConfig, KaleServeError, Unauthorized

SERVICES = INFERENCE_SERVICES.path("default")


@pytest.fixture
def opened():
    """Connects, and closes again: no thread of the test may be left."""
    made = []

    def open_(settings, **how):
        made.append(connect(settings, **how))
        return made[-1]

    before = set(threading.enumerate())
    yield open_
    for one in made:
        one.close()
    left = [t.name for t in threading.enumerate() if t not in before and not t.name.startswith("fake")]
    assert not left


def edited(kubeconfig, **changes):
    """The kubeconfig with keys of its one cluster and user set."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"].update(changes.get("cluster", {}))
    if "user" in changes:
        config["users"][0]["user"] = changes["user"]
    kubeconfig.write_text(json.dumps(config))
    return Settings(kubeconfig=str(kubeconfig))


def isvc(name="iris", **model):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://a/b", **model}}
        },
    }


def test_objects_go_there_and_come_back(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    assert (cluster.namespace, cluster.context, cluster.title) == ("default", "fake", "default @ fake")
    assert cluster.server == fake.url.removeprefix("https://")
    made = cluster.request("POST", SERVICES, body=isvc(storageURI="x"))
    assert made.status == 201
    assert any("storageURI" in one for one in made.warnings)
    strict = cluster.request(
        "POST", SERVICES, query={"fieldValidation": "Strict"}, body=isvc("b", storageURI="x")
    )
    assert (strict.status, strict.json["kind"]) == (400, "Status")
    assert cluster.request("GET", f"{SERVICES}/iris").json["metadata"]["name"] == "iris"
    applied = cluster.request(
        "PATCH",
        f"{SERVICES}/other",
        query={"fieldManager": "kale-serve-lab", "force": False},
        body=isvc("other"),
        content_type=APPLY,
    )
    assert applied.status == 201
    listed = cluster.request("GET", SERVICES, query={"limit": 1, "labelSelector": None})
    assert len(listed.json["items"]) == 1
    assert "labelSelector" not in fake.requests.of("list")[-1].query
    raw = cluster.request("GET", f"{SERVICES}/iris", raw=True)
    assert json.loads(raw.body)["kind"] == "InferenceService"
    assert cluster.request("GET", f"{SERVICES}/absent").status == 404


def test_namespace_and_context_come_from_settings_first(fake, tmp_path, opened):
    path = fake.kubeconfig(tmp_path / "k", namespace="other", context="prod")
    assert opened(Settings(kubeconfig=str(path))).namespace == "other"
    assert opened(Settings(kubeconfig=str(path), context="prod", namespace="team")).namespace == "team"


def test_a_wrong_context_names_those_that_there_are(kubeconfig):
    with pytest.raises(InvalidConfig) as caught:
        connect(Settings(kubeconfig=str(kubeconfig), context="prod"))
    assert "prod" in caught.value.message
    assert "fake" in caught.value.hint


BROKEN = {
    "empty": "",
    "text": "hello",
    "list": "[]",
    "no clusters": json.dumps({"contexts": [{"name": "a", "context": {"cluster": "c"}}], "current-context": "a"}),
    "no server": json.dumps(
        {"contexts": [{"name": "a", "context": {"cluster": "c"}}], "clusters": [{"name": "c", "cluster": {}}], "current-context": "a"}
    ),
    "no current": json.dumps({"contexts": [{"name": "a", "context": {}}], "clusters": []}),
    "texts": json.dumps({"contexts": ["a"], "clusters": ["b"], "users": "c", "current-context": "a"}),
    "yaml": "users:\n- user: {token: sesame-sesame\n  broken: [",
    "binary": "\0\1\2",
    "server": json.dumps(
        {"contexts": [{"name": "a", "context": {"cluster": "c"}}], "clusters": [{"name": "c", "cluster": {"server": "ftp://x"}}], "current-context": "a"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_kubeconfig_that_is_none_is_named_and_not_quoted(what, tmp_path):
    path = tmp_path / "config"
    path.write_text(BROKEN[what])
    with pytest.raises(InvalidConfig) as caught:
        connect(Settings(kubeconfig=str(path)))
    assert "sesame" not in json.dumps(caught.value.to_json())


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidConfig, match="nowhere"):
        connect(Settings(kubeconfig=str(tmp_path / "nowhere")))


def test_outside_a_pod_and_without_a_context_there_is_nothing_to_connect_to(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnavailable, match="No cluster is set") as caught:
        connect(Settings(), account=tmp_path)
    assert "cluster set" in caught.value.hint


def test_a_refused_token_is_loaded_anew_once(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    assert cluster.request("GET", SERVICES).ok
    fake.access.expire(fake.token)
    fake.kubeconfig(kubeconfig, token=fake.access.token("kale"))
    assert cluster.request("GET", SERVICES).ok
    assert cluster.request("POST", SERVICES, body=isvc()).status == 201


def test_an_expired_token_is_said_and_not_tried_without_end(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    fake.access.expire(fake.token)
    for _ in range(3):
        answer = cluster.request("GET", SERVICES)
        assert answer.status == 401
    assert fake.requests.count("list") == 4
    error = errors_of(answer, "list", "inferenceservices default")
    assert type(error) is Unauthorized
    assert "Log in again" in error.hint


@pytest.fixture
def in_pod(fake, tmp_path, monkeypatch):
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(fake.token + "\n")
    (folder / "ca.crt").write_bytes(fake.ca)
    (folder / "namespace").write_text("other")
    host, _, port = fake.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    return folder


def test_in_a_pod_its_account_is_used_and_its_token_may_rotate(fake, in_pod, opened):
    cluster = opened(Settings(), account=in_pod)
    assert (cluster.namespace, cluster.context, cluster.title) == ("other", None, "other")
    assert cluster.request("GET", SERVICES).ok
    fake.access.expire(fake.token)
    (in_pod / "token").write_text(fake.access.token("kale"))
    assert cluster.request("GET", SERVICES).ok
    assert cluster.access().headers["Authorization"] == "Bearer " + (in_pod / "token").read_text()


@pytest.mark.parametrize("missing", ["ca.crt", "token"])
def test_a_pod_whose_account_is_not_whole_is_told(missing, in_pod):
    (in_pod / missing).write_text("")
    with pytest.raises(InvalidConfig, match="ServiceAccount"):
        connect(Settings(), account=in_pod)


def plugin(tmp_path, text):
    script = tmp_path / "log in"
    script.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\n{text}\n")
    script.chmod(0o700)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
    }


def credential(token):
    return json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": token},
        }
    )


def test_the_users_own_exec_plugin_logs_in_and_again_once_it_has_expired(fake, kubeconfig, tmp_path, opened):
    answer = tmp_path / "answer"
    answer.write_text(credential(fake.token))
    cluster = opened(edited(kubeconfig, user=plugin(tmp_path, f"cat '{answer}'")))
    assert cluster.request("GET", SERVICES).ok
    assert cluster.request("GET", SERVICES).ok
    assert (tmp_path / "runs").read_text().count("run") == 1
    fake.access.expire(fake.token)
    answer.write_text(credential(fake.access.token("kale")))
    assert cluster.request("GET", SERVICES).ok
    assert (tmp_path / "runs").read_text().count("run") == 2


def test_who_waits_for_a_person_to_log_in_holds_nobody_else_up(fake, kubeconfig, tmp_path, opened):
    answer, gate = tmp_path / "answer", tmp_path / "gate"
    answer.write_text(credential(fake.token))
    os.mkfifo(gate)
    wait = f"[ -s {tmp_path}/runs2 ] && read x < '{gate}'; echo again >> {tmp_path}/runs2; cat '{answer}'"
    cluster = opened(edited(kubeconfig, user=plugin(tmp_path, wait)))
    lines = cluster.lines(SERVICES, {"watch": True, "resourceVersion": "0"}, 60.0)
    fake.access.expire(fake.token)
    answer.write_text(credential(fake.access.token("kale")))
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(cluster.request("GET", SERVICES).status))
    thread.start()
    fake.wait_for(lambda: fake.requests.count("list") == 1)
    # It waits at the gate now; another is told in its own time, and closing does not wait.
    assert cluster.request("GET", SERVICES, timeout=0.5).status == 401
    assert cluster.access().url == fake.url
    lines.close()
    with gate.open("w") as opener:
        opener.write("go\n")
    thread.join(60)
    assert statuses == [200]


@pytest.mark.parametrize(
    "text",
    ["echo 'the session is over' >&2; exit 1", "echo not json; echo 'the session is over' >&2", "echo '{}'", "exec sleep 0"],
    ids=["fails", "no json", "empty", "silent"],
)  # fmt: skip
def test_an_exec_plugin_that_fails_is_said_in_an_error_and_nowhere_else(
    text, kubeconfig, tmp_path, caplog, capfd
):
    with pytest.raises(Unauthorized) as caught:
        connect(edited(kubeconfig, user=plugin(tmp_path, text)))
    assert "log in" in caught.value.message
    if "exit 1" in text:
        assert "the session is over" in caught.value.message
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_secrets_are_in_no_repr_log_or_error(fake, kubeconfig, tmp_path, opened, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "s3cret" + "x" * 60
    leak = plugin(tmp_path, f"echo 'token {secret} is over' >&2; exit 1")
    seen = []
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    seen += [repr(cluster), repr(cluster.access()), repr(cluster._login), str(vars(cluster)["_login"])]
    seen.append(str(errors_of(cluster.request("GET", f"{SERVICES}/absent"), "get", "x").to_json()))
    fake.refuse()
    for settings in (Settings(kubeconfig=str(kubeconfig)), edited(kubeconfig, user=leak)):
        with pytest.raises(KaleServeError) as caught:
            opened(settings).request("GET", SERVICES)
        chained = caught.value
        while chained is not None:
            seen += [repr(chained), str(chained)]
            chained = chained.__cause__
        seen.append(json.dumps(caught.value.to_json()))
    seen += [record.getMessage() for record in caplog.records]
    assert len(seen) > 8
    for text in seen:
        assert fake.token not in text
        assert secret not in text


def test_keys_that_stand_in_the_kubeconfig_leave_no_file(fake, kubeconfig, tmp_path, opened, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    _, certificate, key = certs.authority()
    config = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
        "token": fake.token,
    }
    cluster = opened(edited(kubeconfig, user=config))
    assert cluster.request("GET", SERVICES).ok
    assert list(folder.iterdir()) == []
    # Loading anew needs them again.
    fake.access.expire(fake.token)
    config["token"] = fake.access.token("kale")
    edited(kubeconfig, user=config)
    assert cluster.request("GET", SERVICES).ok
    assert list(folder.iterdir()) == []
    config["client-key-data"] = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nsesame\n").decode()
    with pytest.raises(InvalidConfig) as caught:
        connect(edited(kubeconfig, user=config))
    assert "sesame" not in str(caught.value)
    assert list(folder.iterdir()) == []


def reason_of(settings, **how):
    cluster = connect(settings)
    try:
        with pytest.raises(ClusterUnavailable) as caught:
            cluster.request("GET", SERVICES, **how)
    finally:
        cluster.close()
    assert cluster.server in caught.value.message or "proxy" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_server_that_refuses_is_said(fake, kubeconfig):
    fake.refuse()
    error = reason_of(Settings(kubeconfig=str(kubeconfig)))
    assert error.details["reason"] == "refused"
    assert "refused" in error.message


def test_a_name_that_is_not_there_is_said(kubeconfig):
    error = reason_of(edited(kubeconfig, cluster={"server": "https://nobody.invalid:6443"}))
    assert error.details["reason"] == "name"
    assert "nobody.invalid:6443" in error.message


def test_a_server_that_is_silent_is_said_in_time(fake, kubeconfig):
    fake.silence()
    began = time.monotonic()
    error = reason_of(Settings(kubeconfig=str(kubeconfig)), timeout=1.0)
    assert error.details["reason"] == "timeout"
    assert time.monotonic() - began < 30


def test_a_server_of_another_authority_is_not_trusted(fake, kubeconfig):
    config = json.loads(kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    kubeconfig.write_text(json.dumps(config))
    error = reason_of(Settings(kubeconfig=str(kubeconfig)))
    assert error.details["reason"] == "tls"
    assert "not trusted" in error.message
    assert "certificate-authority" in error.hint
    assert not fake.requests, "no token went there"


def test_a_certificate_of_another_name_is_not_trusted_unless_the_kubeconfig_names_it(
    fake, kubeconfig, opened
):
    error = reason_of(edited(kubeconfig, cluster={"tls-server-name": "elsewhere"}))
    assert error.details["reason"] == "tls"
    assert not fake.requests
    cluster = opened(edited(kubeconfig, cluster={"tls-server-name": "localhost"}))
    assert cluster.request("GET", SERVICES).ok


def test_no_tls_there_is_said(kubeconfig):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as plain:
        thread = threading.Thread(target=plain.serve_forever)
        thread.start()
        try:
            error = reason_of(
                edited(kubeconfig, cluster={"server": f"https://127.0.0.1:{plain.server_port}"})
            )
        finally:
            plain.shutdown()
            thread.join()
    assert error.details["reason"] == "tls"


def test_insecure_is_refused_unless_the_kubeconfig_says_so(fake, kubeconfig, opened):
    with pytest.raises(InvalidConfig, match="without TLS"):
        connect(edited(kubeconfig, cluster={"server": "http://kube.example.org:8080"}))
    cluster = opened(
        edited(
            kubeconfig,
            cluster={"server": fake.url, "certificate-authority-data": "", "insecure-skip-tls-verify": True},
        )
    )
    assert cluster.request("GET", SERVICES).ok


@pytest.fixture(params=[False], ids=["lets through"])
def proxy(request):
    found = Proxy(refuses=request.param)
    yield found
    found.close()


def test_the_kubeconfigs_proxy_is_used_with_its_login(fake, kubeconfig, proxy):
    cluster = connect(
        edited(kubeconfig, cluster={"proxy-url": f"http://me:se%40same@127.0.0.1:{proxy.port}"})
    )
    try:
        assert cluster.request("GET", SERVICES).ok
    finally:
        cluster.close()
    assert proxy.asked[0].startswith(f"CONNECT {fake.url.removeprefix('https://')} ")
    assert base64.b64encode(b"me:se@same").decode() in proxy.asked[0]
    assert fake.token not in proxy.asked[0]


@pytest.mark.parametrize("proxy", [True], indirect=True, ids=["refuses"])
def test_a_proxy_that_refuses_is_named_without_its_password(fake, kubeconfig, proxy):
    error = reason_of(edited(kubeconfig, cluster={"proxy-url": f"http://me:sesame@127.0.0.1:{proxy.port}"}))
    assert error.details["reason"] == "proxy"
    assert f"127.0.0.1:{proxy.port}" in error.message
    assert "sesame" not in json.dumps(error.to_json())


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(fake, kubeconfig, opened, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert opened(Settings(kubeconfig=str(kubeconfig))).request("GET", SERVICES).ok


def test_reads_are_tried_again_within_the_time(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    fake.script.fail("list", status=503, times=2)
    assert cluster.request("GET", SERVICES).ok
    assert fake.requests.count("list") == 3
    fake.script.fail("list", status=429, retry_after=600, times=100)
    began = time.monotonic()
    assert cluster.request("GET", SERVICES, timeout=20.0).status == 429
    assert time.monotonic() - began < 15, "it does not wait for what comes too late"
    assert fake.requests.count("list") == 4
    fake.script.clear()
    fake.script.fail("list", status=503, times=100)
    assert cluster.request("GET", SERVICES, retry=False).status == 503
    assert fake.requests.count("list") == 5


def test_what_might_be_done_twice_is_not_repeated(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    fake.script.fail("create", status=503)
    assert cluster.request("POST", SERVICES, body=isvc()).status == 503
    assert fake.requests.count("create") == 1
    fake.script.fail("create", reset=True, after=True)
    with pytest.raises(ClusterUnavailable) as caught:
        cluster.request("POST", SERVICES, body=isvc())
    assert caught.value.details["reason"] == "lost"
    assert fake.requests.count("create") == 2
    assert fake.get("inferenceservices", "iris") is not None
    fake.script.fail("patch", reset=True, after=True)
    answer = cluster.request(
        "PATCH", f"{SERVICES}/two", query={"fieldManager": "a"}, body=isvc("two"), content_type=APPLY
    )
    assert answer.ok
    assert fake.requests.count("patch") == 2


def test_a_connection_that_the_server_has_closed_meanwhile_is_no_error(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    assert cluster.request("GET", SERVICES).ok
    fake.refuse()
    fake.resume()
    assert cluster.request("GET", SERVICES).ok


def test_lines_come_as_they_are_written_and_another_thread_ends_them(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    lines = cluster.lines(SERVICES, {"watch": True, "resourceVersion": "0"}, 60.0)
    fake.put({**isvc(), "metadata": {"name": "a"}})
    assert json.loads(next(lines))["object"]["metadata"]["name"] == "a"
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(lines))
    reader.start()
    began = time.monotonic()
    lines.close()
    reader.join(30)
    assert not reader.is_alive()
    # What its controller did to it meanwhile, in whole lines.
    assert {json.loads(line)["type"] for line in rest} <= {"MODIFIED"}
    assert time.monotonic() - began < 30
    fake.wait_for(lambda: not fake.watches.open)


def test_closing_the_connection_ends_its_lines(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    lines = cluster.lines(SERVICES, {"watch": True, "resourceVersion": "0"}, 60.0)
    reader = threading.Thread(target=lambda: list(lines))
    reader.start()
    cluster.close()
    reader.join(30)
    assert not reader.is_alive()
    with pytest.raises(ClusterUnavailable):
        cluster.request("GET", SERVICES)


def test_silence_and_a_cut_are_told_apart(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    quiet = cluster.lines(SERVICES, {"watch": True, "resourceVersion": "0"}, 0.5)
    with pytest.raises(ClusterUnavailable) as caught:
        next(quiet)
    assert caught.value.details["reason"] == "silent"
    cut = cluster.lines(SERVICES, {"watch": True, "resourceVersion": "0"}, 60.0)
    fake.wait_for(lambda: fake.watches.open)
    fake.watches.drop()
    with pytest.raises(ClusterUnavailable) as caught:
        next(cut)
    assert caught.value.details["reason"] == "lost"


def test_a_refused_stream_says_why_and_has_no_lines(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    lines = cluster.lines(PODS.path("default", "absent", "log"), {"follow": True}, 10.0)
    assert lines.answer.status == 404
    assert lines.answer.json["reason"] == "NotFound"
    assert list(lines) == []


def test_a_redirect_is_not_followed(kubeconfig, opened):
    """It would carry the token to whoever is named there."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/evil")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            cluster = opened(edited(kubeconfig, cluster={"server": f"http://127.0.0.1:{server.server_port}"}))
            answer = cluster.request("GET", SERVICES)
            cluster.close()
        finally:
            server.shutdown()
            thread.join()
    assert answer.status == 302
    assert asked == [SERVICES]
    assert "no API server" in errors_of(answer, "list", "x y").message


def test_another_server_in_the_kubeconfig_is_not_followed_while_connected(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    fake.access.expire(fake.token)
    edited(kubeconfig, cluster={"server": "https://127.0.0.1:1"})
    with pytest.raises(InvalidConfig, match="another server"):
        cluster.request("GET", SERVICES)


def test_many_threads_share_one_connection(fake, kubeconfig, opened):
    cluster = opened(Settings(kubeconfig=str(kubeconfig)))
    statuses = []

    def ask():
        statuses.extend(cluster.request("GET", SERVICES).status for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 60


def test_the_package_is_imported_only_when_a_cluster_is_connected_to():
    """It costs most of a second, and belongs to one module."""
    folder = Path(connect.__code__.co_filename).parent
    importing = [
        path.name
        for path in folder.glob("*.py")
        if re.search(r"^\s*(from|import) kubernetes", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["connect.py"]
    text = (folder / "connect.py").read_text()
    assert not re.search(r"^(from|import) (kubernetes|yaml|urllib3)", text, re.MULTILINE)


def test_a_written_kubeconfig_stays_the_users(fake, kubeconfig, opened):
    kubeconfig.chmod(0o600)
    before = kubeconfig.read_bytes()
    opened(Settings(kubeconfig=str(kubeconfig))).request("GET", SERVICES)
    assert kubeconfig.read_bytes() == before
    assert stat.S_IMODE(os.stat(kubeconfig).st_mode) == 0o600
