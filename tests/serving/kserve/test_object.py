"""What goes into the object, what stays out, what of it others have changed, and how files are laid out."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import golden
import pytest

from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.serving.kserve.build import build, owned_paths
from kale_serve_lab.serving.kserve.drift import drift
from kale_serve_lab.serving.kserve.layout import layout, view_of
from kale_serve_lab.serving.kserve.publishing import Placed, is_view

NEWEST = golden.about((0, 20))


def made(framework="sklearn", protocol="v1", config=None, **more):
    return golden.built(golden.service(framework, protocol, config=config, **more), NEWEST)


def variable(container, name):
    return next(one["value"] for one in container["env"] if one["name"] == name)


def test_what_the_server_is_told_reads_back_without_the_sample_and_without_a_dollar():
    asked = golden.service("python")
    signature = golden.SIGNATURE.to_json()
    signature["inputs"][0]["name"] = "$(PROTOCOL) $$"
    asked = replace(asked, model=replace(asked.model, signature=Signature.from_json(signature)))
    container = golden.built(asked, NEWEST)["spec"]["predictor"]["containers"][0]
    text = variable(container, "KALE_SERVE_ABOUT")
    assert "$" not in text
    told = Signature.from_json(json.loads(text)["signature"])
    assert told.inputs[0].name == "$(PROTOCOL) $$"
    assert not told.input_example
    assert told.outputs == golden.SIGNATURE.outputs


def test_a_signature_that_no_variable_holds_is_left_out():
    asked = golden.service("python")
    wide = tuple(replace(golden.SIGNATURE.inputs[0], name="column" * 10 + str(n)) for n in range(2000))
    signature = replace(golden.SIGNATURE, inputs=wide, layout="columns", input_example=None)
    asked = replace(asked, model=replace(asked.model, signature=signature))
    container = golden.built(asked, NEWEST)["spec"]["predictor"]["containers"][0]
    assert json.loads(variable(container, "KALE_SERVE_ABOUT")) == {
        "framework": "python",
        "namespace": "team-a",
        "revision": 3,
    }


def test_the_stores_account_reads_the_model_unless_another_is_asked_for():
    asked = golden.service()
    placed = {"predictor": Placed("s3://b/x", service_account="reader")}
    of = golden.about((0, 20), pod_defaults=golden.POD_DEFAULTS)
    row = golden.BY_NAME[asked.runtime]
    assert build(asked, row, placed, of)["spec"]["predictor"]["serviceAccountName"] == "reader"
    mine = golden.service(config={"service_account": "mine"})
    assert build(mine, row, placed, of)["spec"]["predictor"]["serviceAccountName"] == "mine"
    nothing = {"predictor": Placed("s3://b/x")}
    assert build(asked, row, nothing, of)["spec"]["predictor"]["serviceAccountName"] == "default-editor"


def test_what_was_given_is_not_shared_with_what_was_built():
    given = {"predictor": {"volumes": [{"name": "v", "empty_dir": {}}]}, "labels": {"a": "b"}}
    before = copy.deepcopy(given)
    found = made(config=given)
    found["spec"]["predictor"]["volumes"][0]["emptyDir"]["medium"] = "Memory"
    found["metadata"]["labels"]["a"] = "c"
    assert given == before
    assert made(config=given)["spec"]["predictor"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_a_later_variable_of_the_same_name_wins_and_keeps_its_place():
    config = {
        "env": {"A": "1", "B": "1"},
        "predictor": {"env": [{"name": "A", "value_from": {"field_ref": {"field_path": "metadata.name"}}}]},
    }
    assert made(config=config)["spec"]["predictor"]["model"]["env"] == [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "B", "value": "1"},
    ]


@pytest.mark.parametrize(
    ("asked", "written"),
    [("RawDeployment", "Standard"), ("Serverless", "Knative"), ("Standard", "Standard")],
)
def test_modes_by_any_name_are_written_as_the_version_calls_them(asked, written):
    older = {"Standard": "RawDeployment", "Knative": "Serverless"}[written]
    for version, name in (((0, 20), written), ((0, 17), written), ((0, 15), older)):
        service = golden.service(config={"deployment_mode": asked})
        found = golden.built(service, golden.about(version))["metadata"]["annotations"]
        assert found["serving.kserve.io/deploymentMode"] == name


def lived(obj):
    """The object as a server would give it back: with fields more, lists in another order, amounts written otherwise."""
    live = copy.deepcopy(obj)
    live["metadata"] |= {"uid": "u", "generation": 2}
    live["metadata"]["annotations"]["modelFormat"] = "sklearn"
    model = live["spec"]["predictor"]["model"]
    model["name"] = ""
    model["env"].reverse()
    model["env"].append({"name": "MORE", "value": "x"})
    if model["resources"]["limits"]["cpu"] == "1000m":
        model["resources"]["limits"]["cpu"] = "1"
    live["status"] = {"conditions": []}
    return live


CHANGES = {
    "spec.predictor.model.storageUri": lambda o: o["spec"]["predictor"]["model"].update(storageUri="s3://x"),
    "spec.predictor.model.env[B].value": lambda o: o["spec"]["predictor"]["model"]["env"][1].update(
        value="3"
    ),
    "spec.predictor.model.env[A]": lambda o: o["spec"]["predictor"]["model"]["env"].pop(0),
    "spec.predictor.model.runtime": lambda o: o["spec"]["predictor"]["model"].pop("runtime"),
    "spec.predictor.model.resources.limits.cpu": lambda o: o["spec"]["predictor"]["model"]["resources"][
        "limits"
    ].update(cpu="2"),
    "spec.predictor": lambda o: o["spec"].pop("predictor"),
    "metadata.annotations.kale-serve-lab/revision".replace(
        ".kale-serve-lab/revision", "[kale-serve-lab/revision]"
    ): lambda o: o["metadata"]["annotations"].update({"kale-serve-lab/revision": "9"}),
}
DRIFTING = {"env": {"A": "1", "B": "2"}, "limits": {"cpu": "1000m"}, "deployment_mode": "Standard"}


def test_what_the_server_adds_or_writes_otherwise_is_no_drift():
    applied = made(config=DRIFTING)
    assert drift(applied, lived(applied)) == ()
    older = golden.built(golden.service(config=DRIFTING), golden.about((0, 15)))
    assert drift(older, lived(applied)) == ()


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_a_field_that_differs_or_is_gone_is_drift(path):
    applied = made(config=DRIFTING)
    live = copy.deepcopy(applied)
    CHANGES[path](live)
    assert drift(applied, lived(live) if path != "spec.predictor" else live) == (path,)


def test_every_path_that_is_owned_is_seen_to_change():
    applied = made(config=DRIFTING)
    paths = owned_paths(applied)
    assert "spec.predictor.model.modelFormat.name" in paths
    assert set(drift(applied, {})) <= {path.split(".")[0] for path in paths}


LAYOUTS = {
    "sklearn": ("sklearn", "v1", ["kale.json", "model.joblib"], ["model.joblib"]),
    "xgboost": ("xgboost", "v2", ["kale.json", "model.ubj"], ["model.ubj"]),
    "lightgbm": ("lightgbm", "v1", ["kale.json", "model.bst"], ["model.bst"]),
    "pmml": ("pmml", "v1", ["kale.json", "model.pmml"], ["model.pmml"]),
    "mlflow": ("mlflow", "v2", ["MLmodel", "kale.json", "data/a"], ["MLmodel", "data/a"]),
    "tensorflow": (
        "tensorflow",
        "v1",
        ["1/saved_model.pb", "1/variables/v", "kale.json"],
        ["1/saved_model.pb", "1/variables/v"],
    ),
    "triton-tensorflow": (
        "tensorflow",
        "v2",
        ["1/saved_model.pb", "1/variables/v", "kale.json"],
        [
            "iris/1/model.savedmodel/saved_model.pb",
            "iris/1/model.savedmodel/variables/v",
            "iris/config.pbtxt",
        ],
    ),
    "triton-onnx": (
        "onnx",
        "v2",
        ["kale.json", "model.onnx", "weights.bin"],
        ["iris/1/model.onnx", "iris/1/weights.bin", "iris/config.pbtxt"],
    ),
    "python": (
        "python",
        "v1",
        ["kale.json", "model.pkl", "source/a.py"],
        ["kale.json", "model.pkl", "source/a.py"],
    ),
}


@pytest.mark.parametrize("case", sorted(LAYOUTS))
def test_each_server_finds_the_files_that_it_wants(case):
    framework, protocol, listing, wanted = LAYOUTS[case]
    asked = golden.service(framework, protocol)
    view = view_of(asked, "predictor")
    assert is_view(view)
    found = layout(listing, framework, asked.runtime, view, "iris")
    assert sorted(entry.path for entry in found) == wanted
    assert {entry.source for entry in found if isinstance(entry.source, str)} <= set(listing)


def test_views_of_two_services_do_not_begin_alike():
    short, long = (
        view_of(replace(one, key=replace(one.key, name=name)), "predictor")
        for one, name in ((golden.service("onnx", "v2"), "iris"), (golden.service("onnx", "v2"), "iris-2"))
    )
    assert short != long
    assert not long.startswith(short)
    assert not any(
        is_view(text) for text in ("triton-../x.repo", "triton-.repo", "other", "plain/..", "kale\n")
    )


@pytest.mark.parametrize(
    ("framework", "runtime", "listing", "words"),
    [
        (
            "sklearn",
            "kserve-sklearnserver",
            ["a.pkl", "b.joblib"],
            "exactly one file .joblib, .pkl or .pickle",
        ),
        ("sklearn", "kserve-mlserver", ["kale.json", "model.skops"], "has none"),
        ("pytorch", "kserve-torchserve", ["model.pt"], "model archive"),
        ("pytorch", "kserve-tritonserver", ["model.pt"], "not pytorch"),
        ("tensorflow", "kserve-tensorflow-serving", ["saved_model.pb"], "a folder with a number"),
        ("mlflow", "kserve-mlserver", ["m/MLmodel"], "MLmodel at the top"),
    ],
)
def test_what_a_server_cannot_read_is_refused_with_the_reason(framework, runtime, listing, words):
    with pytest.raises(UnsupportedModel, match=words) as caught:
        layout(listing, framework, runtime, "plain", "iris")
    assert "kale-built-in" in caught.value.hint


def test_the_same_service_gives_the_same_object_whatever_the_order_of_its_dicts():
    config = {"labels": {"b": "1", "a": "2"}, "annotations": {"z/z": "1", "a/a": "2"}}
    turned = {name: dict(reversed(list(value.items()))) for name, value in reversed(list(config.items()))}
    assert json.dumps(made(config=config)) == json.dumps(made(config=turned))
