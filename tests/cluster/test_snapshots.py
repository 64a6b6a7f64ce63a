"""Models by snapshots, against the fake API server; the volume is a folder."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import threading
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from kserve_backend import Predictor, clients, make_service

from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.hydration import CLAIM, SNAPSHOT, Objects, adopt, sweep
from kale_serve_lab.backends.kserve.rok import hydrate_rok, rok_uri
from kale_serve_lab.backends.kserve.settings import Settings, from_json
from kale_serve_lab.backends.kserve.snapshots import Component, SnapshotPublisher
from kale_serve_lab.errors import (
    Cancelled,
    ClusterRefused,
    Forbidden,
    InvalidConfig,
    NameTaken,
    NotFound,
    Timeout,
)
from kale_serve_lab.stores.pvc import PvcPublisher, pvc_settings
from tests.stores.publishing_contract import (
    DIGEST,
    OTHER,
    PublishingContract,
    Teller,
    files_below,
    modelled,
    never,
)

CLAIMS, SNAPSHOTS = "persistentvolumeclaims", "volumesnapshots"
REFERENCE = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"}


class SnapshotSite:
    kind = "snapshot"

    def __init__(self, fake, kubeconfig, folder):
        self.fake = fake
        self.folder = folder
        self.settings = {
            "claim": "models",
            "mounted": str(folder),
            "prefix": "team",
            "kubeconfig": str(kubeconfig),
            "service": "iris",
        }
        self.cluster = connect(Settings(kubeconfig=str(kubeconfig)))
        fake.put(claim("models", "20Gi"))

    def verifier(self):
        return PvcPublisher(pvc_settings("models", str(self.folder), "team"), needs_mount=False)

    def publisher(self, service="iris", component="predictor", **more):
        return SnapshotPublisher(
            self.cluster,
            self.verifier(),
            "models",
            Component("default", service, component),
            **{"seconds": 60, "patience": 0, **more},
        )

    def files(self, digest, view):
        return files_below(self.folder / "team" / digest / view)

    def state(self):
        files = {
            str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns)
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".lock"
        }
        return files, {
            one["metadata"]["name"]: one["metadata"]["resourceVersion"]
            for kind in (CLAIMS, SNAPSHOTS)
            for one in self.fake.list(kind, "default")
        }

    def damage(self, digest, view, path):
        with (self.folder / "team" / digest / view / path).open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))

    def ours(self, kind):
        return [one for one in self.fake.list(kind, "default") if one["metadata"]["name"] != "models"]


def claim(name, size, **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": "csi-x",
            **spec,
        },
    }


def storage_class(name, mode="Immediate", *, default=False):
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": "csi.example.org",
        "volumeBindingMode": mode,
    }


def service(name, *uris, **metadata):
    uri = uris[0] if uris else "s3://b/x"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": uri}}},
    }


@pytest.fixture
def site(fake, kubeconfig, tmp_path):
    fake.controller.enabled = False
    (tmp_path / "volume").mkdir()
    fake.put(storage_class("csi-x"))
    found = SnapshotSite(fake, kubeconfig, tmp_path / "volume")
    yield found
    found.cluster.close()


class TestSnapshots(PublishingContract):
    @pytest.fixture
    def site(self, site):
        return site

    def test_each_component_gets_a_claim_of_its_own_from_a_snapshot(self, site, tmp_path):
        site.fake.storage.restore_size = "7Gi"
        model = modelled(tmp_path / "m", a=b"1")
        placed = {}
        for component in ("predictor", "transformer"):
            publisher = site.publisher(component=component, snapshot_class="csi-snap")
            placed[component] = publisher.publish(
                model.folder, DIGEST, "plain", model.entries, Teller(), never
            )
            assert placed[component].uri == publisher.uri(DIGEST, "plain")
            name = placed[component].volume.claim
            assert placed[component].uri == f"pvc://{name}/team/{DIGEST}/plain"
            made = site.fake.get(CLAIMS, name)
            assert made["spec"]["dataSourceRef"] == {**REFERENCE, "name": placed[component].volume.snapshot}
            assert made["spec"]["resources"]["requests"]["storage"] == "7Gi"
            assert made["spec"]["storageClassName"] == "csi-x"
            assert made["metadata"]["labels"]["kale-serve-lab/service"] == "iris"
            assert made["status"]["phase"] == "Bound"
            snapshot = site.fake.get(SNAPSHOTS, placed[component].volume.snapshot)
            assert snapshot["spec"]["source"]["persistentVolumeClaimName"] == "models"
            assert snapshot["spec"]["volumeSnapshotClassName"] == "csi-snap"
        assert placed["predictor"].volume != placed["transformer"].volume

    def test_a_snapshot_is_waited_for_by_a_watch(self, site, tmp_path):
        site.fake.storage.snapshots = False
        model = modelled(tmp_path / "m", a=b"1")
        found = []
        thread = threading.Thread(target=lambda: found.append(self.publish(site, model)))
        thread.start()
        site.fake.wait_for(lambda: site.ours(SNAPSHOTS))
        site.fake.wait_for(lambda: site.fake.requests.count("watch", SNAPSHOTS))
        assert site.ours(CLAIMS) == []
        site.fake.storage.ready("default", site.ours(SNAPSHOTS)[0]["metadata"]["name"], restore_size="3Gi")
        thread.join(60)
        assert found
        assert (
            site.fake.get(CLAIMS, found[0].volume.claim)["spec"]["resources"]["requests"]["storage"] == "3Gi"
        )

    def test_what_the_driver_says_is_told_and_the_next_try_makes_a_new_snapshot(self, site, tmp_path):
        site.fake.storage.snapshot_error = "snapshot controller failed to update: rate limit of the array"
        model = modelled(tmp_path / "m", a=b"1")
        with pytest.raises(ClusterRefused, match="rate limit of the array") as caught:
            self.publish(site, model)
        assert caught.value.subject.startswith("volumesnapshot default/iris-predictor-")
        assert site.ours(CLAIMS) == []
        site.fake.storage.snapshot_error = None
        self.publish(site, model)
        assert len(site.ours(SNAPSHOTS)) == 1

    def test_an_error_that_passes_is_waited_over(self, site, tmp_path):
        site.fake.storage.snapshot_error = "the object has been modified"
        model = modelled(tmp_path / "m", a=b"1")
        found = []
        thread = threading.Thread(
            target=lambda: found.append(
                site.publisher(patience=60).publish(
                    model.folder, DIGEST, "plain", model.entries, Teller(), never
                )
            )
        )
        thread.start()
        site.fake.wait_for(lambda: site.fake.requests.count("watch", SNAPSHOTS))
        site.fake.storage.ready("default", site.ours(SNAPSHOTS)[0]["metadata"]["name"])
        thread.join(60)
        assert found

    def test_a_claim_that_waits_for_its_first_pod_is_not_waited_for(self, site, tmp_path):
        site.fake.put(storage_class("csi-late", "WaitForFirstConsumer"))
        site.fake.storage.binds = False
        model = modelled(tmp_path / "m", a=b"1")
        found = site.publisher(storage_class="csi-late").publish(
            model.folder, DIGEST, "plain", model.entries, Teller(), never
        )
        assert site.fake.get(CLAIMS, found.volume.claim)["spec"]["storageClassName"] == "csi-late"

    def test_without_the_right_to_read_classes_its_events_tell(self, site, tmp_path):
        site.fake.deny("get list", "storageclasses")
        site.fake.storage.binds = False
        model = modelled(tmp_path / "m", a=b"1")
        name = site.publisher().uri(DIGEST, "plain").split("/")[2]
        site.fake.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": "e1", "namespace": "default"},
                "involvedObject": {"kind": "PersistentVolumeClaim", "name": name, "namespace": "default"},
                "reason": "WaitForFirstConsumer",
                "type": "Normal",
                "message": "waiting for first consumer to be created before binding",
            }
        )
        assert self.publish(site, model).volume.claim == name

    def test_a_claim_that_is_never_bound_is_told_with_its_event(self, site, tmp_path):
        site.fake.storage.binds = False
        model = modelled(tmp_path / "m", a=b"1")
        name = site.publisher().uri(DIGEST, "plain").split("/")[2]
        site.fake.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": "e1", "namespace": "default"},
                "involvedObject": {"kind": "PersistentVolumeClaim", "name": name, "namespace": "default"},
                "reason": "ProvisioningFailed",
                "type": "Warning",
                "message": "no space left in the pool",
            }
        )
        with pytest.raises(Timeout, match="no space left in the pool"):
            site.publisher(seconds=1).publish(model.folder, DIGEST, "plain", model.entries, Teller(), never)

    def test_a_storage_class_that_is_not_there_is_named(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        with pytest.raises(NotFound, match="no storage class nobody"):
            site.publisher(storage_class="nobody").publish(
                model.folder, DIGEST, "plain", model.entries, Teller(), never
            )

    def test_a_claim_that_is_not_there_is_named(self, site, tmp_path):
        site.fake.remove(CLAIMS, "models")
        with pytest.raises(NotFound, match="There is no claim models in default"):
            self.publish(site, modelled(tmp_path / "m", a=b"1"))

    def test_a_namespace_that_is_not_the_claims_is_refused(self, site):
        with pytest.raises(InvalidConfig, match="the claim models is in default"):
            SnapshotPublisher(
                site.cluster, site.verifier(), "models", Component("other", "iris", "predictor")
            )

    @pytest.mark.parametrize("kind", [CLAIMS, SNAPSHOTS])
    def test_somebody_elses_object_of_that_name_is_left_alone(self, site, tmp_path, kind):
        name = site.publisher().uri(DIGEST, "plain").split("/")[2]
        foreign = claim(name, "1Gi")
        if kind == SNAPSHOTS:
            foreign = {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"source": {"persistentVolumeClaimName": "other"}},
            }
        site.fake.put(foreign)
        with pytest.raises(NameTaken, match="is not ours"):
            self.publish(site, modelled(tmp_path / "m", a=b"1"))
        assert site.fake.get(kind, name) is not None

    def test_a_claim_of_ours_with_another_source_is_replaced(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        name = self.publish(site, model).volume.claim
        old = site.fake.get(CLAIMS, name)
        spec = {key: value for key, value in old["spec"].items() if not key.startswith("dataSource")}
        site.fake.remove(CLAIMS, name)
        site.fake.put({**claim(name, "20Gi"), "metadata": {**old["metadata"], "uid": None}, "spec": spec})
        self.publish(site, model)
        assert site.fake.get(CLAIMS, name)["spec"]["dataSourceRef"]["name"] == name

    def test_a_source_that_the_cluster_drops_is_refused_and_the_empty_claim_removed(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        name = site.publisher().uri(DIGEST, "plain").split("/")[2]
        written = site.fake.storage.written

        def drop(resource, obj):
            # What an older API server, or a webhook, does with it; `written` comes before our answer.
            if (
                obj["metadata"]["name"] == name
                and resource.plural == CLAIMS
                and "dataSourceRef" in obj["spec"]
            ):
                spec = {key: value for key, value in obj["spec"].items() if not key.startswith("dataSource")}
                obj = site.fake.put({**obj, "spec": spec}) or obj
            written(resource, obj)

        site.fake.storage.written = drop
        with pytest.raises(ClusterRefused, match="the volume would be empty"):
            self.publish(site, model)
        site.fake.wait_for(lambda: site.fake.get(CLAIMS, name) is None)

    @pytest.mark.parametrize(
        ("verb", "resource"),
        [("create", CLAIMS), ("create", SNAPSHOTS), ("get", SNAPSHOTS), ("get", CLAIMS)],
        ids=lambda value: value,
    )
    def test_a_missing_right_is_named(self, site, tmp_path, verb, resource):
        site.fake.deny(verb, resource)
        with pytest.raises(Forbidden) as caught:
            self.publish(site, modelled(tmp_path / "m", a=b"1"))
        assert caught.value.details["rule"]["resources"] == [resource]
        assert caught.value.details["rule"]["verbs"] == [verb]

    def test_without_the_right_to_watch_it_looks_again(self, site, tmp_path):
        site.fake.deny("watch", SNAPSHOTS)
        site.fake.storage.snapshots = False
        model = modelled(tmp_path / "m", a=b"1")
        found = []
        thread = threading.Thread(target=lambda: found.append(self.publish(site, model)))
        thread.start()
        site.fake.wait_for(lambda: site.fake.requests.count("watch", SNAPSHOTS))
        site.fake.storage.ready("default", site.ours(SNAPSHOTS)[0]["metadata"]["name"])
        thread.join(60)
        assert found

    @pytest.mark.parametrize("trouble", ["dropped", "expired", "server error", "lost answer"])
    def test_what_goes_wrong_while_waiting_is_gone_over(self, site, tmp_path, trouble):
        site.fake.storage.snapshots = False
        if trouble == "lost answer":
            site.fake.script.fail("create", SNAPSHOTS, reset=True, after=True)
        if trouble == "server error":
            site.fake.script.fail("watch", SNAPSHOTS, status=500)
        model = modelled(tmp_path / "m", a=b"1")
        found, failed = [], []

        def run():
            try:
                found.append(self.publish(site, model))
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        site.fake.wait_for(lambda: failed or site.fake.requests.count("watch", SNAPSHOTS))
        if trouble in ("dropped", "expired"):
            site.fake.watches.drop(expired=trouble == "expired")
        if failed and trouble == "lost answer":
            # A write is not repeated by itself; the next publishing finds what it made.
            thread.join(60)
            site.fake.storage.snapshots = True
            site.fake.storage.ready("default", site.ours(SNAPSHOTS)[0]["metadata"]["name"])
            assert self.publish(site, model)
            return
        site.fake.storage.ready("default", site.ours(SNAPSHOTS)[0]["metadata"]["name"])
        thread.join(60)
        assert found, failed

    def test_a_snapshot_that_is_deleted_under_it_is_told(self, site, tmp_path):
        site.fake.storage.snapshots = False
        failed = []

        def run():
            try:
                self.publish(site, modelled(tmp_path / "m", a=b"1"))
            except NotFound as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        site.fake.wait_for(lambda: site.fake.requests.count("watch", SNAPSHOTS))
        site.fake.remove(SNAPSHOTS, site.ours(SNAPSHOTS)[0]["metadata"]["name"])
        thread.join(60)
        assert "was deleted while we waited" in failed[0].message

    def test_waiting_can_be_cancelled(self, site, tmp_path):
        site.fake.storage.snapshots = False
        model = modelled(tmp_path / "m", a=b"1")
        with pytest.raises(Cancelled, match="volumesnapshot"):
            self.publish(site, model, cancelled=lambda: bool(site.ours(SNAPSHOTS)))

    def test_after_the_apply_the_service_owns_them_and_they_go_with_it(self, site, tmp_path):
        found = self.publish(site, modelled(tmp_path / "m", a=b"1"))
        site.cluster.request(
            "POST",
            "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices",
            body=service("iris", found.uri),
        )
        uid = site.fake.get("inferenceservices", "iris")["metadata"]["uid"]
        objects = Objects(site.cluster, "default")
        for _ in range(2):
            adopt(objects, "iris", uid)
        for kind in (CLAIMS, SNAPSHOTS):
            (owner,) = site.fake.get(kind, found.volume.claim)["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["uid"]) == ("InferenceService", "iris", uid)
        assert "ownerReferences" not in site.fake.get(CLAIMS, "models")["metadata"]
        assert sweep(objects) == []
        site.cluster.request(
            "DELETE", "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices/iris"
        )
        site.fake.wait_for(lambda: not site.ours(CLAIMS) and not site.ours(SNAPSHOTS))

    def test_what_an_older_revision_had_is_swept_and_what_is_being_made_is_not(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        old = self.publish(site, model)
        new = self.publish(site, model, OTHER)
        site.fake.put(service("iris", new.uri))
        objects = Objects(site.cluster, "default")
        assert sweep(objects) == []
        adopt(objects, "iris", site.fake.get("inferenceservices", "iris")["metadata"]["uid"])
        being_made = site.publisher(service="wine").publish(
            model.folder, DIGEST, "plain", model.entries, Teller(), never
        )
        removed = sweep(objects)
        assert removed == [
            f"persistentvolumeclaim default/{old.volume.claim}",
            f"volumesnapshot default/{old.volume.snapshot}",
        ]
        left = {one["metadata"]["name"] for one in site.ours(CLAIMS)}
        assert left == {new.volume.claim, being_made.volume.claim}
        later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=2)
        assert len(sweep(objects, later)) == 2
        assert {one["metadata"]["name"] for one in site.ours(CLAIMS)} == {new.volume.claim}

    def test_what_belonged_to_a_service_of_that_name_before_is_not_taken(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        found = self.publish(site, model)
        site.fake.put(service("iris", found.uri))
        objects = Objects(site.cluster, "default")
        gone = "11111111-1111-1111-1111-111111111111"
        for kind, one in ((CLAIM, site.ours(CLAIMS)[0]), (SNAPSHOT, site.ours(SNAPSHOTS)[0])):
            objects.own(kind, one, "iris", gone)
        self.publish(site, model)
        for kind in (CLAIMS, SNAPSHOTS):
            one = site.fake.get(kind, found.volume.claim)
            assert not one["metadata"].get("ownerReferences")

    def test_ownership_survives_a_conflict(self, site, tmp_path):
        found = self.publish(site, modelled(tmp_path / "m", a=b"1"))
        site.fake.put(service("iris", found.uri))
        uid = site.fake.get("inferenceservices", "iris")["metadata"]["uid"]
        objects = Objects(site.cluster, "default")
        stale = site.fake.get(CLAIMS, found.volume.claim)
        site.fake.edit(CLAIMS, found.volume.claim, {"metadata": {"labels": {"someone": "else"}}})
        objects.own(CLAIM, stale, "iris", uid)
        now = site.fake.get(CLAIMS, found.volume.claim)["metadata"]
        assert now["ownerReferences"][0]["uid"] == uid
        assert now["labels"]["someone"] == "else"


class TestRok:
    URI = "rok:kale:models:iris:abc123:/model/iris.joblib"

    def test_a_claim_is_made_that_rok_fills(self, site):
        site.fake.put(storage_class("rok"))
        of = Component("default", "iris", "predictor")
        found = hydrate_rok(site.cluster, of, self.URI, 3 << 30, seconds=60)
        assert found.uri == rok_uri(of, self.URI) == f"pvc://{found.volume.claim}/model/iris.joblib"
        made = site.fake.get(CLAIMS, found.volume.claim)
        assert made["metadata"]["annotations"]["rok/origin"] == "rok:kale:models:iris:abc123"
        assert made["spec"]["storageClassName"] == "rok"
        assert made["spec"]["accessModes"] == ["ReadWriteOnce"]
        assert made["spec"]["resources"]["requests"]["storage"] == "3Gi"
        assert hydrate_rok(site.cluster, of, self.URI, 3 << 30, seconds=60) == found

    def test_a_service_whose_model_is_in_rok_reads_it_from_its_own_claim(self, fake, kubeconfig, home):
        fake.put(storage_class("rok"))
        fake.play("ready", name="iris")
        predictor = Predictor()
        fake.backs("iris-predictor", predictor.url)
        found = from_json({"kubeconfig": str(kubeconfig), "namespace": "default", "address": "api-server"})
        wanted = make_service(home, storage={"uri": self.URI})

        async def run():
            async with clients(None)(stop=False, found=found) as driver:
                assert [one for one in await driver.backend.check(wanted) if one.severity == "error"] == []
                seen = await driver.ready(wanted)
                assert seen.ready_revision == 1, seen.sentence

        try:
            asyncio.run(run())
        finally:
            predictor.close()
        (claim,) = fake.list(CLAIMS)
        live = fake.get("inferenceservices", "iris")
        uri = live["spec"]["predictor"]["model"]["storageUri"]
        assert uri == f"pvc://{claim['metadata']['name']}/model/iris.joblib"
        assert claim["metadata"]["annotations"]["rok/origin"] == "rok:kale:models:iris:abc123"
        assert claim["metadata"]["ownerReferences"][0]["uid"] == live["metadata"]["uid"]

    def test_a_cluster_without_rok_is_told(self, site):
        with pytest.raises(NotFound, match="no storage class rok"):
            hydrate_rok(site.cluster, Component("default", "iris", "predictor"), self.URI, 1, seconds=60)
