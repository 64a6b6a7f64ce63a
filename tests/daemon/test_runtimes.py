"""Runtimes and environments by the daemon's API: a real runtime of the user's own, and an interpreter that is gone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cloudpickle

from tests.daemon.test_services import submit_model, wait_until

OWN = """\
kind: ServingRuntime
metadata:
  name: ours
  annotations: {kale-serve.dev/requirements: tinydb, kale-serve.dev/programs: no-such-program}
spec:
  supportedModelFormats: [{name: sklearn, autoSelect: true}]
  protocolVersions: [v2]
  containers: [{name: c, command: [ours]}]
"""


def test_runtimes_are_listed_with_the_users_own_and_what_stands_against_each(daemon):
    folder = daemon.data / "runtimes"
    folder.mkdir()
    (folder / "ours.yaml").write_text(OWN)
    (folder / "broken.yaml").write_text("kind: ServingRuntime\nmetadata: [")
    (folder / "twice.yml").write_text(OWN.replace("name: ours", "name: kserve-mlserver"))
    (folder / "notes.txt").write_text("not for us")
    found = daemon.call("GET", "/api/runtimes").json
    rows = {row["name"]: row for row in found["items"]}
    assert rows["kale-built-in"]["installed"] and rows["kale-built-in"]["reason"] is None
    assert {one["format"] for one in rows["kserve-mlserver"]["formats"]} == {
        "sklearn",
        "xgboost",
        "lightgbm",
        "mlflow",
    }
    assert (rows["kserve-mlserver"]["installed"], rows["kserve-mlserver"]["size"]) == (False, 600_000_000)
    assert "no-such-program" in rows["ours"]["reason"]
    assert rows["ours"]["source"] == str(folder / "ours.yaml")
    assert len(found["problems"]) == 2
    assert "broken.yaml, line 2," in found["problems"][0]["message"]
    assert "kserve-mlserver" in found["problems"][1]["message"]
    # What is broken takes nothing from the others.
    model = submit_model(daemon)
    answer = daemon.call("POST", "/api/services", {"model": model["id"], "dry_run": True})
    assert answer.status == 200
    told = {(one["code"], one["severity"]) for one in answer.json["findings"]}
    assert ("RuntimeUnreadable", "warning") in told
    assert answer.json["service"]["runtime"] == "kale-built-in"
    body = {"model": model["id"], "config": {"runtime": "ours"}}
    refused = daemon.call("POST", "/api/services", body)
    assert (refused.status, refused.code) == (422, "PreflightFailed")
    assert {one["code"] for one in refused.json["error"]["details"]["findings"]} >= {"ProgramMissing"}


def test_what_does_not_fit_is_refused_in_a_sentence_and_the_protocol_is_what_the_runtime_has(daemon):
    model = submit_model(daemon)

    def dry(**config):
        answer = daemon.call(
            "POST", "/api/services", {"model": model["id"], "dry_run": True, "config": config}
        )
        assert answer.status == 200, answer.body
        return answer.json

    for config, field, words in [
        (
            {"runtime": "kserve-mlserver", "protocol_version": "v1"},
            "config.protocol_version",
            "speaks v2 only",
        ),
        ({"runtime": "kserve-torchserve"}, "config.runtime", "serves pytorch, not sklearn"),
        ({"runtime": "nothing"}, "config.runtime", "no runtime 'nothing'"),
        ({"predictor": {"container": {"image": "x"}}}, "config.predictor.container", "no command"),
    ]:
        errors = [one for one in dry(**config)["findings"] if one["severity"] == "error"]
        assert [one["field"] for one in errors] == [field], errors
        assert words in errors[0]["message"]
    found = dry(runtime="kserve-mlserver")
    assert (found["service"]["runtime"], found["service"]["protocol"]) == ("kserve-mlserver", "v2")
    [made_first] = [one for one in found["findings"] if one["code"] == "EnvironmentToMake"]
    assert "0.6 GB" in made_first["message"]
    found = dry(protocol_version="v1")["service"]
    assert (found["protocols"], found["binary"], found["grpc_socket"]) == (["v1", "v2"], True, None)
    found = dry(protocol_version="grpc-v2")["service"]
    assert "grpc-v2" in found["protocols"]
    assert Path(found["grpc_socket"]).parent.name == "g"


def submit_orphan(daemon):
    """A model whose interpreter is gone; it needs little, so that its environment is soon made."""

    class Doubles:
        def predict(self, x):
            return [2 * value for value in x]

    folder = daemon.home / "orphan"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(Doubles()))
    (folder / "kale.json").write_text(json.dumps({"framework": "python"}))
    body = {
        "name": "orphan",
        "artifact_uri": str(folder),
        "framework": "python",
        "environment": {
            "python": str(daemon.home / "gone" / "bin" / "python"),
            "python_version": ".".join(map(str, sys.version_info[:3])),
            "packages": {"cloudpickle": "0.0.1"},
        },
    }
    return daemon.call("POST", "/api/artifacts", body).json


def test_an_environment_stays_while_a_service_uses_it(daemon):
    model = submit_orphan(daemon)
    answer = daemon.call("POST", "/api/services", {"model": model["id"], "name": "orphan"})
    assert answer.status == 202, answer.body
    codes = {one["code"] for one in answer.json["findings"]}
    assert {"InterpreterGone", "EnvironmentToMake"} <= codes
    seen = wait_until(daemon, "orphan", 1)
    assert seen["ready_revision"] == 1, seen["error"]
    assert "cloudpickle==0.0.1" in seen["sentence"]
    assert "environment" in [stage["name"] for stage in seen["stages"]]
    [kept] = daemon.call("GET", "/api/environments").json["items"]
    assert (kept["complete"], kept["used_by"], kept["label"]) == (True, ["orphan"], "orphan 1.0.0")
    assert "tornado" in kept["packages"]
    assert kept["path"].startswith(str(daemon.home))
    refused = daemon.call("DELETE", f"/api/environments/{kept['name']}")
    assert (refused.status, refused.json["error"]["details"]) == (409, {"services": ["orphan"]})
    answer = daemon.call("POST", "/api/services", {"model": model["id"], "name": "orphan", "dry_run": True})
    [skew] = [one for one in answer.json["findings"] if one["code"] == "VersionSkew"]
    assert "saved with cloudpickle 0.0, the runtime has " in skew["message"]
    assert daemon.call("DELETE", "/api/services/orphan").status == 204
    assert daemon.call("DELETE", f"/api/environments/{kept['name']}").status == 204
    assert daemon.call("GET", "/api/environments").json == {"items": []}
    for name in (kept["name"], "%2e%2e", "..%2fx", "x%00"):
        assert daemon.call("DELETE", f"/api/environments/{name}").status == 404
