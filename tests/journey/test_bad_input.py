"""Bad input as a user gives it: each with a clear error, nothing lost and nothing left behind."""

from __future__ import annotations

import http.client
import json
import threading
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kale_serve_lab as ksl
from kale_serve_lab import paths
from kale_serve_lab.artifacts import check
from kale_serve_lab.client.connection import UnixConnection

ROWS = np.random.default_rng(0).random((20, 3))
FRAME = pd.DataFrame(ROWS, columns=["age", "size", "weight"])
TARGET = [0, 1] * 10


@pytest.fixture(scope="module")
def model():
    return LogisticRegression().fit(FRAME, TARGET)


@pytest.fixture
def artifact(audit, model):
    """The same for every test: submitting it again changes nothing."""
    return ksl.Model(model, name="good", version="1.0.0", signature=FRAME).submit_artifact()


@pytest.fixture
def endpoint(artifact, model, audit):
    """A ready endpoint, which must answer as before after whatever was asked of it."""
    isvc = ksl.serve(artifact, name="good")
    before = audit.state
    with isvc.endpoint as found:
        yield found
        assert found.predict(FRAME).to_numpy().ravel().tolist() == model.predict(FRAME).tolist()
    assert audit.state == before


@pytest.mark.parametrize(
    "name",
    ["Tumour", "-tumour", "tumour-", "1tumour", "tumour.v2", "a" * 64, "a/b", "../x", "", " ", "<b>", "a\nb", "ｆｕｌｌ", "\u202eabc"],
)  # fmt: skip
def test_a_name_that_kserve_would_refuse(audit, artifact, name):
    before = audit.state
    error = audit.refused("InvalidName", ksl.serve, artifact, name=name)
    assert "kserve" in str(error).lower() or "Try " in error.hint
    audit.refused("InvalidName", ksl.Endpoint, name)
    assert audit.state == before


def test_a_model_that_cannot_be_saved(audit, artifact):
    locked = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TARGET)
    locked.steps[1][1].callback = {"done": threading.Lock()}
    before = audit.state
    error = audit.refused("SaveFailed", ksl.Model(locked, name="locked").submit_artifact)
    assert "steps[1][1].callback['done']" in error.message
    assert "locked" in error.subject
    audit.refused("SaveFailed", ksl.serve, locked, name="locked")
    audit.refused("UnsupportedModel", ksl.Model(LogisticRegression(), name="unfitted").submit_artifact)
    audit.refused("UnsupportedModel", ksl.Model({"weights": ROWS}, name="dict").submit_artifact)
    audit.refused("UnsupportedModel", ksl.Model(LogisticRegression, name="class").submit_artifact)
    assert audit.state == before


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("CannotPredictAtOnce", "cannot predict its sample in a fresh process: RuntimeError: colour blind"),
        ("ExitsAtOnce", "ended its process (exit status 7)"),
        ("SegfaultsAtOnce", "ended its process (killed by SIGSEGV)"),
        ("HangsAtOnce", "took longer than"),
    ],
)
def test_a_model_that_cannot_be_loaded_back(audit, breaking, monkeypatch, kind, words):
    if kind.startswith("Hangs"):
        monkeypatch.setattr(check, "SECONDS", 5.0)
    before = audit.state
    made = ksl.Model(getattr(breaking, kind)().fit(ROWS, TARGET), name="at-once", signature=ROWS)
    error = audit.refused("SaveFailed", made.submit_artifact)
    assert words in error.message
    assert "at-once" in error.subject
    if not kind.startswith("Hangs"):
        assert any("about to" in line or "colour blind" in line for line in error.details["log_tail"])
    assert audit.state == before


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("CannotPredict", "PredictFailed", "colour blind"),
        ("Exits", "ModelLoadFailed", "ended while it loaded"),
        ("Segfaults", "ModelLoadFailed", "ended while it loaded"),
        ("Hangs", "LoadTimeout", "within 5 s"),
    ],
)
def test_a_model_that_does_not_come_up(audit, breaking, kind, code, words):
    made = ksl.Model(getattr(breaking, kind)().fit(ROWS, TARGET), name=kind.lower(), signature=ROWS)
    config = {"timeout": 5} if kind == "Hangs" else None
    error = audit.refused(code, ksl.serve, made, name="broken", serve_config=config)
    assert words in error.message
    assert error.subject == "broken"
    # On a busy machine five seconds may end while scikit-learn is still imported: then nothing has been said yet.
    if kind not in ("CannotPredict", "Hangs"):
        assert any("about to" in line for line in error.details["log_tail"])
    # What failed is named and its processes are gone; it can be asked, tried again and deleted.
    service = audit.services()["broken"]
    assert (service["state"], service["ready_revision"], service["components"]) == ("Failed", None, [])
    assert service["error"]["code"] == code
    with ksl.Endpoint("broken") as failed:
        assert failed.ready() is False
        audit.refused("EndpointNotReady", failed.predict, ROWS)
    assert ksl.InferenceService.get("broken").status.error.code == code


