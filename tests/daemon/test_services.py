"""Services by the daemon's API: a real model served, updated, adopted, refused and deleted."""

from __future__ import annotations

import contextlib
import json
import sys
import threading

import joblib
import psutil
from sklearn.linear_model import LogisticRegression


def submit_model(daemon, name="iris", weight=1.0):
    folder = daemon.home / f"{name}-{weight}"
    folder.mkdir()
    joblib.dump(LogisticRegression(C=weight).fit([[0.0], [1.0]], [0, 1]), folder / "model.joblib")
    saved = {"framework": "sklearn", "class_name": "LogisticRegression", "module": "sklearn.linear_model"}
    saved |= {"classes": [0, 1], "n_features": 1, "estimator_type": "classifier"}
    (folder / "kale.json").write_text(json.dumps(saved))
    spec = {"name": "x0", "dtype": "FP64", "shape": [-1]}
    body = {
        "type": "kale.Model",
        "name": name,
        "artifact_uri": str(folder),
        "framework": "sklearn",
        "class_name": "LogisticRegression",
        "environment": {"python": sys.executable},
        "signature": {
            "layout": "columns",
            "named": False,
            "inputs": [spec],
            "outputs": [{"name": "predict", "dtype": "INT64", "shape": [-1]}],
            "input_example": [[1.0]],
        },
    }
    answer = daemon.call("POST", "/api/artifacts", body)
    assert answer.status == 201, answer.body
    return answer.json


def wait_until(daemon, name, revision):
    """Follow the events until this revision is ready; nothing is polled."""
    seq = daemon.call("GET", "/api/services").json["seq"]
    with daemon.connect() as listener:
        listener.request("GET", f"/api/events?since={seq}")
        with listener.getresponse() as response:
            while True:
                seen = daemon.call("GET", f"/api/services/{name}").json
                if seen["ready_revision"] == revision or seen["state"] == "Failed":
                    return seen
                response.readline()


def pid_of(service, revision):
    [pid] = [one["pid"] for one in service["components"] if one["revision"] == revision]
    return pid


def test_a_model_is_served_updated_adopted_and_deleted(make_daemon):
    daemon = make_daemon().start()
    first = submit_model(daemon)
    answer = daemon.call("POST", "/api/services", {"model": first["id"]})
    assert (answer.status, answer.json["name"], answer.json["revision"]) == (202, "iris", 1)
    ready = wait_until(daemon, "iris", 1)
    assert ready["state"] == "Ready", ready
    assert ready["model"] == first
    assert daemon.call("DELETE", f"/api/artifacts/{first['id']}").status == 409
    taken = daemon.call("POST", "/api/services", {"model": "iris", "create_only": True})
    assert (taken.status, taken.code) == (409, "NameTaken")
    second = submit_model(daemon, weight=2.0)
    assert daemon.call("POST", "/api/services", {"model": "iris:1.0.1"}).json["revision"] == 2
    assert wait_until(daemon, "iris", 2)["model"] == second

    pid = pid_of(daemon.call("GET", "/api/services/iris").json, 2)
    daemon.kill()
    daemon = make_daemon().start()
    adopted = wait_until(daemon, "iris", 2)
    assert (adopted["state"], pid_of(adopted, 2)) == ("Ready", pid)
    graph = daemon.call("GET", f"/api/artifacts/{second['id']}/lineage").json
    assert ("kale.Endpoint", "iris", "LIVE") in {(n["type"], n["name"], n["state"]) for n in graph["nodes"]}
    assert daemon.call("GET", "/api/services/iris/logs?tail=5").status == 200

    assert daemon.call("DELETE", "/api/services/iris").status == 204
    assert daemon.call("GET", "/api/services/iris").code == "EndpointNotFound"
    graph = daemon.call("GET", f"/api/artifacts/{second['id']}/lineage").json
    assert ("kale.Endpoint", "iris", "DELETED") in {
        (n["type"], n["name"], n["state"]) for n in graph["nodes"]
    }
    assert daemon.call("DELETE", f"/api/artifacts/{first['id']}").status == 204


def test_an_artifact_that_an_older_revision_still_serves_is_kept(daemon):
    old, new = submit_model(daemon), submit_model(daemon, "broken", 2.0)
    assert daemon.call("POST", "/api/services", {"model": old["id"], "name": "iris"}).status == 202
    seen = wait_until(daemon, "iris", 1)
    took = {stage["name"]: stage["seconds"] for stage in seen["stages"]}
    assert all(
        took[name] is not None and took[name] >= 0 for name in ("create", "load", "predict", "ready")
    ), took
    # A variable that lets the new revision fail while it loads.
    body = {"model": new["id"], "name": "iris", "config": {"env": {"PYTHONHOME": "/nowhere"}}}
    assert daemon.call("POST", "/api/services", body).status == 202
    for made in (old, new):
        answer = daemon.call("DELETE", f"/api/artifacts/{made['id']}")
        assert (answer.status, answer.json["error"]["details"]["services"]) == (409, ["iris"])
    assert daemon.call("GET", "/api/services/iris").json["ready_revision"] == 1
    assert daemon.call("DELETE", "/api/services/iris").status == 204
    for made in (old, new):
        assert daemon.call("DELETE", f"/api/artifacts/{made['id']}").status == 204


