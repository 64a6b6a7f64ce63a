"""Stores as the daemon and the terminal use them: composed from settings, checked against a cluster, pruned."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from kale_serve_lab.backends.kserve import settings as kept
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.settings import Settings, StoreSettings
from kale_serve_lab.backends.kserve.snapshots import SnapshotPublisher
from kale_serve_lab.daemon import publishers
from kale_serve_lab.errors import Forbidden, InvalidConfig
from kale_serve_lab.stores.pvc import PvcPublisher
from kale_serve_lab.stores.s3 import S3Publisher
from kale_serve_lab.stores.s3_errors import ACTIONS
from tests.cluster.kserve_backend import ClusterDriver, backend, make_service
from tests.stores.publishing_contract import DIGEST, OTHER, Teller, modelled, never
from tests.stores.s3_site import *  # noqa: F403

ENTRY = [sys.executable, "-c", "import sys; from kale_serve_lab.cli import main; sys.exit(main())"]


@pytest.fixture
def connected(fake, kubeconfig):
    found = connect(Settings(kubeconfig=str(kubeconfig)))
    yield found
    found.close()


def s3(bucket, **more):
    return StoreSettings(
        "s3", url=bucket.settings["url"], endpoint=bucket.settings["endpoint"], region="us-east-1", **more
    )


def secret(bucket, **annotations):
    host = bucket.settings["endpoint"].removeprefix("http://")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "key",
            "namespace": "default",
            "annotations": {
                f"serving.kserve.io/s3-{name}": value
                for name, value in {
                    "endpoint": host,
                    "usehttps": "0",
                    "region": "us-east-1",
                    **annotations,
                }.items()
            },
        },
        "data": {"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="},
    }


def account(*secrets):
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "models", "namespace": "default"},
        "secrets": [{"name": name} for name in secrets],
    }


def test_each_kind_of_store_has_its_publisher(connected):
    def of(store):
        return publishers.publisher_of(store, connected, "default", "iris", "predictor")

    bucket = of(StoreSettings("s3", url="s3://models/team", endpoint="http://127.0.0.1:9", secret="key"))
    assert isinstance(bucket, S3Publisher)
    assert bucket.uri(DIGEST, "plain") == f"s3://models/team/{DIGEST}/plain"
    volume = of(StoreSettings("pvc", claim="models", mounted="/nowhere", prefix="team"))
    assert isinstance(volume, PvcPublisher)
    assert volume.uri(DIGEST, "kale") == f"pvc://models/team/{DIGEST}/kale"
    snapshot = of(StoreSettings("snapshot", claim="models", mounted="/nowhere"))
    assert isinstance(snapshot, SnapshotPublisher)
    assert re.fullmatch(
        rf"pvc://iris-predictor-[0-9a-f]{{10}}/kale-serve/{DIGEST}/plain", snapshot.uri(DIGEST, "plain")
    )
    with pytest.raises(InvalidConfig, match="No store is set"):
        of(None)


class TestCheck:
    def test_all_is_well(self, bucket, fake, connected):
        fake.put(secret(bucket))
        fake.put(account("key"))
        found = publishers.check(s3(bucket, secret="key", service_account="models"), connected)
        assert found.findings == ()
        assert "can be written and read" in found.well[0]

    def test_what_kserve_would_not_find_is_said(self, bucket, fake, connected):
        fake.put(secret(bucket, usehttps="1"))
        fake.put(account())
        found = publishers.check(s3(bucket, secret="key", service_account="models"), connected)
        assert len(found.findings) == 2
        assert 's3-usehttps: "1"' in found.findings[0]
        assert "does not list the Secret key" in found.findings[1]

    def test_what_may_not_be_looked_at_is_said(self, bucket, fake, connected):
        fake.deny("get", "secrets")
        found = publishers.check(s3(bucket, secret="key"), connected)
        assert "cannot be looked at (HTTP 403): it is taken on trust" in found.findings[0]

    def test_what_is_not_there_is_said(self, bucket, fake, connected):
        found = publishers.check(s3(bucket, secret="key", service_account="models"), connected)
        said = json.dumps([found.findings, found.missing])
        assert "There is no secret key in default" in said
        assert "There is no serviceaccount models in default" in said


class TestPreflight:
    """What `serve(dry_run=True)` says of the way from the bucket to the pods."""

    @pytest.fixture
    def said(self, bucket, kubeconfig, home):
        def look(**store):
            found = Settings(kubeconfig=str(kubeconfig), store=s3(bucket, **store))

            async def run():
                driver = ClusterDriver(backend(found))
                await driver.start()
                try:
                    return await driver.backend.check(make_service(home))
                finally:
                    await driver.backend.close(stop_services=False)

            return [(one.code, one.severity) for one in asyncio.run(run())]

        return look

    def test_an_account_that_lists_the_secret_is_right(self, said, fake):
        fake.put(account("key"))
        assert said(secret="key", service_account="models") == []

    def test_one_that_does_not_is_said(self, said, fake):
        fake.put(account("other"))
        assert said(secret="key", service_account="models") == [("SecretNotListed", "warning")]
        assert said(secret="key") == [("SecretNotListed", "warning")]

    def test_one_that_is_not_there_is_an_error(self, said):
        assert ("NoServiceAccount", "error") in said(secret="key", service_account="models")

    def test_one_that_cannot_be_seen_is_taken_on_trust_and_none_is_not(self, said, fake):
        fake.deny("get", "serviceaccounts")
        assert said(secret="key", service_account="models") == []
        assert said(secret="key") == [("NoServiceAccount", "warning")]


class TestPrune:
    @pytest.fixture
    def published(self, bucket, fake, tmp_path):
        fake.controller.enabled = False
        model = modelled(tmp_path / "m", a=b"12")
        for digest in (DIGEST, OTHER):
            bucket.publisher().publish(model.folder, digest, "plain", model.entries, Teller(), never)
        fake.put(
            {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {"name": "iris", "namespace": "other"},
                "spec": {
                    "predictor": {
                        "model": {
                            "modelFormat": {"name": "sklearn"},
                            "storageUri": bucket.publisher().uri(DIGEST, "plain"),
                        }
                    }
                },
            }
        )
        return bucket

    def test_what_another_namespaces_service_uses_stays(self, published, connected):
        found = publishers.prunable(s3(published), publishers.services_of(connected))
        assert [one.digest for one in found] == [OTHER]
        assert publishers.prune(s3(published), found) == 2
        assert published.files(OTHER, "plain") == {}
        assert published.files(DIGEST, "plain") == {"a": b"12"}
        assert publishers.prunable(s3(published), publishers.services_of(connected)) == []

    def test_without_seeing_all_namespaces_nothing_is_said_to_be_unused(self, published, fake, connected):
        fake.deny("list", "inferenceservices")
        fake.allow("list", "inferenceservices", namespace="default")
        with pytest.raises(Forbidden, match="nothing is said to be unused") as caught:
            publishers.services_of(connected)
        assert "--only-namespace" in caught.value.hint
        assert publishers.services_of(connected, only_namespace=True) == []

    def test_the_terminal_lists_first_and_removes_when_asked(self, published, home, kubeconfig):
        kept.write(Settings(kubeconfig=str(kubeconfig), store=s3(published)))

        def run(*more):
            return subprocess.run(
                [*ENTRY, "cluster", "prune", *more],
                env=os.environ.copy(),
                capture_output=True,
                text=True,
                timeout=120,
            )

        listed = run()
        assert listed.returncode == 0, listed.stderr
        assert OTHER[:16] in listed.stdout
        assert DIGEST[:16] not in listed.stdout
        assert "prune --remove" in listed.stdout
        assert published.files(OTHER, "plain") != {}
        removed = json.loads(run("--remove", "--json").stdout)
        assert removed["freed"] == 2
        assert published.files(OTHER, "plain") == {}
        assert "is used by a service" in run().stdout


def test_a_claim_is_looked_for(fake, connected):
    if not Path("/dev/shm").is_mount():
        pytest.skip("no mount to write to")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        store = StoreSettings("pvc", claim="models", mounted=folder)
        found = publishers.check(store, connected)
        assert "There is no persistentvolumeclaim models" in json.dumps([found.findings, found.missing])


def test_the_policy_of_the_page_holds_every_right_that_is_named():
    page = (Path(ROOT) / "docs" / "cluster.md").read_text()
    (text,) = (
        one
        for one in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        if "Statement" in one
    )
    granted = {action for one in json.loads(text)["Statement"] for action in one["Action"]}
    assert granted == {part for named in ACTIONS.values() for part in named.split(" and ")}
