"""The daemon killed (-9) in the middle of each step: nothing is lost, nothing half is seen, endpoints go on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import kale_serve_lab as ksl
from kale_serve_lab import errors, paths
from kale_serve_lab.client import Client

pytest.importorskip("sklearn")


def kill_daemon() -> int:
    """Kill the running daemon and wait until it is gone; its pid."""
    pid = Client(start=False).request("GET", "/api/version")["pid"]
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    import select

    select.select([handle], [], [], 10)
    os.close(handle)
    return pid


@pytest.fixture(scope="module")
def trained():
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, target = load_iris(return_X_y=True, as_frame=True)
    return LogisticRegression(max_iter=500).fit(features, target), features


@pytest.fixture
def artifact(home: Path, trained):
    model, features = trained
    return ksl.Model(model=model, name="iris", signature=features).submit_artifact()


def predictor_pid(name: str) -> int:
    service = Client().request("GET", f"/api/services/{name}")
    return next(c["pid"] for c in service["components"] if c["component"] == "predictor")


def test_a_ready_endpoint_answers_while_the_daemon_is_dead_and_is_adopted(artifact, trained) -> None:
    model, features = trained
    ksl.serve(artifact.id, name="iris")
    endpoint = ksl.Endpoint("iris")
    expected = list(model.predict(features))
    assert list(endpoint.predict(features).iloc[:, 0]) == expected
    before = predictor_pid("iris")
    kill_daemon()
    assert list(endpoint.predict(features).iloc[:, 0]) == expected
    start = time.monotonic()
    service = Client().request("GET", "/api/services/iris")
    assert service["state"] == "Ready", service["sentence"]
    assert time.monotonic() - start < 10
    assert predictor_pid("iris") == before
    assert list(ksl.Endpoint("iris").predict(features).iloc[:, 0]) == expected


def test_killed_while_a_model_loads_the_next_daemon_brings_it_to_ready(artifact, trained) -> None:
    model, features = trained
    client = Client()
    client.request("POST", "/api/services", {"name": "iris", "model": artifact.id})
    kill_daemon()
    isvc = ksl.serve(artifact.id, name="other")
    assert isvc.status.state == "Ready" if hasattr(isvc.status, "state") else True
    seq = client.request("GET", "/api/services")["seq"]
    if client.request("GET", "/api/services/iris")["state"] != "Ready":
        for _ in client.events(seq):
            if client.request("GET", "/api/services/iris")["state"] == "Ready":
                break
    assert list(ksl.Endpoint("iris").predict(features).iloc[:, 0]) == list(model.predict(features))
    components = client.request("GET", "/api/services/iris")["components"]
    assert len([c for c in components if c["component"] == "predictor"]) == 1


def test_killed_during_a_submission_nothing_half_is_seen(home: Path, trained) -> None:
    model, features = trained
    Client().request("GET", "/api/version")
    staging = paths.data_dir() / "staging"
    outcome: list[object] = []

    def submit() -> None:
        try:
            outcome.append(ksl.Model(model=model, name="iris", signature=features).submit_artifact())
        except errors.KaleServeError as error:
            outcome.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    # The moment at which the caller's files lie in staging is the middle of a submission.
    while thread.is_alive() and not (staging.exists() and any(staging.iterdir())):
        pass
    kill_daemon()
    thread.join(60)
    items = Client().request("GET", "/api/artifacts?type=kale.Model")["items"]
    assert len(items) <= 1
    again = ksl.Model(model=model, name="iris", signature=features).submit_artifact()
    assert Client().request("GET", f"/api/artifacts/{again.id}")["digest"]
    ksl.serve(again.id, name="iris")
    assert list(ksl.Endpoint("iris").predict(features).iloc[:, 0]) == list(model.predict(features))
    assert not list(staging.iterdir())


def test_killed_during_a_deletion_it_can_be_deleted_again_with_nothing_left(artifact) -> None:
    ksl.serve(artifact.id, name="iris")
    pid = predictor_pid("iris")
    thread = threading.Thread(
        target=lambda: _swallow(lambda: Client().request("DELETE", "/api/services/iris"))
    )
    thread.start()
    kill_daemon()
    thread.join(60)
    _swallow(lambda: Client().request("DELETE", "/api/services/iris"))
    with pytest.raises(errors.EndpointNotFound):
        Client().request("GET", "/api/services/iris")
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    for folder in ("f", "r", "c"):
        assert not list((paths.runtime_dir() / folder).glob("*.sock"))


def _swallow(call) -> None:
    try:
        call()
    except errors.KaleServeError:
        pass
