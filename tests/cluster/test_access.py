"""What we may do on a cluster and what it has: rights, KServe's version, PodDefaults, logs; each refused in turn."""

from __future__ import annotations

import json
import threading

import pytest
from fake_cluster import FakeCluster

from kale_serve_lab.backends.kserve import features_read, pod_defaults
from kale_serve_lab.backends.kserve.access import Rights, rights_of
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.pod_logs import Followed, Source, tail
from kale_serve_lab.backends.kserve.settings import Settings, StoreSettings
from kale_serve_lab.errors import ClusterUnavailable, Forbidden, NotFound, Unauthorized

REVIEWS = "selfsubjectaccessreviews"


@pytest.fixture
def cluster(fake, kubeconfig):
    before = set(threading.enumerate())
    made = connect(Settings(kubeconfig=str(kubeconfig)))
    yield made
    made.close()
    left = [t.name for t in threading.enumerate() if t not in before and t.name.startswith(("log", "rights"))]
    assert not left


SNAPSHOT = StoreSettings("snapshot", claim="c", mounted="/mnt")
EVERY = rights_of(SNAPSHOT, tokens=True)


@pytest.mark.parametrize("right", EVERY, ids=lambda right: f"{right.verb} {right.name}".replace("/", ":"))
def test_each_right_that_lacks_is_found_and_named_with_what_is_lost(right, fake, cluster):
    fake.deny(right.verb, right.name, group=right.resource.group)
    found = Rights(cluster, EVERY).findings("default")
    assert len(found) == 1
    one = found[0]
    assert (one.code, one.severity) == ("RightMissing", "error" if right.needed else "warning")
    assert f"{right.verb} {right.name}" in one.message
    assert right.without in one.message
    assert f'resources ["{right.name}"]' in one.fix
    assert f'apiGroups ["{right.resource.group}"]' in one.fix
    assert (" in namespace default" in one.message) is right.resource.namespaced


def test_with_all_rights_nothing_is_found_and_the_answers_are_kept_for_a_while(fake, cluster):
    rights = Rights(cluster, EVERY)
    assert rights.findings("default") == []
    asked = fake.requests.count("create", REVIEWS)
    assert asked == len(EVERY)
    assert all(one.allowed for one in rights.checked("default"))
    fake.deny("delete", "inferenceservices")
    assert rights.findings("default") == []
    assert fake.requests.count("create", REVIEWS) == asked
    assert [one.right.verb for one in rights.checked("default", fresh=True) if not one.allowed] == ["delete"]
    rights.checked("other")
    assert fake.requests.count("create", REVIEWS) == 3 * asked


def test_the_rights_of_another_namespace_are_its_own(fake, cluster):
    fake.deny("*", "inferenceservices", namespace="other")
    rights = Rights(cluster, rights_of(None))
    assert rights.findings("default") == []
    assert {one.message.split()[3] for one in rights.findings("other")} == {
        "get",
        "list",
        "watch",
        "create",
        "patch",
        "delete",
    }


def test_where_asking_is_forbidden_it_is_tried_and_seen(fake, cluster):
    fake.script.fail("create", REVIEWS, status=403, times=100)
    checked = Rights(cluster, EVERY).checked("default")
    assert {one.allowed for one in checked} == {None}
    assert len(checked) == len(EVERY)
    assert fake.requests.count("create", REVIEWS) == 1
    assert Rights(cluster, EVERY).findings("default") == []


def test_an_expired_token_and_an_absent_server_are_no_missing_rights(fake, cluster):
    fake.access.expire(fake.token)
    with pytest.raises(Unauthorized):
        Rights(cluster, EVERY).checked("default")
    fake.refuse()
    with pytest.raises(ClusterUnavailable):
        Rights(cluster, EVERY).checked("default")


