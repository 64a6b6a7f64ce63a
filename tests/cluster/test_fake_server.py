"""The fake API server's own behaviour where others build on it: watches, apply, collection, failures, rights, parts."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse

import pytest
from fake_cluster import FakeCluster

ISVCS = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
SPEC = {
    "predictor": {"minReplicas": 1, "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://m/a"}}
}
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
CONFIGS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def fake(needs_shared):
    with FakeCluster() as running:
        running.controller.enabled = False
        yield running


def isvc(name, spec=SPEC, **metadata):
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "metadata": {"name": name, **metadata}, "spec": spec}  # fmt: skip


def connect(fake, timeout=60):
    return http.client.HTTPConnection("127.0.0.1", int(fake.url.rsplit(":", 1)[1]), timeout=timeout)


def ask(fake, method, path, body=None, *, kind="application/json", token=None, headers=None, **query):
    connection = connect(fake)
    headers = {"Authorization": f"Bearer {token or fake.token}", "Content-Type": kind, **(headers or {})}
    path += "?" + urllib.parse.urlencode(query) if query else ""
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    told = answer.headers["Content-Type"] or ""
    return answer.status, json.loads(data) if "json" in told else data.decode()


class Stream:
    """A watch or a followed log: its lines come one by one."""

    def __init__(self, fake, path, **query):
        self.connection = connect(fake)
        self.connection.request(
            "GET",
            f"{path}?{urllib.parse.urlencode(query)}",
            headers={"Authorization": f"Bearer {fake.token}"},
        )
        self.answer = self.connection.getresponse()

    def line(self):
        return self.answer.readline().decode().rstrip("\n")

    def event(self):
        line = self.line()
        return json.loads(line) if line else None

    def close(self):
        self.answer.close()
        self.connection.close()


@pytest.fixture
def stream(fake):
    made = []

    def start(path, **query):
        made.append(Stream(fake, path, **query))
        return made[-1]

    yield start
    for each in made:
        each.close()


def watch(stream, path=CONFIGS, **query):
    return stream(path, watch="true", **query)


def config(fake, name, **data):
    return fake.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


# watches


def test_a_watch_goes_on_from_a_list(fake, stream):
    config(fake, "a")
    listed = ask(fake, "GET", CONFIGS)[1]
    config(fake, "b")
    seen = watch(stream, resourceVersion=listed["metadata"]["resourceVersion"])
    event = seen.event()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
    config(fake, "a", key="value")
    fake.remove("configmaps", "b")
    assert [seen.event()["type"] for _ in range(2)] == ["MODIFIED", "DELETED"]


def test_a_watch_without_a_version_begins_with_what_is_there(fake, stream):
    config(fake, "a")
    assert watch(stream).event()["type"] == "ADDED"


def test_labels_that_come_and_go_are_added_and_deleted(fake, stream):
    seen = watch(stream, labelSelector="app=x")
    fake.wait_for(lambda: fake.watches.open)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "l"}}
    fake.put(body)
    for labels, kind in (
        ({"app": "x"}, "ADDED"),
        ({"app": "x", "b": "c"}, "MODIFIED"),
        ({"app": "y"}, "DELETED"),
    ):
        fake.put({**body, "metadata": {"name": "l", "labels": labels}})
        assert seen.event()["type"] == kind


def test_bookmarks_come_when_asked_for(fake, stream):
    plain, marked = watch(stream), watch(stream, allowWatchBookmarks="true")
    fake.wait_for(lambda: len(fake.watches.open) == 2)
    fake.watches.bookmark()
    event = marked.event()
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["resourceVersion"] == str(fake.store.version)
    config(fake, "a")
    assert plain.event()["type"] == "ADDED"


def test_a_watch_ends_at_its_time_after_a_last_bookmark(stream):
    seen = watch(stream, allowWatchBookmarks="true", timeoutSeconds="1")
    assert seen.event()["type"] == "BOOKMARK"
    assert seen.event() is None


def test_old_versions_are_gone_after_a_compaction(fake, stream):
    old = config(fake, "a")["metadata"]["resourceVersion"]
    open_one = watch(stream, resourceVersion=old)
    page = ask(fake, "GET", ISVCS.replace("/namespaces/default", ""), limit=1)[1]
    assert "continue" not in page["metadata"]
    fake.compact()
    late = watch(stream, resourceVersion=old)
    assert late.event()["object"]["code"] == 410
    assert late.event() is None
    config(fake, "b")
    assert open_one.event()["type"] == "ADDED"


def test_open_watches_can_be_told_that_they_are_too_old(fake, stream):
    seen = watch(stream)
    fake.wait_for(lambda: fake.watches.open)
    fake.watches.drop(expired=True)
    assert seen.event()["object"]["reason"] == "Expired"


def test_dropped_watches_end_without_a_word(fake, stream):
    seen = watch(stream)
    fake.wait_for(lambda: fake.watches.open)
    fake.watches.drop()
    with pytest.raises((http.client.HTTPException, OSError)):
        while seen.answer.read(1):
            pass
        raise http.client.IncompleteRead(b"")
    fake.wait_for(lambda: not fake.watches.open)


def test_a_version_of_the_future_times_out(fake):
    status, body = ask(fake, "GET", CONFIGS, resourceVersion="999999", watch="true")
    assert (status, body["reason"]) == (504, "Timeout")


def test_a_closed_watch_is_noticed(fake):
    seen = Stream(fake, CONFIGS, watch="true")
    fake.wait_for(lambda: fake.watches.open)
    seen.close()
    fake.wait_for(lambda: not fake.watches.open)


# lists


def test_pages_show_one_moment(fake):
    for name in "abcde":
        config(fake, name)
    first = ask(fake, "GET", CONFIGS, limit=2)[1]
    assert first["metadata"]["remainingItemCount"] == 3
    fake.remove("configmaps", "d")
    config(fake, "bb")
    names, token = [], first["metadata"]["continue"]
    while token:
        page = ask(fake, "GET", CONFIGS, **{"limit": 2, "continue": token})[1]
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == ["c", "d", "e"]


def test_pages_end_with_a_compaction_and_go_on_with_the_token_it_gives(fake):
    for name in "abc":
        config(fake, name)
    token = ask(fake, "GET", CONFIGS, limit=1)[1]["metadata"]["continue"]
    fake.compact()
    status, body = ask(fake, "GET", CONFIGS, **{"limit": 5, "continue": token})
    assert (status, body["reason"]) == (410, "Expired")
    status, body = ask(fake, "GET", CONFIGS, **{"limit": 5, "continue": body["metadata"]["continue"]})
    assert [i["metadata"]["name"] for i in body["items"]] == ["b", "c"]


def test_selectors(fake):
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
    }
    fake.put(event)
    fake.put({**event, "metadata": {"name": "f"}, "involvedObject": {"kind": "Pod", "name": "q"}})
    path = "/api/v1/namespaces/default/events"
    found = ask(fake, "GET", path, fieldSelector="involvedObject.name=p,involvedObject.kind=Pod")[1]["items"]
    assert [e["metadata"]["name"] for e in found] == ["e"]
    assert ask(fake, "GET", path, fieldSelector="spec.nodeName=x")[0] == 400
    fake.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}})
    pods = "/api/v1/namespaces/default/pods"
    for selector, count in (
        ("a", 1),
        ("!a", 0),
        ("a in (b,c)", 1),
        ("a notin (b)", 0),
        ("a!=b", 0),
        ("a=b,c=d", 0),
    ):
        assert len(ask(fake, "GET", pods, labelSelector=selector)[1]["items"]) == count, selector


# apply, update, patch


def apply(fake, body, manager="kale-serve-lab", path=None, **query):
    path = path or f"{ISVCS}/{body['metadata']['name']}"
    return ask(fake, "PATCH", path, body, kind=APPLY, fieldManager=manager, **query)


def test_what_is_no_longer_applied_goes(fake):
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    model = {**SPEC["predictor"]["model"], "env": env}
    apply(fake, isvc("s", {"predictor": {**SPEC["predictor"], "model": model}}, labels={"a": "b"}))
    ask(
        fake,
        "PATCH",
        f"{ISVCS}/s",
        {"metadata": {"labels": {"theirs": "x"}}},
        kind=MERGE,
        fieldManager="them",
    )
    model = {**SPEC["predictor"]["model"], "env": env[1:]}
    status, body = apply(fake, isvc("s", {"predictor": {"model": model}}))
    assert status == 200
    assert body["spec"]["predictor"]["model"]["env"] == env[1:]
    assert "minReplicas" not in body["spec"]["predictor"]
    assert body["metadata"]["labels"] == {"theirs": "x"}
    assert body["metadata"]["generation"] == 2


def test_lists_with_keys_are_merged_by_them(fake):
    env = [{"name": "A", "value": "1"}]
    theirs = [{"name": "B", "value": "2"}]
    for manager, each in (("one", env), ("two", theirs)):
        model = {**SPEC["predictor"]["model"], "env": each}
        status, body = apply(fake, isvc("s", {"predictor": {"model": model}}), manager)
        assert status in (200, 201)
    assert body["spec"]["predictor"]["model"]["env"] == env + theirs
    changed = {**SPEC["predictor"]["model"], "env": [{"name": "A", "value": "3"}]}
    status, body = apply(fake, isvc("s", {"predictor": {"model": changed}}), "two")
    assert status == 409
    assert body["details"]["causes"][0]["field"] == '.spec.predictor.model.env[name="A"].value'


def test_two_managers_may_own_the_same_value(fake):
    apply(fake, isvc("s"), "one")
    status, _ = apply(fake, isvc("s"), "two")
    assert status == 200
    fewer = {"predictor": {"model": SPEC["predictor"]["model"]}}
    assert apply(fake, isvc("s", fewer), "one")[1]["spec"]["predictor"]["minReplicas"] == 1
    assert "minReplicas" not in apply(fake, isvc("s", fewer), "two")[1]["spec"]["predictor"]


def test_force_takes_what_others_changed_and_they_lose_it(fake):
    apply(fake, isvc("s"))
    fake.edit("inferenceservices", "s", {"spec": {"predictor": {"minReplicas": 5}}})
    status, body = apply(fake, isvc("s"))
    assert (status, body["details"]["causes"][0]["field"]) == (409, ".spec.predictor.minReplicas")
    status, body = apply(fake, isvc("s"), force="true")
    assert (status, body["spec"]["predictor"]["minReplicas"]) == (200, 1)
    assert apply(fake, isvc("s"))[0] == 200


def test_a_dry_run_of_an_apply_changes_nothing_and_tells_conflicts(fake):
    apply(fake, isvc("s"))
    before = fake.get("inferenceservices", "s")
    other = isvc("s", {"predictor": {**SPEC["predictor"], "minReplicas": 3}})
    assert apply(fake, other, dryRun="All")[1]["spec"]["predictor"]["minReplicas"] == 3
    assert apply(fake, other, "else", dryRun="All")[0] == 409
    assert fake.get("inferenceservices", "s") is before


def test_json_patch_with_a_test_and_the_kinds_of_patch(fake):
    config(fake, "c", a="1")
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/b", "value": "2"},
    ]
    path = f"{CONFIGS}/c"
    assert ask(fake, "PATCH", path, operations, kind="application/json-patch+json")[1]["data"] == {
        "a": "1",
        "b": "2",
    }
    operations[0]["value"] = "9"
    assert ask(fake, "PATCH", path, operations, kind="application/json-patch+json")[0] == 422
    apply(fake, isvc("s"))
    strategic = "application/strategic-merge-patch+json"
    assert ask(fake, "PATCH", f"{ISVCS}/s", {}, kind=strategic)[0] == 415
    old = {"metadata": {"resourceVersion": "1"}, "data": {"c": "3"}}
    assert ask(fake, "PATCH", path, old, kind=MERGE)[0] == 409


def test_status_is_written_by_its_own_path_only(fake):
    apply(fake, isvc("s"))
    live = fake.get("inferenceservices", "s")
    body = {**live, "status": {"url": "http://x"}}
    assert "status" not in ask(fake, "PUT", f"{ISVCS}/s", body)[1]
    status, body = ask(fake, "PUT", f"{ISVCS}/s/status", {**body, "spec": {}})
    assert (status, body["status"]["url"], body["metadata"]["generation"]) == (200, "http://x", 1)
    assert body["spec"]["predictor"]["minReplicas"] == 1


# deletion


def owned(fake, name, owner, **metadata):
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                 "uid": owner["metadata"]["uid"]}  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": [reference], **metadata},
    }


def test_what_is_owned_goes_with_its_owner(fake):
    owner = config(fake, "owner")
    middle = fake.put(owned(fake, "middle", owner))
    fake.put(owned(fake, "leaf", middle))
    assert ask(fake, "DELETE", f"{CONFIGS}/owner")[1]["status"] == "Success"
    assert fake.list("configmaps") == []


def test_what_is_made_for_an_owner_that_is_gone_goes_at_once(fake):
    owner = config(fake, "owner")
    body = owned(fake, "late", owner)
    fake.remove("configmaps", "owner")
    assert ask(fake, "POST", CONFIGS, body)[0] == 201
    assert fake.get("configmaps", "late") is None


def test_orphans_stay(fake):
    owner = config(fake, "owner")
    fake.put(owned(fake, "child", owner))
    ask(fake, "DELETE", f"{CONFIGS}/owner", {"propagationPolicy": "Orphan"})
    assert fake.get("configmaps", "child")["metadata"]["ownerReferences"] == []


def test_finalizers_hold_an_object(fake):
    fake.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["a/b"]}})
    body = ask(fake, "DELETE", f"{CONFIGS}/held")[1]
    assert body["metadata"]["deletionTimestamp"]
    assert fake.get("configmaps", "held")
    ask(fake, "PATCH", f"{CONFIGS}/held", {"metadata": {"finalizers": None}}, kind=MERGE)
    assert fake.get("configmaps", "held") is None


def test_preconditions(fake):
    made = config(fake, "c")
    for key in ("uid", "resourceVersion"):
        status, body = ask(fake, "DELETE", f"{CONFIGS}/c", {"preconditions": {key: "1"}})
        assert (status, body["reason"]) == (409, "Conflict")
    wanted = {k: made["metadata"][k] for k in ("uid", "resourceVersion")}
    assert ask(fake, "DELETE", f"{CONFIGS}/c", {"preconditions": wanted})[0] == 200


def test_a_namespace_goes_with_all_in_it(fake):
    fake.add_namespace("user")
    fake.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "user"}})
    ask(fake, "DELETE", "/api/v1/namespaces/user")
    assert fake.list("configmaps", "user") == []
    status, body = ask(fake, "POST", CONFIGS.replace("default", "user"), {"metadata": {"name": "d"}})
    assert (status, body["message"]) == (404, 'namespaces "user" not found')


# scripted failures


@pytest.mark.parametrize("status, header", [(429, "Retry-After"), (500, None), (503, None)])
def test_scripted_statuses_come_as_often_as_said(fake, status, header):
    rule = fake.script.fail("list", "configmaps", status=status, times=2)
    assert [ask(fake, "GET", CONFIGS)[0] for _ in range(3)] == [status, status, 200]
    assert rule.hits == 2
    assert fake.requests.count("list", "configmaps") == 3
    assert ask(fake, "GET", "/api/v1/namespaces/default/pods")[0] == 200


def test_a_reset_cuts_the_connection_before_or_after_the_deed(fake):
    fake.script.fail("create", reset=True)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(fake, "POST", CONFIGS, {"metadata": {"name": "c"}})
    assert fake.get("configmaps", "c") is None
    fake.script.fail("create", reset=True, after=True)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(fake, "POST", CONFIGS, {"metadata": {"name": "c"}})
    assert fake.get("configmaps", "c")


def test_a_request_can_hang(fake):
    fake.script.fail("get", hang=True)
    connection = connect(fake, timeout=0.3)
    connection.request("GET", f"{CONFIGS}/x", headers={"Authorization": f"Bearer {fake.token}"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    fake.script.clear()
    assert ask(fake, "GET", f"{CONFIGS}/x")[0] == 404


def test_a_silent_server_takes_connections_and_says_nothing(fake, stream):
    seen = watch(stream)
    fake.wait_for(lambda: fake.watches.open)
    fake.silence()
    connection = connect(fake, timeout=0.3)
    connection.request("GET", "/version")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    config(fake, "c")
    seen.connection.sock and seen.connection.sock.settimeout(0.3)
    fake.resume()
    assert seen.event()["object"]["metadata"]["name"] == "c"


def test_a_server_that_is_away_refuses_and_comes_back_at_its_port(fake):
    url = fake.url
    fake.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(fake, "GET", CONFIGS)
    fake.resume()
    assert fake.url == url
    assert ask(fake, "GET", CONFIGS)[0] == 200


# rights


def test_rights_are_taken_one_by_one(fake):
    fake.deny("create", "configmaps")
    assert ask(fake, "POST", CONFIGS, {"metadata": {"name": "c"}})[0] == 403
    assert ask(fake, "GET", CONFIGS)[0] == 200
    fake.deny("get", "pods/log")
    status, body = ask(fake, "GET", "/api/v1/namespaces/default/pods/p/log")
    assert (status, body["message"]) == (
        403,
        'pods "p" is forbidden: User "kale" cannot get resource "pods/log" in API group "" in the namespace "default"',
    )


def test_tokens_of_others_and_their_end(fake):
    token = fake.access.token("reader")
    fake.allow("get list watch", "configmaps", namespace="default", user="reader")
    assert ask(fake, "GET", CONFIGS, token=token)[0] == 200
    assert ask(fake, "GET", "/api/v1/configmaps", token=token)[0] == 403
    fake.access.expire(token)
    assert ask(fake, "GET", CONFIGS, token=token)[0] == 401


def test_a_token_for_another_audience_is_none_for_the_api(fake):
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    status, body = ask(fake, "POST", path, {"spec": {"audiences": ["gateway"], "expirationSeconds": 600}})
    assert status == 201
    assert ask(fake, "GET", CONFIGS, token=body["status"]["token"])[0] == 401
    status, body = ask(fake, "POST", path, {"spec": {"expirationSeconds": 5}})
    assert (status, body["details"]["causes"][0]["field"]) == (422, "spec.expirationSeconds")


# storage, logs, pages


def claim(name, **spec):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_a_claim_waits_for_its_snapshot_and_its_size(fake):
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    snapshots = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots"
    ask(fake, "POST", claims, claim("work"))
    assert fake.get("persistentvolumeclaims", "work")["status"]["phase"] == "Bound"
    fake.storage.snapshots = False
    snapshot = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "snap"},
                "spec": {"source": {"persistentVolumeClaimName": "work"}}}  # fmt: skip
    assert ask(fake, "POST", snapshots, snapshot, fieldValidation="Strict")[0] == 201
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"}
    ask(
        fake, "POST", claims, claim("small", dataSourceRef=source, resources={"requests": {"storage": "1Gi"}})
    )
    ask(fake, "POST", claims, claim("right", dataSourceRef=source))

    def phase(name):
        return fake.get("persistentvolumeclaims", name)["status"]["phase"]

    assert phase("right") == "Pending"
    fake.storage.ready("default", "snap")
    assert (phase("right"), phase("small")) == ("Bound", "Pending")
    assert fake.get("volumesnapshots", "snap")["status"]["restoreSize"] == "2Gi"
    assert ask(fake, "DELETE", f"{claims}/right")[0] == 200
    assert fake.get("persistentvolumeclaims", "right") is None


def test_logs_are_read_and_followed(fake, stream):
    fake.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "iris-predictor-1"},
              "spec": {"containers": [{"name": "kserve-container"}, {"name": "proxy"}]}})  # fmt: skip
    key, path = "iris-predictor-*/kserve-container", "/api/v1/namespaces/default/pods/iris-predictor-1/log"
    fake.logs[key] = ["one", "two"]
    assert ask(fake, "GET", path)[0] == 400
    assert ask(fake, "GET", path, container="kserve-container", tailLines=1) == (200, "two\n")
    assert ask(fake, "GET", path, container="kserve-container", previous="true")[0] == 400
    seen = stream(path, container="kserve-container", follow="true")
    assert [seen.line(), seen.line()] == ["one", "two"]
    fake.logs.append(key, "three")
    assert seen.line() == "three"
    fake.remove("pods", "iris-predictor-1")
    assert seen.line() == ""


def test_openapi_tells_versions_apart(needs_shared):
    has = {}
    for version in ("0.15", "0.17", "0.20"):
        with FakeCluster(version) as fake:
            pages = ask(fake, "GET", "/openapi/v3")[1]["paths"]
            page = ask(fake, "GET", pages["apis/serving.kserve.io/v1beta1"]["serverRelativeURL"])[1]
            schema = page["components"]["schemas"]["io.kserve.serving.v1beta1.InferenceService"]
            has[version] = "canary" in schema["properties"]["spec"]["properties"]
    assert has == {"0.15": False, "0.17": False, "0.20": True}


def test_discovery(fake):
    assert ask(fake, "GET", "/version")[1]["gitVersion"].startswith("v1.34")
    assert "serving.kserve.io" in [g["name"] for g in ask(fake, "GET", "/apis")[1]["groups"]]
    names = [r["name"] for r in ask(fake, "GET", "/apis/serving.kserve.io/v1alpha1")[1]["resources"]]
    assert "clusterservingruntimes" in names
    assert len(ask(fake, "GET", "/apis/serving.kserve.io/v1alpha1/clusterservingruntimes")[1]["items"]) == 15
    assert ask(fake, "GET", "/apis/none/v1/things")[0] == 404


# transport


def test_tls_with_a_ca_of_its_own(needs_shared):
    with FakeCluster(tls=True) as fake:
        context = ssl.create_default_context(cadata=fake.ca.decode())
        port = int(fake.url.rsplit(":", 1)[1])
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        connection.request("GET", "/version")
        assert connection.getresponse().status == 200
        connection.close()
        with (
            pytest.raises(ssl.SSLCertVerificationError),
            socket.create_connection(("127.0.0.1", port)) as plain,
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


def test_nothing_is_left_running(needs_shared):
    before = set(threading.enumerate())
    fake = FakeCluster().start()
    streams = [Stream(fake, CONFIGS, watch="true") for _ in range(3)]
    fake.wait_for(lambda: len(fake.watches.open) == 3)
    fake.stop()
    assert set(threading.enumerate()) == before
    for each in streams:
        each.close()


def test_a_thousand_objects_are_made_listed_and_watched(fake, stream):
    start = time.perf_counter()
    for index in range(1000):
        fake.put(isvc(f"s{index:04}"))
    made = time.perf_counter() - start
    listed = ask(fake, "GET", ISVCS)[1]
    assert len(listed["items"]) == 1000
    seen = stream(ISVCS, watch="true")
    assert [seen.event()["object"]["metadata"]["name"] for _ in range(1000)] == [
        f"s{i:04}" for i in range(1000)
    ]
    assert made < 60
