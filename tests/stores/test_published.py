"""Names, manifests and addresses of stores for a cluster: pure."""

from __future__ import annotations

import pytest

from kale_serve_lab.errors import InvalidConfig, InvalidRequest
from kale_serve_lab.serving.kserve import volumes
from kale_serve_lab.stores.published import Published, PublishedFile, digests_in, read_manifest, unused
from kale_serve_lab.stores.s3_client import refuse_link_local, s3_settings
from kale_serve_lab.stores.s3_secret import account_findings, secret_annotations, secret_findings

A, B = "a" * 64, "b" * 64


def test_a_manifest_comes_back_as_it_was_and_only_for_its_own_name():
    whole = Published(A, "plain", (PublishedFile("Größe 🦊", 3, B, "mark"), PublishedFile("empty", 0, B, "")))
    assert read_manifest(whole.to_bytes(), A, "plain") == whole
    assert read_manifest(whole.to_bytes(), B, "plain") is None
    assert read_manifest(whole.to_bytes(), A, "kale") is None
    assert whole.size == 3


def test_digests_are_found_wherever_an_object_names_them():
    obj = {"a": [f"s3://b/x/{A}/plain", {"k": f"sha256:{B}"}], "n": 1, f"{'c' * 64}": None, "d": "d" * 65}
    assert digests_in(obj) == {A, B, "c" * 64}
    there = [Published(A, "plain", ()), Published("e" * 64, "plain", ())]
    assert unused(there, [obj]) == [there[1]]
    assert unused(there, []) == there


SECRET = {
    "metadata": {
        "name": "key",
        "annotations": {
            "serving.kserve.io/s3-endpoint": "minio.minio:9000",
            "serving.kserve.io/s3-usehttps": "0",
            "serving.kserve.io/s3-region": "us-east-1",
        },
    },
    "data": {"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="},
}


def test_the_secrets_annotations_are_what_kserve_reads():
    minio = s3_settings("s3://models", endpoint="http://minio.minio:9000", region="us-east-1", secret="key")
    assert secret_annotations(minio) == {
        "serving.kserve.io/s3-endpoint": "minio.minio:9000",
        "serving.kserve.io/s3-usehttps": "0",
        "serving.kserve.io/s3-usevirtualbucket": "false",
        "serving.kserve.io/s3-region": "us-east-1",
    }
    assert secret_annotations(s3_settings("s3://models")) == {}
    assert secret_findings(SECRET, minio) == []
    plain = {"metadata": {"name": "key"}, "data": {"AWS_ACCESS_KEY_ID": ""}}
    said = secret_findings(plain, minio)
    assert len(said) == 4
    assert any(
        'lacks the annotation serving.kserve.io/s3-endpoint: "minio.minio:9000"' in one for one in said
    )
    assert any("lacks AWS_SECRET_ACCESS_KEY" in one for one in said)
    tls = s3_settings("s3://models", endpoint="https://minio.minio:9000")
    assert secret_findings(SECRET, tls) == [
        'The Secret key has serving.kserve.io/s3-usehttps: "0", and the store wants "1".'
    ]


@pytest.mark.parametrize("endpoint", ["http://minio.minio:9000", None], ids=["minio", "amazon"])
def test_a_bucket_in_the_hosts_name_must_be_said_to_kserve(endpoint):
    virtual = s3_settings("s3://models", endpoint=endpoint, addressing="virtual")
    wanted = "serving.kserve.io/s3-usevirtualbucket"
    assert secret_annotations(virtual)[wanted] == "true"
    said = secret_findings(SECRET, virtual)
    assert said == [f'The Secret key lacks the annotation {wanted}: "true".']
    has = {**SECRET["metadata"]["annotations"], wanted: "1"}
    secret = {**SECRET, "metadata": {"name": "key", "annotations": has}}
    assert secret_findings(secret, virtual) == []
    by_path = s3_settings("s3://models", endpoint=endpoint, addressing="path")
    assert secret_findings(SECRET, by_path) == []
    assert secret_findings(secret, by_path) == [
        f'The Secret key has {wanted}: "1", and the store wants "false".'
    ]


