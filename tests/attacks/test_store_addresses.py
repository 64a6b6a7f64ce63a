"""Attack 5 for the stores of a cluster: addresses that lead elsewhere, and secrets that must not be seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from kale_serve_lab.backends.kserve.rok import rok_uri
from kale_serve_lab.backends.kserve.settings import StoreSettings, from_json
from kale_serve_lab.backends.kserve.snapshots import Component
from kale_serve_lab.daemon import publishers
from kale_serve_lab.errors import InvalidConfig, InvalidRequest
from kale_serve_lab.serving.kserve.publishing import Entry
from tests.stores.publishing_contract import DIGEST, Teller, modelled, never
from tests.stores.s3_server import KEY
from tests.stores.s3_site import *  # noqa: F403
from tests.stores.s3_site import SECRET


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/../c",
        "s3://bucket/../c",
        "s3://bucket/a/%2e%2e/c",
        "s3://bucket/a/..\\c",
        "file:///etc/passwd",
        "s3://k:s3cr3t@b/x",
    ],
)
def test_a_bucket_elsewhere_is_refused_at_the_setting_or_at_use(url):
    with pytest.raises(InvalidConfig) as caught:
        publishers.store_of(from_json({"store": {"kind": "s3", "url": url}}).store)
    assert "s3cr3t" not in json.dumps(caught.value.to_json())


@pytest.mark.parametrize("url", ["s3://b/../c", "file:///etc/passwd"])
def test_it_is_refused_at_use_also_where_the_file_was_written_by_hand(url):
    with pytest.raises(InvalidConfig):
        publishers.store_of(StoreSettings("s3", url=url))


@pytest.mark.parametrize("prefix", ["../../etc", "/etc", "a/../../etc", ".."])
def test_a_folder_outside_the_volume_is_refused(prefix, tmp_path):
    store = StoreSettings("pvc", claim="models", mounted=str(tmp_path), prefix=prefix)
    try:
        kept = publishers.store_of(store)
    except InvalidConfig:
        return
    # A leading slash is one inside the volume.
    assert kept.uri(DIGEST, "plain") == f"pvc://models/{prefix.strip('/')}/{DIGEST}/plain"
    assert ".." not in kept.uri(DIGEST, "plain")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0xa9fea9fe", "[::ffff:a9fe:a9fe]"])
def test_a_metadata_service_is_sent_nothing(host, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    kept = publishers.store_of(StoreSettings("s3", url="s3://models", endpoint=f"http://{host}", region="x"))
    for call in (
        kept.check,
        kept.published,
        lambda: kept.publish(tmp_path, DIGEST, "plain", [Entry("a", b"1")], Teller(), never),
        lambda: kept.remove(DIGEST, "plain"),
    ):
        with pytest.raises(InvalidConfig, match="link-local"):
            call()


@pytest.mark.parametrize(
    "uri", ["rok:a:b:c:d:/../../x", "rok:a:b:../../c:d:/x", "rok:a:b:c:d:/x\n  hostPath: /"]
)
def test_an_address_of_rok_names_nothing_else(uri):
    with pytest.raises(InvalidRequest, match="no address of Rok"):
        rok_uri(Component("default", "iris", "predictor"), uri)


def test_no_secret_is_in_what_is_published_or_said(bucket, tmp_path, capfd):
    model = modelled(tmp_path / "m", a=b"1")
    placed = bucket.publisher(secret="key", service_account="models").publish(
        model.folder, DIGEST, "plain", model.entries, Teller(), never
    )
    there = b"".join(
        bucket.client.get_object(Bucket=bucket.bucket, Key=one["Key"])["Body"].read() for one in bucket.keys()
    )
    said = there.decode() + repr(placed) + repr(bucket.publisher()) + "".join(capfd.readouterr())
    for hidden in (SECRET, KEY):
        assert hidden not in said
