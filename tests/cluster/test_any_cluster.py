"""What every cluster shows, the fake and unchanged a real one: no store and, but for the last, no image is needed.

Services that must fail are named as the recordings that the fake plays for them; a real cluster fails them by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import sys
from pathlib import Path

import pytest
from kubernetes import client, config

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import SIGNATURE, Predictor, clients, make_service, settings

from kale_serve_lab.errors import Conflict, Forbidden, NameTaken
from kale_serve_lab.serving.types import ServiceKey

sys.path.pop(0)

MODEL = "KALE_SERVE_TEST_MODEL"
# KServe's public example, four columns.
PUBLIC = "gs://kfserving-examples/models/sklearn/1.0/model"
ISVC = ("serving.kserve.io", "v1beta1")
STOP = "serving.kserve.io/stop"
ABSENT = {"container": {"name": "kserve-container", "image": "localhost/absent:1"}}
TOO_MUCH = {**ABSENT, "container": {**ABSENT["container"], "resources": {"requests": {"cpu": "10000"}}}}
# What a cluster may lack for a service that should be well; the sentence is the reason to skip.
LACKS = re.compile(r"cannot be pulled|No node has|There is no runtime|does not answer|cannot be resolved")


@pytest.fixture
def place(cluster):
    """The cluster without a store: nothing of this machine is sent there."""
    if cluster.fake is not None:
        for name in ("missing-image", "missing-pvc", "unschedulable"):
            cluster.fake.play(name, name=f"{name}*")
    return dataclasses.replace(Place(cluster), settings=settings(cluster, "/", store=None))


@dataclasses.dataclass(frozen=True)
class Place:
    cluster: object
    settings: object = None


@pytest.fixture
def running(place):
    return clients(place)


@pytest.fixture
def service(cluster, home):
    """service(name, revision, **config): without a model where the config names its own container."""

    def make(name, revision=1, **given):
        made = make_service(home, revision, name, cluster.namespace, **given)
        return dataclasses.replace(made, model=None) if "predictor" in given else made

    return make


@pytest.fixture
def objects(cluster):
    """objects(verb, *rest): the same by Kubernetes' own client, which is somebody else's to us."""
    with contextlib.closing(config.new_client_from_config(str(cluster.kubeconfig))) as api:
        custom = client.CustomObjectsApi(api)

        def ask(verb, *rest, **options):
            call = getattr(custom, f"{verb}_namespaced_custom_object")
            return call(*ISVC, cluster.namespace, "inferenceservices", *rest, **options)

        yield ask


def test_it_is_found_with_its_version_and_rights(running):
    async def run():
        async with running(stop=False) as driver:
            about = driver.backend.about()
            assert re.fullmatch(r"\d+\.\d+", about["kserve_version"] or "")
            assert set(about["modes"]) <= {"Standard", "Knative"}
            assert about["modes"]
            assert ("patch", True) in {
                (one["verb"], one["allowed"])
                for one in about["rights"]
                if "inferenceservices" in one["resource"]
            }

    asyncio.run(run())


def test_a_dry_run_leaves_nothing_and_says_what_the_cluster_refuses(running, service, objects):
    wanted = service("dry", predictor=ABSENT)
    refused = service("dry", predictor=ABSENT, min_replicas=1, annotations={"not a key!": "x"})

    async def run():
        async with running(stop=False) as driver:
            assert [one for one in await driver.backend.check(wanted) if one.severity == "error"] == []
            rendered = await driver.backend.render(wanted)
            assert rendered["spec"]["predictor"]["containers"][0]["image"] == "localhost/absent:1"
            found = [one for one in await driver.backend.check(refused) if one.severity == "error"]
            assert found
            assert all(one.message and one.fix for one in found)
            assert driver.backend.keys() == []

    asyncio.run(run())
    assert objects("list")["items"] == []


FAILING = {
    "missing-image": ({"predictor": ABSENT}, "image localhost/absent:1 cannot be pulled", "Failed"),
    "missing-pvc": ({"storage": {"uri": "pvc://gone/skl"}}, "claim gone does not exist", "Failed"),
    "unschedulable": ({"predictor": TOO_MUCH}, "No node has", "Loading"),
}


@pytest.mark.parametrize("name", sorted(FAILING))
def test_why_it_does_not_start_is_said_with_the_next_step_and_it_is_deleted(name, running, service, objects):
    given, words, state = FAILING[name]

    async def run():
        async with running() as driver:
            wanted = service(name, **given)
            await driver.backend.apply(wanted)
            # A first pull that fails may heal; a second one makes it a failure.
            seen = await driver.until(
                wanted.key,
                lambda s: (words in s.sentence and s.state == state) or "no runtime" in s.sentence,
            )
            if words not in seen.sentence:
                pytest.skip(f"the cluster lacks something else: {seen.sentence}")
            assert seen.ready_revision is None
            assert seen.next_step
            assert (seen.error is not None) is (state == "Failed")
            assert objects("get", name)["metadata"]["labels"]["app.kubernetes.io/managed-by"]
            await driver.backend.delete(wanted.key)
            assert driver.backend.keys() == []

    asyncio.run(run())
    assert objects("list")["items"] == []


def test_it_is_paused_and_resumed(running, service, objects):
    async def run():
        async with running() as driver:
            wanted = service("missing-image", predictor=ABSENT)
            seen = await driver.ready(wanted)
            assert seen.state == "Failed"
            await driver.backend.pause(wanted.key)
            seen = await driver.until(wanted.key, lambda s: "is paused" in s.sentence)
            assert (seen.error, seen.ready_revision) == (None, None)
            assert objects("get", "missing-image")["metadata"]["annotations"][STOP] == "true"
            await driver.backend.resume(wanted.key)
            await driver.until(wanted.key, lambda s: "paused" not in s.sentence)
            assert objects("get", "missing-image")["metadata"]["annotations"].get(STOP) != "true"

    asyncio.run(run())


def test_others_edits_are_shown_and_taken_back_only_when_asked(running, service, objects):
    def replicas():
        return objects("get", "missing-image")["spec"]["predictor"]["minReplicas"]

    async def run():
        async with running() as driver:
            wanted = service("missing-image", predictor=ABSENT, min_replicas=1, max_replicas=3)
            await driver.ready(wanted)
            theirs = {"spec": {"predictor": {"minReplicas": 2}}}
            objects("patch", "missing-image", theirs, field_manager="somebody")
            seen = await driver.until(wanted.key, lambda s: bool(s.drift))
            assert any("minReplicas" in one for one in seen.drift)
            await driver.backend.apply(dataclasses.replace(wanted, revision=2))
            seen = await driver.until(
                wanted.key, lambda s: s.error is not None and s.error["code"] == Conflict.__name__
            )
            assert "overwrite" in seen.error["hint"]
            assert replicas() == 2
            await driver.backend.apply(dataclasses.replace(wanted, revision=3), overwrite=True)
            await driver.until(wanted.key, lambda s: s.drift == ())
            assert replicas() == 1

    asyncio.run(run())


def test_somebody_elses_is_seen_and_left_alone(running, service, objects, cluster):
    key = ServiceKey(cluster.namespace, "missing-image")
    theirs = {
        "apiVersion": "/".join(ISVC),
        "kind": "InferenceService",
        "metadata": {"name": key.name},
        "spec": {"predictor": {"containers": [ABSENT["container"]]}},
    }
    objects("create", theirs, field_manager="somebody")

    async def run():
        async with running() as driver:
            seen = await driver.until(key, lambda s: "cannot be pulled" in s.sentence)
            assert not driver.backend.managed(key)
            assert seen.ready_revision is None
            with pytest.raises(Forbidden):
                await driver.backend.delete(key)
            with pytest.raises(NameTaken):
                await driver.backend.apply(service("missing-image", predictor=ABSENT))

    asyncio.run(run())
    assert [one["metadata"]["name"] for one in objects("list")["items"]] == ["missing-image"]


def test_what_somebody_deletes_is_told_and_not_made_anew(running, service, objects):
    async def run():
        async with running() as driver:
            wanted = service("missing-image", predictor=ABSENT)
            await driver.ready(wanted)
            objects("delete", "missing-image")
            seen = await driver.until(
                wanted.key, lambda s: s.error is not None and s.error["code"] == "NotFound"
            )
            assert "by somebody else" in seen.sentence
            assert objects("list")["items"] == []

    asyncio.run(run())


def test_the_next_backend_takes_over_what_is_there(running, service):
    wanted = service("missing-image", predictor=ABSENT)

    async def run():
        async with running(stop=False) as driver:
            first = await driver.ready(wanted)
        async with running() as driver:
            seen = await driver.until(wanted.key, lambda s: s.error is not None)
            assert (seen.state, seen.sentence) == (first.state, first.sentence)
            assert driver.backend.desired(wanted.key).revision == 1

    asyncio.run(run())


def test_a_public_model_is_served_and_predicts(cluster, home, running, service):
    """Needs images and the model's address (KALE_SERVE_TEST_MODEL, a scikit-learn model of four columns) in the cluster's reach."""
    predictor = None
    if cluster.fake is not None:
        predictor = Predictor()
        cluster.fake.backs("public-model-predictor", predictor.url)
    uri = os.environ.get(MODEL) or PUBLIC
    made = service("public-model", storage={"uri": uri})
    columns = dataclasses.replace(
        SIGNATURE,
        inputs=[dataclasses.replace(SIGNATURE.inputs[0], name=f"x{i}") for i in range(4)],
        input_example=[[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]],
    )
    made = dataclasses.replace(made, model=dataclasses.replace(made.model, signature=columns))

    async def run():
        async with running() as driver:
            await driver.backend.apply(made)
            seen = await driver.until(
                made.key,
                lambda s: s.ready_revision == 1 or s.error is not None or bool(LACKS.search(s.sentence)),
            )
            if cluster.fake is None and LACKS.search(seen.sentence):
                pytest.skip(f"the cluster cannot serve it: {seen.sentence}")
            assert (seen.state, seen.ready_revision) == ("Ready", 1), seen.sentence
            tried = await driver.backend.ways.predict_once(
                made.key, "/v2/models/public-model/infer", b'{"inputs": []}'
            )
            assert any(one.works for one in tried.addresses)

    try:
        asyncio.run(run())
    finally:
        if predictor is not None:
            predictor.close()
