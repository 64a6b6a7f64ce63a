"""The backend on a cluster holds the contract of every backend, on the fake and, unchanged, on a real cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

for _folder in (Path(__file__).parent, Path(__file__).parents[1] / "backends"):
    sys.path.insert(0, str(_folder))
from contract import BackendContract
from kserve_backend import CLAIM, Predictor, clients, make_service, settings, volume

from kale_serve_lab.serving.types import ServiceKey

del sys.path[:2]

STORE = "KALE_SERVE_TEST_STORE"


@dataclasses.dataclass
class Place:
    """Where services go: a fake or a real cluster, and the settings that lead there."""

    kubeconfig: Path
    namespace: str
    fake: object
    settings: object
    predictor: Predictor | None


@pytest.fixture
def place(cluster, home):
    if cluster.fake is None:
        if STORE not in os.environ:
            pytest.skip(f"{STORE} names no store that the cluster reads")
        found = settings(cluster, "/", store=json.loads(os.environ[STORE]))
        yield Place(cluster.kubeconfig, cluster.namespace, None, found, None)
        return
    predictor = Predictor()
    claim = {"name": CLAIM, "namespace": cluster.namespace}
    cluster.fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": {}})
    for name in ("iris", "other"):
        cluster.fake.backs(f"{name}-predictor", predictor.url)
    with volume() as mounted:
        found = settings(cluster, mounted, address="api-server")
        yield Place(cluster.kubeconfig, cluster.namespace, cluster.fake, found, predictor)
    predictor.close()


@pytest.fixture
def running(place):
    return clients(place)


@pytest.fixture
def key(place):
    return ServiceKey(place.namespace, "iris")


@pytest.fixture
def service(place, home):
    """service(revision, behaviour): the fake plays a recording for it, a real server gets a file that is no model."""

    def make(revision: int = 1, behaviour: str = "good", name: str = "iris", **config):
        made = make_service(home, revision, name, place.namespace, **config)
        if place.fake is not None:
            place.fake.play({"good": "ready", "crash": "crash-loop"}.get(behaviour, behaviour), name=name)
        elif behaviour == "good":
            import joblib
            from sklearn.linear_model import LogisticRegression

            model = LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
            joblib.dump(model, made.model.path / "model.joblib")
        return made

    return make


class TestKServeBackend(BackendContract):
    pass
