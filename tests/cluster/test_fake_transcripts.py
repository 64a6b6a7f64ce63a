"""The fake answers each of the 31 recorded requests as a real API server with KServe 0.20 did."""

from __future__ import annotations

import http.client
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fake_cluster import SHARED, FakeCluster

FILE = SHARED / "kserve-v0.20.0" / "transcripts.json"
GOOD = {
    "predictor": {
        "minReplicas": 0,
        "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://models/skl"},
    }
}
SSA = {
    "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "t-ssa"}, "spec": GOOD,
}  # fmt: skip
ISVCS = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
ORDER = (
    "get one that is not there", "create, plain, with a misspelt field: dropped in silence but for the Warning header",
    "the same, fieldValidation=Strict", "server-side dry run of a good one: the defaulter's answer",
    "server-side dry run, refused by the webhook", "server-side dry run, refused by the schema", "server-side apply, new",
    "server-side apply, same again: no new resourceVersion", "someone else edits a field we own (merge patch)",
    "server-side apply after that: 409 with the conflicting fields", "the same with force", "create what exists",
    "update with an old resourceVersion: 409", "delete with a wrong uid precondition: 409", "no token", "bad token",
    "a user with no rights lists", "a user with no rights creates", "may I create (SelfSubjectAccessReview), no",
    "may I create, yes", "list, paged", "watch from a resourceVersion long gone", "list with an expired continue token",
    "watch with bookmarks", "TokenRequest for a ServiceAccount with an audience",
    "PVC with a dataSource that lacks its apiGroup: dropped", "the same with dataSourceRef",
    "predict through the API server: a Service proxy with no ready backend", "predict through the API server",
    "delete, foreground", "delete, leftover",
)  # fmt: skip
# The recorder left managedFields out but where the request was an apply that went through.
TOLD_FIELDS = ("server-side apply, new", "server-side apply, same again: no new resourceVersion")


@pytest.fixture(scope="module")
def transcripts(needs_shared):
    return {t["what"]: t for t in json.loads(FILE.read_text())}


class Predictor(BaseHTTPRequestHandler):
    """What stood behind the recorded Service: any model server that answers a class."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        rows = json.loads(self.rfile.read(length))["instances"]
        body = json.dumps({"predictions": [0 for _ in rows]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def model_server():
    server = HTTPServer(("127.0.0.1", 0), Predictor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fake(needs_shared):
    with FakeCluster() as running:
        yield running


def send(fake, request, token=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(fake.url.rsplit(":", 1)[1]), timeout=60)
    headers = {"User-Agent": "recorder/1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if request["contentType"]:
        headers["Content-Type"] = request["contentType"]
    path = request["path"]
    if request["query"]:
        path += "?" + urllib.parse.urlencode(request["query"])
    body = request["body"] if body is None else body
    connection.request(request["method"], path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, json.loads(data)


def apply(fake, body=SSA, **query):
    query = {"fieldManager": "kale-serve-lab", **query}
    request = {"method": "PATCH", "path": f"{ISVCS}/{body['metadata']['name']}", "query": query,
               "contentType": "application/apply-patch+yaml", "body": body}  # fmt: skip
    return send(fake, request, fake.token)[1]


def edited(fake, transcripts):
    apply(fake)
    fake.controller.settle()
    other = transcripts["someone else edits a field we own (merge patch)"]["request"]
    send(fake, other, fake.token)
    fake.controller.settle()


def recorded_status(fake, transcripts, what):
    """The state of the recorded object when it was asked for: its controller's part."""
    body = transcripts[what]["response"]["body"]
    live = fake.get("inferenceservices", body["metadata"]["name"])
    fake.set_status("inferenceservices", live["metadata"]["name"], body["status"])


def prepare(fake, transcripts, what, model_server):
    """What the cluster held at that time; answers the token of who asks."""
    token = fake.token
    if what.startswith("server-side apply, same again"):
        fake.controller.hold()
        apply(fake, fieldValidation="Strict")
        fake.controller.advance(0)
    elif what.startswith("someone else edits"):
        apply(fake)
        fake.controller.settle()
        recorded_status(fake, transcripts, what)
    elif what.startswith(("server-side apply after", "the same with force")):
        edited(fake, transcripts)
        if "force" in what:
            recorded_status(fake, transcripts, what)
    elif what.startswith(("create what exists", "update with an old", "delete with a wrong")):
        apply(fake)
    elif what == "no token":
        token = None
    elif what == "bad token":
        token = "bad"
    elif what.startswith(("a user with no rights", "may I create (")):
        token = fake.access.token("reader")
    elif what == "list, paged":
        fake.controller.enabled = False
        item = transcripts[what]["response"]["body"]["items"][0]
        fake.put(item)
        for other in "mnop":
            fake.put({**item, "metadata": {"name": other}})
    elif "long gone" in what or "expired" in what:
        fake.compact()
    elif "no ready backend" in what:
        pass
    elif what == "predict through the API server":
        fake.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "skl-predictor"}, "spec": {}})
        fake.backs("skl-predictor", model_server)
    elif what == "delete, foreground":
        edited(fake, transcripts)
        apply(fake, force="true")
        fake.controller.settle()
        recorded_status(fake, transcripts, what)
        fake.controller.hold()
    elif what == "delete, leftover":
        made = transcripts[ORDER[1]]["request"]
        send(fake, made, fake.token)
        fake.controller.settle()
        recorded_status(fake, transcripts, what)
    return token


UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def normal(value, key=None):
    if isinstance(value, dict):
        return {k: normal(v, k) for k, v in value.items()}
    if isinstance(value, list):
        items = [normal(v) for v in value]
        return sorted(items, key=lambda e: json.dumps(e, sort_keys=True)) if key == "managedFields" else items
    if not isinstance(value, str):
        return value
    if key in ("resourceVersion", "continue", "token"):
        return f"<{key}>"
    if key == "message":
        value = re.sub(r"too old resource version: 1 \(\d+\)", "too old resource version: 1 (N)", value)
    return TIME.sub("<time>", UID.sub("<uid>", value))


def test_the_list_is_whole(transcripts):
    assert tuple(transcripts) == ORDER


@pytest.mark.parametrize("what", ORDER, ids=[f"{i:02}" for i in range(len(ORDER))])
def test_it_answers_as_the_real_one(fake, transcripts, what, model_server):
    request, wanted = transcripts[what]["request"], transcripts[what]["response"]
    token = prepare(fake, transcripts, what, model_server)
    answer, body = send(fake, request, token)
    assert answer.status == wanted["status"], body
    assert answer.headers["Warning"] == wanted["warning"]
    assert answer.headers["Retry-After"] == wanted["retryAfter"]
    assert answer.headers["Content-Type"].split(";")[0] == wanted["contentType"]
    got = normal(body)
    expected = normal(wanted["body"])
    if what not in TOLD_FIELDS and isinstance(got.get("metadata"), dict):
        got["metadata"].pop("managedFields", None)
    assert got == expected


def test_what_the_transcripts_say_between_the_lines(fake, transcripts):
    """The same apply gives the same resourceVersion; a dry run leaves nothing behind; a TokenRequest's end is in the future."""
    fake.controller.enabled = False
    first = apply(fake)
    assert apply(fake)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    send(fake, transcripts[ORDER[3]]["request"], fake.token)
    assert fake.get("inferenceservices", "t-dry") is None
    send(fake, transcripts[ORDER[25]]["request"], fake.token)
    assert fake.list("persistentvolumeclaims") == []
