"""Who refuses what: the decoding, KServe's webhooks or the schema, as on a real cluster; and what none of them refuses."""

from __future__ import annotations

import copy
import json

import pytest
from fake_cluster import FakeCluster, Refused
from fake_cluster.kinds import Target, named

MODEL = {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://m/a"}
CONTAINER = {"name": "kserve-container", "image": "i"}
LIMITS = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
MODE = "serving.kserve.io/deploymentMode"


@pytest.fixture(scope="module", params=["0.15", "0.17", "0.20"])
def fake(request, needs_shared):
    return FakeCluster(request.param)


def create(fake, spec, *, name="s", strict=None, annotations=None, plural="inferenceservices", dry=True):
    resource = named(plural, None if plural != "events" else "")
    query = ({"dryRun": "All"} if dry else {}) | ({"fieldValidation": strict} if strict else {})
    body = {"metadata": {"name": name, "annotations": annotations or {}}}
    body |= spec if plural != "inferenceservices" else ({"spec": spec} if spec is not None else {})
    where = Target(resource, "default", None, None, None)
    return fake.api.create(where, query, {}, json.dumps(body).encode(), "kale")


def refused(fake, spec, **more):
    with pytest.raises(Refused) as caught:
        create(fake, spec, **more)
    return caught.value


def predictor(**fields):
    return {"predictor": {"model": MODEL, **fields}}


def model(**fields):
    return {"predictor": {"model": {**MODEL, **fields}}}


SCHEMA = {
    "a bad enum": (predictor(scaleMetric="bogus"), "spec.predictor.scaleMetric"),
    "a bad quantity": (model(resources={"limits": {"cpu": "one"}}), "spec.predictor.model.resources.limits.cpu"),
    "a wrong type": (model(storageUri=5), "spec.predictor.model.storageUri"),
    "a duplicate variable": (
        model(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]), "spec.predictor.model.env[1]",
    ),
    "no name of a variable": (model(env=[{"value": "1"}]), "spec.predictor.model.env[0].name"),
    "too large a number": (predictor(terminationGracePeriodSeconds=2**70), "spec.predictor.terminationGracePeriodSeconds"),
}  # fmt: skip


@pytest.mark.parametrize("spec, field", SCHEMA.values(), ids=list(SCHEMA))
def test_the_schema_refuses(fake, spec, field):
    refusal = refused(fake, spec)
    assert (refusal.code, refusal.body["reason"]) == (422, "Invalid")
    assert field in [c["field"] for c in refusal.body["details"]["causes"]]


def test_upper_case_names_are_the_schemas(fake):
    assert refused(fake, predictor(), name="Upper").body["details"]["causes"][0]["field"] == "metadata.name"


WEBHOOK = {
    "minReplicas below 0": (predictor(minReplicas=-1), {}),
    "minReplicas over maxReplicas": (predictor(minReplicas=3, maxReplicas=2), {}),
    "containerConcurrency below 0": (predictor(containerConcurrency=-1), {}),
    "model.name": (model(name="n"), {}),
    "two implementations": (
        {"predictor": {"sklearn": {"storageUri": "a"}, "xgboost": {"storageUri": "a"}}},
        {},
    ),
    "an empty transformer": ({**predictor(), "transformer": {}}, {}),
    "an autoscaler class": (predictor(), {"annotations": {"serving.kserve.io/autoscalerClass": "bogus"}}),
    "a digit first": (predictor(), {"name": "1a"}),
    "a dot": (predictor(), {"name": "a.b"}),
}


@pytest.mark.parametrize("spec, more", WEBHOOK.values(), ids=list(WEBHOOK))
def test_the_webhook_refuses(fake, spec, more):
    refusal = refused(fake, spec, **more)
    assert (refusal.code, refusal.body["reason"]) == (403, "Forbidden")
    assert "admission webhook" in refusal.body["message"]


@pytest.mark.parametrize(
    "spec", [None, {}, {"predictor": {}}], ids=["no spec", "an empty spec", "an empty predictor"]
)
def test_the_webhook_panics(fake, spec):
    refusal = refused(fake, spec)
    assert refusal.code == 500
    assert "panic" in refusal.body["message"]


def test_the_webhook_cannot_read_wrong_types(fake):
    refusal = refused(fake, predictor(minReplicas="two"))
    assert refusal.code == 400
    assert "cannot unmarshal string into Go struct field" in refusal.body["message"]