def test_a_service_account_must_list_the_secret():
    meant = s3_settings("s3://models", secret="key", service_account="models")
    assert account_findings({"metadata": {"name": "models"}, "secrets": [{"name": "key"}]}, meant) == []
    (said,) = account_findings({"metadata": {"name": "models"}}, meant)
    assert "kubectl patch serviceaccount models" in said


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/../c",
        "s3://bucket/a/../../c",
        "s3://bucket/%2e%2e/c",
        "s3://bucket/a//b",
        "s3://bucket/a b",
        "s3://bucket/a?x",
        "s3://bucket/a#x",
        "s3://key:secret@bucket/a",
        "s3://UPPER/a",
        "s3://b..c/a",
        "s3:///a",
        "file:///etc/passwd",
        "http://bucket/a",
        "gs://bucket/a",
        "",
        "bucket",
    ],
)
def test_addresses_that_are_no_buckets_are_refused(url):
    with pytest.raises(InvalidConfig, match=r"store\.url|no address of a bucket"):
        s3_settings(url)


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://x",
        "minio:9000",
        "https://",
        "https://u:p4ssw0rd@x",
        "https://x?y",
        "https://x:99999",
        "file:///x",
    ],
)
def test_endpoints_that_are_none_are_refused_and_no_password_is_shown(endpoint):
    with pytest.raises(InvalidConfig) as caught:
        s3_settings("s3://models", endpoint=endpoint)
    assert "p4ssw0rd" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "2852039166",
        "0xa9fea9fe",
    ],
)
def test_endpoints_at_link_local_addresses_are_refused(host):
    with pytest.raises(InvalidConfig, match="link-local"):
        refuse_link_local(f"http://{host}/latest")


def test_other_endpoints_are_not():
    for host in ("127.0.0.1:9000", "10.0.0.1", "[::1]:9000", "name.that.is.invalid"):
        refuse_link_local(f"http://{host}")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1Ki", 1024),
        ("10Gi", 10 << 30),
        ("500M", 500_000_000),
        ("1.5Gi", 3 << 29),
        ("1e9", 10**9),
        ("2E3", 2000),
        ("100m", 1),
        ("1Ei", 1 << 60),
        ("1E", 10**18),
        (5, 5),
    ],
    ids=str,
)
def test_quantities_are_bytes(text, size):
    assert volumes.bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "-1", "1GiB", "nan", None, [1]], ids=str)
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(InvalidConfig):
        volumes.bytes_of(text)


def test_a_claim_is_never_smaller_than_what_is_restored():
    assert [volumes.in_gib(size) for size in (0, 1, 1 << 30, (1 << 30) + 1)] == ["1Gi", "1Gi", "1Gi", "2Gi"]
    snapshot = {"status": {"restoreSize": "1073741825"}}
    body = volumes.claim_from_snapshot("x", "x", {}, volumes.restore_size(snapshot, None, 0), None)
    assert body["spec"]["resources"]["requests"]["storage"] == "2Gi"
    source = {
        "spec": {"resources": {"requests": {"storage": "5Gi"}}},
        "status": {"capacity": {"storage": "6Gi"}},
    }
    assert volumes.restore_size({}, source, 0) == 6 << 30
    assert volumes.restore_size({}, {"spec": source["spec"]}, 0) == 5 << 30


def test_a_reference_without_its_group_is_no_source():
    made = volumes.claim_from_snapshot("x", "snap", {}, 1, None)
    assert volumes.is_filled_from(made, "snap")
    assert not volumes.is_filled_from(made, "other")
    del made["spec"]["dataSourceRef"]["apiGroup"]
    assert not volumes.is_filled_from(made, "snap")
    assert not volumes.is_filled_from({"spec": {}}, "snap")


def test_names_are_labels_and_differ():
    long = "n" * 63
    names = {
        volumes.object_name(service, component, digest)
        for service in ("iris", long, long[:-1] + "x")
        for component in ("predictor", "transformer")
        for digest in (A, B)
    }
    assert len(names) == 12
    assert all(len(name) <= 63 and not name.startswith("-") for name in names)
    assert all(len(value) <= 63 for value in volumes.labels(long, "predictor", A).values())


def test_rok_addresses():
    found = volumes.parse_rok("rok:kale:models:team/iris:abc:/model/iris.joblib")
    assert (found.origin, found.path) == ("rok:kale:models:team/iris:abc", "model/iris.joblib")
    assert volumes.parse_rok("rok:a:b:c:d:/").path == ""


@pytest.mark.parametrize(
    "uri",
    [
        "rok:a:b:c:/x",
        "rok:a:b:c:d:x",
        "rok:a:b:c:d:/../x",
        "rok:a:..:c:d:/x",
        "rok::b:c:d:/x",
        "rok:a:b:c/../../e:d:/x",
        "rok:a:b\n:c:d:/x",
        "rok:a:b:c:d:/x\ny",
        "s3://a/b",
        "",
    ],
    ids=ascii,
)
def test_what_is_no_rok_address_is_refused(uri):
    with pytest.raises(InvalidRequest, match="no address of Rok"):
        volumes.parse_rok(uri)