def test_only_the_stores_own_rights_are_asked_for():
    plain = {(one.verb, one.name) for one in rights_of(StoreSettings("s3", url="s3://models"))}
    assert not any(name in {"persistentvolumeclaims", "volumesnapshots", "secrets"} for _, name in plain)
    assert ("get", "persistentvolumeclaims") in {
        (one.verb, one.name) for one in rights_of(StoreSettings("pvc"))
    }
    assert ("create", "volumesnapshots") in {(one.verb, one.name) for one in EVERY}
    assert ("create", "serviceaccounts/token") in {(one.verb, one.name) for one in EVERY}
    assert len(set(EVERY)) == len(EVERY)


@pytest.mark.parametrize(
    ("kserve_version", "version", "canary", "uris"),
    [("0.15", (0, 15), False, False), ("0.17", (0, 17), False, True), ("0.20", (0, 20), True, True)],
    ids=["0.15", "0.17", "0.20"],
)
def test_the_version_is_read_off_the_fields_that_are_served(
    kserve_version, version, canary, uris, needs_shared, tmp_path
):
    with FakeCluster(kserve_version, tls=True) as fake:
        cluster = connect(Settings(kubeconfig=str(fake.kubeconfig(tmp_path / "k"))))
        try:
            found = features_read.read(cluster, Settings())
            assert found.version == version
            assert (found.has("canary"), found.has("predictor.storageUris")) == (canary, uris)
            assert found.has("predictor.minReplicas")
            assert not found.has("predictor.nothing")
            made = features_read.features(found)
            assert (made.version, made.canary_list, made.storage_uris) == (version, canary, uris)
            assert features_read.title(cluster, found) == f"default @ fake / KServe {kserve_version}"
        finally:
            cluster.close()


def config(**parts):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
        "data": {name: json.dumps(value) for name, value in parts.items()},
    }


def test_its_configuration_says_more_where_we_may_read_it(fake, cluster):
    fake.put(
        config(
            deploy={"defaultDeploymentMode": "Serverless"},
            ingress={"ingressDomain": "models.example.org"},
            storageInitializer={"image": "kserve/storage-initializer:v0.18.1-rc0"},
        )
    )
    found = features_read.read(cluster, Settings())
    assert (found.version, found.default_mode, found.domain) == ((0, 18), "Knative", "models.example.org")
    assert features_read.features(found).canary_list, "the fields that are served count, not the version"
    fake.deny("get", "configmaps")
    found = features_read.read(cluster, Settings())
    assert (found.version, found.default_mode, found.domain) == ((0, 20), None, None)
    assert features_read.read(cluster, Settings(kserve_version="v0.19.2")).version == (0, 19)


@pytest.mark.parametrize(
    "data", [{"deploy": "{"}, {"deploy": "[]"}, {"ingress": '{"ingressDomain": 3}'}, {}], ids=str
)
def test_a_configuration_that_is_none_is_no_error(data, fake, cluster):
    fake.put({**config(), "data": data})
    found = features_read.read(cluster, Settings())
    assert (found.version, found.default_mode, found.domain) == ((0, 20), None, None)


def test_a_schema_that_is_closed_to_us_leaves_the_version(fake, cluster):
    rule = fake.script.fail("get", "/openapi", status=403, times=100)
    found = features_read.read(cluster, Settings(kserve_version="0.17"))
    assert rule.hits
    assert found.fields is None
    assert (found.has("canary"), found.has("predictor.storageUris"), found.has("predictor.model")) == (
        False,
        True,
        True,
    )


def test_a_cluster_without_kserve_is_said(fake, cluster):
    fake.script.fail("get", "/openapi", status=404, times=100)
    with pytest.raises(NotFound, match="KServe is not installed"):
        features_read.read(cluster, Settings())


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchLabels": {"a": "1", "z": "1"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "z", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["0"]}]}, False),
    ],
    ids=str,
)  # fmt: skip
def test_selectors_are_kubernetes_own(selector, holds):
    assert pod_defaults.selects(selector, {"a": "1", "b": "2"}) is holds


def pod_default(name, **labels):
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "desc": name, "env": [{"name": "A", "value": "b"}]},
    }


def pod(name, *containers, **labels):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": one} for one in containers or ("main",)]},
    }