ACCEPTED = {
    "no format": {"predictor": {"model": {"storageUri": "pvc://m/a", "modelFormat": {"name": ""}}}},
    "an unknown format": model(modelFormat={"name": "foo"}),
    "no storageUri": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
    "an unknown scheme": model(storageUri="foo://x"),
    "a plain path": model(storageUri="/mnt/models"),
    "model and sklearn both": predictor(sklearn={"storageUri": "pvc://m/b"}),
    "canaryTrafficPercent 150": predictor(canaryTrafficPercent=150),
    "requests over limits": model(resources=LIMITS),
    "a container without image": {"predictor": {"containers": [{"name": "kserve-container"}]}},
    "an unknown runtime": model(runtime="nope"),
    "protocol v9": model(protocolVersion="v9"),
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=list(ACCEPTED))
def test_nobody_refuses(fake, spec):
    assert create(fake, spec, strict="Strict")[0] == 201


def test_nobody_refuses_bogus_modes_and_long_names(fake):
    assert create(fake, predictor(), annotations={MODE: "Bogus"})[0] == 201
    assert create(fake, predictor(), name="n" * 70)[0] == 201


def test_unknown_fields_are_dropped_told_or_refused(fake):
    spec = model(storageURI="pvc://x")
    for strict in (None, "Warn"):
        _, made, warnings = create(fake, spec, strict=strict)
        assert warnings == ('unknown field "spec.predictor.model.storageURI"',)
        assert "storageURI" not in made["spec"]["predictor"]["model"]
    assert create(fake, spec, strict="Ignore")[2] == ()
    refusal = refused(fake, spec, strict="Strict")
    assert (refusal.code, refusal.body["reason"]) == (400, "BadRequest")


def test_what_a_version_does_not_know_is_unknown(fake):
    spec = {**predictor(), "canary": [{"trafficPercent": 10, "predictor": {"name": "v2", "model": MODEL}}]}
    if fake.version == "0.20":
        assert create(fake, spec, strict="Strict")[0] == 201
        spec["canary"] *= 11
        assert refused(fake, spec).code == 403
    else:
        assert refused(fake, spec, strict="Strict").code == 400


def test_modes_have_the_names_of_the_version_and_stay(fake):
    made = create(fake, predictor(), name="kept", annotations={MODE: "RawDeployment"}, dry=False)[1]
    assert made["metadata"]["annotations"][MODE] == (
        "RawDeployment" if fake.version == "0.15" else "Standard"
    )
    fake.set_status("inferenceservices", "kept", {"deploymentMode": made["metadata"]["annotations"][MODE]})
    with pytest.raises(Refused) as caught:
        fake.edit("inferenceservices", "kept", {"metadata": {"annotations": {MODE: "Serverless"}}})
    assert caught.value.code == 403


def test_older_forms_become_models(fake):
    made = create(fake, {"predictor": {"sklearn": {"storageUri": "pvc://m/a"}}})[1]
    assert made["spec"]["predictor"]["model"]["modelFormat"] == {"name": "sklearn"}
    assert "sklearn" not in made["spec"]["predictor"]


CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def test_kinds_of_the_api_server_itself_are_read_strictly_too(fake):
    plural = "persistentvolumeclaims"
    assert create(fake, CLAIM, plural=plural, strict="Strict")[0] == 201
    wrong = copy.deepcopy(CLAIM)
    wrong["spec"]["dataSourceReference"] = {}
    refusal = refused(fake, wrong, plural=plural, strict="Strict")
    assert 'unknown field "spec.dataSourceReference"' in refusal.body["message"]
    assert create(fake, wrong, plural=plural)[2] == ('unknown field "spec.dataSourceReference"',)
    refusal = refused(fake, {"spec": {}}, plural=plural)
    assert [c["field"] for c in refusal.body["details"]["causes"]] == [
        "spec.accessModes",
        "spec.resources[storage]",
    ]
    assert refused(fake, {"data": {"a": 5}, "type": 3}, plural="secrets").code == 400


def test_a_claims_spec_stays(fake):
    create(fake, CLAIM, plural="persistentvolumeclaims", name="fixed", dry=False)
    with pytest.raises(Refused) as caught:
        fake.edit("persistentvolumeclaims", "fixed", {"spec": {"storageClassName": "other"}})
    assert caught.value.body["details"]["causes"][0]["field"] == "spec"


def test_defaults_of_the_schema_are_filled_in(fake):
    container = {
        **CONTAINER,
        "ports": [{"containerPort": 8080}],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}],
    }
    made = create(fake, {"predictor": {"containers": [container]}}, strict="Strict")[1]
    written = made["spec"]["predictor"]["containers"][0]
    assert written["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert written["env"][0]["valueFrom"]["secretKeyRef"] == {"key": "k", "name": ""}


@pytest.mark.parametrize("quantity", ["1", 1, "500m", "1Gi", "1.5", "2e3"])
def test_quantities_are_numbers_or_texts(fake, quantity):
    assert create(fake, model(resources={"limits": {"memory": quantity}}), strict="Strict")[0] == 201
