"""A daemon killed in each step that touches the cluster, and the next one: it ends well, and nothing is left or done twice."""

from __future__ import annotations

import contextlib
import http.client
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.daemon.conftest import make_daemon  # noqa: F401
from tests.daemon.test_services import submit_model
from tests.stores.s3_site import *  # noqa: F403

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import CLAIM, Predictor, volume
from through_daemon import ISVC, available, configure, follow, ready, serve

sys.path.pop(0)

pytestmark = pytest.mark.needs_fake
CLAIMS, SNAPSHOTS = "persistentvolumeclaims", "volumesnapshots"
STOP = "serving.kserve.io/stop"


class Place:
    """A fake cluster with a volume, and what a daemon needs to serve there."""

    def __init__(self, cluster, home, mounted):
        self.fake, self._kubeconfig, self._home, self._mounted = (
            cluster.fake,
            cluster.kubeconfig,
            home,
            mounted,
        )

    def configure(self, **store):
        made = {"kind": "pvc", "claim": CLAIM, "mounted": str(self._mounted), "prefix": "kale"} | store
        configure(self._home, self._kubeconfig, self._mounted, CLAIM, store=made)

    def snapshots(self):
        self.configure(kind="snapshot", snapshot_class=None, storage_class=None)

    def left(self):
        """What there is but for the volume itself."""
        found = [
            *self.fake.list(ISVC),
            *self.fake.list("pods"),
            *self.fake.list(CLAIMS),
            *self.fake.list(SNAPSHOTS),
        ]
        return [one["metadata"]["name"] for one in found if one["metadata"]["name"] != CLAIM]


@pytest.fixture
def place(cluster, home):
    predictor = Predictor()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"name": CLAIM, "namespace": "default"}
    cluster.fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": spec})
    cluster.fake.backs("iris-predictor", predictor.url)
    with volume() as mounted:
        yield Place(cluster, home, mounted)
    predictor.close()


@pytest.fixture
def first(make_daemon, place):  # noqa: F811
    """first(): a daemon that knows the cluster and a model."""

    def start():
        one = make_daemon().start()
        available(one)
        submit_model(one)
        return one

    return start


def ends_well(one, place, uid=None):
    """It is ready, one object, as it was sent, and nothing is left once it is deleted."""
    seen = follow(one, "iris", ready(1))
    assert (seen["state"], seen["drift"]) == ("Ready", [])
    [there] = place.fake.list(ISVC)
    assert uid in (None, there["metadata"]["uid"])
    assert one.call("DELETE", "/api/services/iris").status == 204
    place.fake.wait_for(lambda: place.left() == [])


def test_in_the_upload(make_daemon, first, place, bucket):  # noqa: F811
    """The bucket is slow from the second file on; what is there whole is not sent again."""
    place.configure(kind="s3", claim=None, mounted=None, prefix=None, **bucket.settings)
    released, held = threading.Event(), threading.Event()

    def slow(body):
        held.set()
        released.wait(120)
        return body

    rule = bucket.way.fault(r"^PUT ", slow, times=100, after=1)
    one = first()
    serve(one)
    assert held.wait(60)
    whole = [found["Key"] for found in bucket.keys()]
    assert len(whole) == 1
    one.kill()
    bucket.way.faults.remove(rule)
    released.set()
    assert place.fake.list(ISVC) == []
    two = make_daemon().start()
    follow(two, "iris", ready(1))
    puts = Counter(asked.path.partition("?")[0] for asked in bucket.way.asked if asked.method == "PUT")
    assert [count for path, count in puts.items() if path.endswith(whole[0])] == [1], puts
    assert bucket.uploads() == []
    ends_well(two, place)


@pytest.mark.parametrize("kind", [SNAPSHOTS, CLAIMS])
def test_while_a_volume_is_made(make_daemon, first, place, kind):  # noqa: F811
    storage = place.fake.storage
    place.snapshots()
    if kind == SNAPSHOTS:
        storage.snapshots = False
    else:
        storage.binds = False
    one = first()
    serve(one)

    def made():
        return [found for found in place.fake.list(kind) if found["metadata"]["name"] != CLAIM]

    [waited] = place.fake.wait_for(made)
    one.kill()
    storage.snapshots = storage.binds = True
    name = waited["metadata"]["name"]
    (storage.ready if kind == SNAPSHOTS else storage.bind)("default", name)
    two = make_daemon().start()
    follow(two, "iris", ready(1))
    assert [found["metadata"]["uid"] for found in made()] == [waited["metadata"]["uid"]]
    ends_well(two, place)


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
def test_in_the_apply(make_daemon, first, place, done):  # noqa: F811
    place.configure()
    # The first is the dry run of the check.
    rule = place.fake.script.fail("patch", f"{ISVC}/iris", hang=True, after=done, skip=1)
    one = first()
    serve(one)
    place.fake.wait_for(lambda: rule.hits and bool(place.fake.list(ISVC)) == done)
    one.kill()
    made = [found["metadata"]["uid"] for found in place.fake.list(ISVC)]
    place.fake.script.clear()
    two = make_daemon().start()
    ends_well(two, place, *made)


def test_while_it_is_waited_for(make_daemon, first, place):  # noqa: F811
    place.configure()
    place.fake.controller.hold()
    one = first()
    serve(one)
    uid = place.fake.wait_for(lambda: place.fake.get(ISVC, "iris"))["metadata"]["uid"]
    one.kill()
    place.fake.controller.release()
    ends_well(make_daemon().start(), place, uid)


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
def test_in_the_deletion(make_daemon, first, place, done):  # noqa: F811
    place.snapshots()
    one = first()
    serve(one)
    follow(one, "iris", ready(1))
    rule = place.fake.script.fail("delete", f"{ISVC}/iris", hang=True, after=done)

    def delete():
        with contextlib.suppress(OSError, http.client.HTTPException):
            one.call("DELETE", "/api/services/iris")

    asking = threading.Thread(target=delete)
    asking.start()
    place.fake.wait_for(lambda: rule.hits and (not done or place.fake.get(ISVC, "iris") is None))
    one.kill()
    asking.join()
    place.fake.script.clear()
    two = make_daemon().start()
    place.fake.wait_for(lambda: place.left() == [])
    follow(two, "iris", lambda seen: "state" not in seen)
    records = two.data / "clusters" / "kserve" / "default"
    assert list(records.glob("*.json")) == []


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
def test_in_a_pause(make_daemon, first, place, done):  # noqa: F811
    place.configure()
    one = first()
    serve(one)
    follow(one, "iris", ready(1))
    uid = place.fake.get(ISVC, "iris")["metadata"]["uid"]

    def stopped():
        return (place.fake.get(ISVC, "iris")["metadata"]["annotations"]).get(STOP) == "true"

    rule = place.fake.script.fail("patch", f"{ISVC}/iris", hang=True, after=done)
    assert one.call("POST", "/api/services/iris/pause").status == 202
    place.fake.wait_for(lambda: rule.hits and stopped() == done)
    one.kill()
    place.fake.script.clear()
    two = make_daemon().start()
    seen = follow(two, "iris", lambda seen: seen["sentence"].startswith("iris is paused"))
    assert stopped()
    assert (seen["paused"], seen["ready_revision"]) == (True, None)
    assert two.call("POST", "/api/services/iris/resume").status == 202
    ends_well(two, place, uid)