def test_an_update_that_does_not_come_up_leaves_the_old_revision_answering(audit, breaking, artifact, model):
    isvc = ksl.serve(artifact, name="kept")
    made = ksl.Model(breaking.Exits().fit(FRAME, TARGET), name="exits", signature=FRAME)
    audit.refused("ModelLoadFailed", ksl.serve, made, name="kept")
    service = audit.services()["kept"]
    assert (service["revision"], service["ready_revision"]) == (2, 1)
    with isvc.endpoint as endpoint:
        assert endpoint.predict(ROWS).tolist() == model.predict(FRAME).tolist()


BAD_ROWS = {
    "a column less": FRAME[["age", "size"]],
    "a column more": FRAME.assign(colour=1.0),
    "other names": FRAME.rename(columns={"age": "years"}),
    "twice": pd.concat([FRAME, FRAME["age"]], axis=1),
    "texts": FRAME.assign(age="old"),
    "an array too narrow": ROWS[:, :2],
    "one row flat": ROWS[0],
    "three dimensions": ROWS[None],
    "complex": ROWS.astype(complex),
    "ragged": [[1, 2, 3], [1, 2]],
    "no rows": [],
    "an empty frame": FRAME.iloc[:0],
    "none": None,
    "an object": object(),
    "half JSON": '{"instances": [[1, 2',
    "NaN in JSON": '{"instances": [[NaN, 1, 2]]}',
    "no request": {"id": "7", "parameters": {}},
    "v1 short": {"instances": [[1, 2]]},
    "v1 text": {"instances": [["old", 1, 2]]},
    "v1 missing": {"instances": [{"age": 1}]},
    "v1 number": {"instances": 7},
    "v2 short": {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]},
    "v2 lying": {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2, 3], "data": [1, 2]}]},
    "v2 dtype": {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 3], "data": ["a", "b", "c"]}]},
    "v2 columns": {"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [1]}]},
}


def test_rows_that_do_not_fit_by_the_sdk(endpoint, audit):
    for what, given in BAD_ROWS.items():
        with pytest.raises(ksl.InvalidInput) as raised:
            endpoint.predict(given)
        assert raised.value.subject, what
        if not isinstance(given, dict) or "inputs" not in given and "instances" not in given:
            assert raised.value.hint, f"{what}: {raised.value}"
    error = audit.refused("InvalidInput", endpoint.predict, FRAME, outputs=["colour"])
    assert "predict_proba" in error.hint


def post(connection, path, body, headers=None):
    connection.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
    with connection.getresponse() as response:
        return response.status, json.loads(response.read())