def submit_transformer(daemon, source):
    folder = daemon.home / f"transformer-{len(source)}"
    folder.mkdir()
    (folder / "functions.py").write_text(source)
    about = {
        "kind": "functional",
        "form": "source",
        "preprocess": "preprocess",
        "postprocess": None,
        "assets": {},
    }
    (folder / "kale.json").write_text(json.dumps(about))
    body = {
        "type": "kale.Transformer",
        "name": f"shift-{len(source)}",
        "artifact_uri": str(folder),
        "environment": {"python": sys.executable},
    }
    answer = daemon.call("POST", "/api/artifacts", body)
    assert answer.status == 201, answer.body
    return answer.json


def test_a_transformer_and_its_model_are_served_updated_and_deleted_together(daemon):
    model = submit_model(daemon)
    # The model says 1 for 1.0 and 0 for 0.0; the transformer turns them round.
    turn = submit_transformer(
        daemon,
        'def preprocess(inputs):\n    return {"instances": [[1 - x] for [x] in inputs["instances"]]}\n',
    )
    broken = submit_transformer(daemon, "import no_such_package\n")
    body = {"model": model["id"], "transformer": turn["id"], "name": "iris"}
    assert daemon.call("POST", "/api/services", body).status == 202
    seen = wait_until(daemon, "iris", 1)
    assert (seen["state"], seen["protocol"]) == ("Ready", "v1"), seen["sentence"]
    assert {one["component"] for one in seen["components"]} == {"predictor", "transformer"}

    def predict():
        with contextlib.closing(type(daemon.connection())(seen["socket"])) as front:
            front.request("POST", "/v1/models/iris:predict", '{"instances": [[0.0], [1.0]]}')
            with front.getresponse() as response:
                return json.loads(response.read())

    assert predict() == {"predictions": [1, 0]}
    assert daemon.call("POST", "/api/services", body | {"transformer": broken["id"]}).status == 202
    with daemon.connect() as listener:
        listener.request("GET", f"/api/events?since={daemon.call('GET', '/api/services').json['seq']}")
        with listener.getresponse() as response:
            while not (now := daemon.call("GET", "/api/services/iris").json)["error"]:
                response.readline()
    assert (now["state"], now["ready_revision"], now["error"]["code"]) == ("Ready", 1, "ModelLoadFailed")
    assert "no_such_package" in now["sentence"]
    assert predict() == {"predictions": [1, 0]}
    for made in (turn, broken, model):
        assert daemon.call("DELETE", f"/api/artifacts/{made['id']}").status == 409
    pids = [one["pid"] for one in now["components"] if one["pid"]]
    assert daemon.call("DELETE", "/api/services/iris").status == 204
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    runtime = daemon.socket.parent
    assert [path for kind in "frc" for path in (runtime / kind).glob("*")] == []


def test_two_at_once_of_one_name_end_well(daemon):
    submit_model(daemon)
    answers = []
    barrier = threading.Barrier(3)

    def serve():
        barrier.wait()
        answers.append(daemon.call("POST", "/api/services", {"model": "iris", "create_only": True}))

    threads = [threading.Thread(target=serve) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [202, 409, 409]
    assert daemon.call("DELETE", "/api/services/iris").status == 204


def test_what_cannot_be_served_is_refused_before_anything_starts(daemon):
    made = submit_model(daemon)
    bad_names = ["../x", "a/b", "..\\x", "a\0b", "a" * 64, "\uff41", "\u202ea", "", "%2e%2e%2f", "A", 5, "a."]
    for name in bad_names:
        answer = daemon.call("POST", "/api/services", {"model": "iris", "name": name})
        assert (answer.status, answer.code) == (400, "InvalidName"), (name, answer.body)
    for name in ["%2e%2e%2fx", "a%2fb", "%252e", "a%00b", "a" * 64, "..%5cx", "%EF%BD%81"]:
        for method, tail in [("GET", ""), ("DELETE", ""), ("GET", "/logs")]:
            assert daemon.call(method, f"/api/services/{name}{tail}").status == 400, name
    for body, status in [
        ({"model": "iris", "namespace": "../x"}, 400),
        ({"model": "none"}, 404),
        ({"model": True}, 400),
        ({"model": "iris", "transformer": made["id"]}, 400),
        ({"model": "iris", "config": {"nonsense": 1}}, 400),
        ({"model": "iris", "target": "moon"}, 400),
        ({"model": "iris", "config": {"runtime": "triton"}}, 422),
        ({}, 422),
    ]:
        answer = daemon.call("POST", "/api/services", body)
        assert answer.status == status, (body, answer.body)
    dry = daemon.call("POST", "/api/services", {"model": "iris", "dry_run": True})
    assert (dry.status, dry.json["service"]["revision"]) == (200, 1)
    assert daemon.call("GET", "/api/services").json["items"] == []


def test_a_stored_model_that_was_edited_is_never_served(daemon):
    made = submit_model(daemon)
    victim = daemon.data / "store" / "trees" / made["digest"] / "files" / "model.joblib"
    victim.chmod(0o644)
    victim.write_bytes(b"X" * victim.stat().st_size)
    answer = daemon.call("POST", "/api/services", {"model": "iris"})
    assert (answer.status, answer.code) == (500, "DigestMismatch")
    assert daemon.call("GET", "/api/services").json["items"] == []