def test_the_pod_defaults_of_this_pod_are_those_that_select_it(fake, cluster, monkeypatch):
    assert pod_defaults.of_this_pod(cluster, "default", pod="nobody") == (), (
        "where there are none no pod is needed"
    )
    fake.put(pod_default("z-ml", ml="true"))
    fake.put(pod_default("access", ml="true"))
    fake.put(pod_default("other", other="true"))
    fake.put(pod("notebook-0", ml="true"))
    monkeypatch.setenv("HOSTNAME", "notebook-0")
    found = pod_defaults.of_this_pod(cluster, "default")
    assert [one["metadata"]["name"] for one in found] == ["access", "z-ml"]
    with pytest.raises(NotFound, match="elsewhere"):
        pod_defaults.of_this_pod(cluster, "default", pod="elsewhere")
    fake.deny("get", "pods")
    with pytest.raises(Forbidden) as caught:
        pod_defaults.of_this_pod(cluster, "default")
    assert caught.value.details["rule"]["resources"] == ["pods"]
    fake.deny("list", "poddefaults")
    with pytest.raises(Forbidden) as caught:
        pod_defaults.of_this_pod(cluster, "default")
    assert caught.value.details["rule"]["resources"] == ["poddefaults"]


MAIN = Source("p", "main")


def test_tails_are_the_last_lines_and_of_the_run_before_too(fake, cluster):
    fake.put(pod("p"))
    fake.logs["p/main"] = [f"line {number}" for number in range(500)]
    fake.logs["p/main/previous"] = ["it broke"]
    assert tail(cluster, "default", MAIN, 2) == ("line 498", "line 499")
    assert len(tail(cluster, "default", MAIN)) == 200
    assert tail(cluster, "default", Source("p", "main", previous=True)) == ("it broke",)
    assert int(fake.requests.of("get", "/log")[-1].query["limitBytes"]) > 0


def test_what_has_no_log_yet_or_no_more_has_no_lines(fake, cluster):
    assert tail(cluster, "default", MAIN) == ()
    fake.put(pod("p"))
    assert tail(cluster, "default", Source("p", "main", previous=True)) == ()


def test_logs_that_we_may_not_read_say_the_right(fake, cluster):
    fake.put(pod("p"))
    fake.deny("get", "pods/log")
    with pytest.raises(Forbidden) as caught:
        tail(cluster, "default", MAIN)
    assert "`get pods/log`" in caught.value.message
    assert caught.value.details["rule"] == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}
    followed = Followed(cluster, "default", [MAIN, Source("q", "main")])
    with pytest.raises(Forbidden, match="pods/log"):
        list(followed)
    followed.close()


def test_followed_logs_come_as_they_are_written_from_several_pods_to_their_end(fake, cluster):
    fake.put(pod("p"))
    fake.put(pod("q"))
    fake.logs["p/main"] = ["old", "p one"]
    fake.logs["q/main"] = ["q one"]
    followed = Followed(cluster, "default", [MAIN, Source("q", "main")], lines=1)
    came = iter(followed)
    assert {next(came), next(came)} == {(MAIN, "p one"), (Source("q", "main"), "q one")}
    fake.logs.append("q/main", "q two")
    assert next(came) == (Source("q", "main"), "q two")
    fake.remove("pods", "p", policy="Background")
    fake.logs.append("q/main", "q three")
    assert next(came) == (Source("q", "main"), "q three")
    fake.remove("pods", "q")
    assert list(came) == []
    followed.close()


def test_followed_logs_end_when_they_are_closed(fake, cluster):
    fake.put(pod("p"))
    fake.logs["p/main"] = ["one"]
    followed = Followed(cluster, "default", [MAIN])
    came = iter(followed)
    assert next(came) == (MAIN, "one")
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(came))
    reader.start()
    followed.close()
    reader.join(60)
    assert not reader.is_alive()
    assert rest == []


def test_a_flood_that_nobody_reads_waits_and_closes(fake, cluster):
    fake.put(pod("p"))
    fake.logs["p/main"] = ["x" * 50] * 50_000
    followed = Followed(cluster, "default", [MAIN], lines=50_000)
    came = iter(followed)
    assert next(came)[1] == "x" * 50
    followed.close()
    assert followed._came.qsize() <= 10_001