def test_rows_that_do_not_fit_by_plain_http(endpoint):
    url = urlsplit(ksl.InferenceService.get("good").url)
    token = (paths.data_dir() / "token").read_text().strip()
    front = UnixConnection(paths.front_socket("default", "good"), 10)
    gateway = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    bodies = [given for given in BAD_ROWS.values() if isinstance(given, dict)]
    try:
        for connection, base, headers in (
            (front, "", {}),
            (gateway, url.path, {"Authorization": f"Bearer {token}"}),
        ):
            for body in (*bodies, '{"instances": [[1, 2', b"\xff\xfe", "[]", "null", "{}"):
                path = (
                    "/v2/models/good/infer"
                    if isinstance(body, dict) and "inputs" in body
                    else "/v1/models/good:predict"
                )
                sent = json.dumps(body) if isinstance(body, dict) else body
                status, answer = post(connection, base + path, sent, headers)
                assert status == 400, (body, answer)
                assert isinstance(answer["error"], str)
                assert answer["code"] == "InvalidInput"
                assert answer["message"]
                assert answer["subject"]
            for path, body in (
                ("/v1/models/other:predict", "{}"),
                ("/v2/models/good/nothing", "{}"),
            ):
                status, answer = post(connection, base + path, body, headers)
                assert (status, answer["code"]) in {(404, "NotFound"), (404, "EndpointNotFound")}
    finally:
        front.close()
        gateway.close()


def test_a_version_that_is_there_with_other_content(audit, artifact):
    before = audit.state
    other = LogisticRegression(C=9).fit(FRAME, TARGET)
    error = audit.refused("VersionExists", ksl.Model(other, name="good", version="1.0.0").submit_artifact)
    assert error.subject == "good:1.0.0"
    assert audit.state == before


def test_what_is_not_there(audit, artifact):
    before = audit.state
    assert audit.refused("EndpointNotFound", ksl.Endpoint, "nowhere").subject == "nowhere"
    audit.refused("EndpointNotFound", ksl.Endpoint, "nowhere", "other-namespace")
    audit.refused("EndpointNotFound", ksl.InferenceService.get, "nowhere")
    for model in (4711, "nothing", "good:7.0.0"):
        assert str(model) in audit.refused("ArtifactNotFound", ksl.serve, model, name="x").message
    audit.refused("ArtifactNotFound", ksl.serve, artifact, transformer_id="nothing", name="x")
    dataset = ksl.Dataset(ROWS, TARGET, name="rows").submit_artifact()
    audit.refused("InvalidRequest", ksl.serve, dataset.id, name="x")
    audit.refused("InvalidRequest", ksl.serve, ROWS, name="x")
    services, artifacts, *rest = before
    assert audit.state[0] == services
    assert set(audit.artifacts()) - set(artifacts) <= {"rows:1.0.0"}


def at_once(*calls):
    answers = [None] * len(calls)

    def run(at):
        try:
            answers[at] = calls[at]()
        except ksl.KaleServeError as error:
            answers[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_two_serve_of_one_name_at_once(audit, artifact, model):
    both = at_once(*[lambda: ksl.serve(artifact, name="twin")] * 2)
    # Either is told that it is there only when it is.
    assert [isvc.status.ready for isvc in both] == [True, True]
    service = audit.services()["twin"]
    assert (service["state"], service["ready_revision"]) == ("Ready", 2)
    for isvc in both:
        with isvc.endpoint as endpoint:
            assert endpoint.predict(ROWS).tolist() == model.predict(FRAME).tolist()
    only = at_once(*[lambda: ksl.serve(artifact, name="only", create_only=True)] * 2)
    [won] = [found for found in only if isinstance(found, ksl.InferenceService)]
    [lost] = [found for found in only if not isinstance(found, ksl.InferenceService)]
    assert won.status.ready
    assert (lost.code, lost.subject) == ("NameTaken", "only")
    assert lost.hint


def test_the_first_of_two_waits_for_what_takes_its_place(audit, breaking, artifact):
    hanging = ksl.Model(breaking.Hangs().fit(FRAME, TARGET), name="hangs", signature=FRAME)
    first = ksl.serve(hanging, name="replaced", wait=False)
    second = ksl.serve(artifact, name="replaced", wait=False)
    first.wait(60)
    assert second.refresh()._service["ready_revision"] == 2
