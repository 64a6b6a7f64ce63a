"""What may go wrong around a service on a cluster: rights, others' hands, an API server that is away, a daemon that is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import CLAIM, ClusterDriver, Predictor, backend, clients, make_service, settings, volume

from kale_serve_lab.errors import (
    ClusterUnavailable,
    Conflict,
    EndpointNotFound,
    Forbidden,
    NameTaken,
)
from kale_serve_lab.serving.types import ServiceKey

sys.path.pop(0)

pytestmark = pytest.mark.needs_fake
KEY = ServiceKey("default", "iris")
ISVC = "inferenceservices"


class Place:
    def __init__(self, fake, found, predictor):
        self.fake, self.settings, self.predictor = fake, found, predictor


@pytest.fixture
def place(cluster, home):
    fake = cluster.fake
    predictor = Predictor()
    fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": {}})
    fake.backs("iris-predictor", predictor.url)
    with volume() as mounted:
        yield Place(fake, settings(cluster, mounted, address="api-server"), predictor)
    predictor.close()


@pytest.fixture
def running(place):
    return clients(place)


@pytest.fixture
def service(home):
    return lambda revision=1, **config: make_service(home, revision, **config)


def foreign(name="iris", **labels):
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://models/x"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"predictor": {"model": model}},
    }


@pytest.mark.parametrize("verb", ["get", "patch"])
def test_a_right_that_lacks_is_named_with_the_rule_to_ask_for(running, service, place, verb):
    async def run():
        async with running(stop=False) as driver:
            place.fake.deny(verb, ISVC)
            seen = await driver.ready(service(1))
            assert seen.error["code"] == "Forbidden"
            assert ISVC in seen.error["hint"]
            assert place.fake.get(ISVC, "iris") is None
            place.fake.allow(verb, ISVC)
            assert (await driver.ready(service(2))).ready_revision == 2

    asyncio.run(run())


def test_without_the_right_to_delete_the_deletion_is_told_and_finished_later(running, service, place):
    async def run():
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            place.fake.deny("delete", ISVC)
            with pytest.raises(Forbidden) as refused:
                await driver.backend.delete(KEY)
            assert "delete" in refused.value.hint
            assert driver.status(KEY).state == "Deleting"
        place.fake.allow("delete", ISVC)
        async with running(stop=False) as driver:
            await driver.until_gone(KEY)
            assert place.fake.get(ISVC, "iris") is None

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["pods", "events"])
def test_what_may_not_be_seen_stops_nothing(running, service, place, kind):
    place.fake.deny("get list watch", kind)

    async def run():
        async with running() as driver:
            assert (await driver.ready(service(1))).state == "Ready"

    asyncio.run(run())


@pytest.mark.parametrize("overwrite", [False, True], ids=["asked nicely", "overwrite"])
def test_a_name_that_is_somebody_elses(running, service, place, overwrite):
    place.fake.put(foreign())
    before = place.fake.get(ISVC, "iris")["spec"]

    async def run():
        async with running(stop=False) as driver:
            await driver.until(KEY, lambda _: driver.backend.desired(KEY) is not None)
            assert not driver.backend.managed(KEY)
            assert driver.backend.desired(KEY).revision == 0
            with pytest.raises(Forbidden):
                await driver.backend.delete(KEY)
            with pytest.raises(Forbidden):
                await driver.backend.pause(KEY)
            if overwrite:
                await driver.backend.apply(service(1), overwrite=True)
                assert (await driver.until(KEY, lambda s: s.ready_revision == 1)).state == "Ready"
            else:
                with pytest.raises(NameTaken):
                    await driver.backend.apply(service(1))
                assert "NameTaken" in [one.code for one in await driver.backend.check(service(1))]
                assert place.fake.get(ISVC, "iris")["spec"] == before

    asyncio.run(run())


def test_deleted_by_somebody_else_is_told_and_not_made_anew_unasked(running, service, place):
    async def run():
        async with running() as driver:
            await driver.ready(service(1))
            place.fake.requests.clear()
            place.fake.remove(ISVC, "iris")
            seen = await driver.until(KEY, lambda s: s.error is not None)
            assert (seen.state, seen.error["code"]) == ("Failed", "NotFound")
            assert "by somebody else" in seen.sentence
            assert place.fake.requests.writes() == []
            assert (await driver.ready(service(2))).ready_revision == 2

    asyncio.run(run())


def test_edited_by_somebody_else_is_drift_and_taken_back_only_when_asked(running, service, place):
    path = {"spec": {"predictor": {"model": {"storageUri": "pvc://models/theirs"}}}}

    async def run():
        async with running() as driver:
            await driver.ready(service(1))
            place.fake.edit(ISVC, "iris", path)
            seen = await driver.until(KEY, lambda s: bool(s.drift))
            assert any("storageUri" in one for one in seen.drift), seen.drift
            await driver.backend.apply(service(2))
            seen = await driver.until(KEY, lambda s: s.error is not None)
            assert seen.error["code"] == Conflict.__name__
            assert "overwrite" in seen.error["hint"]
            uri = place.fake.get(ISVC, "iris")["spec"]["predictor"]["model"]["storageUri"]
            assert uri == "pvc://models/theirs"
            await driver.backend.apply(service(3), overwrite=True)
            seen = await driver.until(KEY, lambda s: s.ready_revision == 3)
            assert seen.drift == ()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["refuse", "silence"])
def test_while_the_api_server_is_away_it_says_since_when_and_then_is_right_again(
    running, service, place, how
):
    async def run():
        async with running() as driver:
            await driver.ready(service(1))
            place.fake.refuse()
            seen = await driver.until(KEY, lambda s: s.stale_since is not None, 60)
            assert seen.ready_revision == 1
            await driver.backend.apply(service(2))
            if how == "silence":
                place.fake.resume()
                place.fake.silence()
            assert driver.backend.desired(KEY).revision == 2
            place.fake.resume()
            seen = await driver.until(KEY, lambda s: s.ready_revision == 2 and s.stale_since is None, 90)
            assert seen.stale_since is None

    asyncio.run(run())


def test_a_daemon_starts_without_its_cluster_and_finds_it_later(service, place):
    place.fake.refuse()

    async def run():
        one = ClusterDriver(backend(place.settings))
        await one.backend.start(lambda _: one._event.set())
        try:
            assert one.backend.about()["available"] is False
            await one.backend.apply(service(1))
            assert one.status(KEY).state == "Pending"
            place.fake.resume()
            assert (await one.until(KEY, lambda s: s.ready_revision == 1, 60)).state == "Ready"
            await one.backend.delete(KEY)
        finally:
            await one.backend.close(stop_services=False)

    asyncio.run(run())


def test_deletion_while_the_api_server_is_away_is_remembered(running, service, place):
    async def run():
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            place.fake.refuse()
            with pytest.raises(ClusterUnavailable):
                await driver.backend.delete(KEY)
            assert driver.status(KEY).state == "Deleting"
            with pytest.raises(Conflict):
                await driver.backend.apply(service(2))
        place.fake.resume()
        async with running(stop=False) as driver:
            await driver.until_gone(KEY)
            assert place.fake.get(ISVC, "iris") is None

    asyncio.run(run())


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
def test_an_apply_that_is_cut_is_done_once_more(running, service, place, after):
    place.fake.script.fail("patch", ISVC, reset=True, after=after, times=2)

    async def run():
        async with running() as driver:
            assert (await driver.ready(service(1))).ready_revision == 1

    asyncio.run(run())


def test_ready_is_said_only_after_a_prediction(running, service, place):
    place.predictor.status, place.predictor.body = 500, {"error": "no such column"}

    async def run():
        async with running() as driver:
            await driver.backend.apply(service(1))
            seen = await driver.until(KEY, lambda s: s.error is not None)
            assert seen.ready_revision is None
            assert seen.error["code"] == "PredictFailed"
            assert "no such column" in seen.sentence
            place.predictor.status, place.predictor.body = 200, {"model_name": "iris", "outputs": []}
            assert (await driver.until(KEY, lambda s: s.ready_revision == 1)).state == "Ready"
            assert place.predictor.asked[-1][0] == "/v2/models/iris/infer"

    asyncio.run(run())


def test_pause_and_resume(running, service, place):
    def stops():
        found = place.fake.get(ISVC, "iris")["metadata"].get("annotations") or {}
        return found.get("serving.kserve.io/stop")

    async def run():
        async with running() as driver:
            await driver.ready(service(1))
            await driver.backend.pause(KEY)
            seen = await driver.until(KEY, lambda s: s.ready_revision is None and stops() == "true")
            assert seen.error is None
            await driver.backend.resume(KEY)
            await driver.until(KEY, lambda s: s.ready_revision == 1)
            assert stops() is None

    asyncio.run(run())


def test_what_others_have_made_is_listed_and_goes_with_them(running, place):
    place.fake.put(foreign("theirs"))
    theirs = ServiceKey("default", "theirs")

    async def run():
        async with running() as driver:
            await driver.until(theirs, lambda _: driver.backend.keys() == [theirs])
            place.fake.remove(ISVC, "theirs")
            await driver.until_gone(theirs)
            with pytest.raises(EndpointNotFound):
                await driver.backend.delete(theirs)

    asyncio.run(run())


@pytest.mark.parametrize("at", ["publish", "apply", "wait"])
def test_the_next_backend_goes_on_where_the_last_was(running, service, place, at, monkeypatch):
    """Let go of without a word: nothing but the record is left of the one before."""
    if at == "apply":
        hanging = place.fake.script.fail("patch", ISVC, hang=True)
    if at == "wait":
        place.fake.controller.hold()

    async def run():
        async with running(stop=False) as driver:
            if at == "publish":
                from kale_serve_lab.backends.kserve.uploading import Upload

                with monkeypatch.context() as patch:
                    patch.setattr(Upload, "run", lambda _: asyncio.sleep(600))
                    await driver.backend.apply(service(1))
                    await asyncio.sleep(0)
            else:
                await driver.backend.apply(service(1))
            if at == "apply":
                await asyncio.to_thread(place.fake.wait_for, lambda: hanging.hits == 1)
                place.fake.script.release()
            if at == "wait":
                await asyncio.to_thread(place.fake.wait_for, lambda: place.fake.get(ISVC, "iris"))
        place.fake.controller.release()
        async with running() as driver:
            assert (await driver.until(KEY, lambda s: s.ready_revision == 1)).state == "Ready"

    asyncio.run(run())
