"""Each mistake that KServe's schema and webhook accept, and more, is said with a code, its field and a fix."""

from __future__ import annotations

import functools
import json
import os
import random
from dataclasses import replace

import golden
import pytest
from fake_cluster.crds import SHARED, Crds
from fake_cluster.kinds import BY_KIND

from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.serving.kserve.build import API_VERSION, KIND
from kale_serve_lab.serving.kserve.cluster_runtimes import rows_of
from kale_serve_lab.serving.kserve.preflight import preflight
from kale_serve_lab.serving.types import ServiceKey

NEWEST = golden.about((0, 20), default_mode="Standard")
KNATIVE = golden.about((0, 20), default_mode="Knative")
IMAGE = {"image": "example.com/x:1"}


def said(asked, about=NEWEST, there=(), listing=None):
    return preflight(asked, golden.BY_NAME.get(asked.runtime), about, there, listing, golden.ROWS)


def config(**given):
    return golden.service(config=given)


def named(name, namespace="team-a"):
    return replace(golden.service(), key=ServiceKey(namespace, name))


def other(mode):
    annotations = {"serving.kserve.io/deploymentMode": mode}
    return {"metadata": {"name": "iris", "namespace": "team-a", "annotations": annotations}}


# What is asked, and (code, field) of the one error in it.
ERRORS = {
    "name-long": (named("a" * 60), ("InvalidName", "name")),
    "name-of-the-host": (named("a" * 47), ("InvalidName", "name")),
    "name-upper": (named("Iris"), ("InvalidName", "name")),
    "nothing": (golden.service(model=False), ("InvalidConfig", "model")),
    "unknown-runtime": (golden.service(runtime="kserve-nothing"), ("UnknownRuntime", "config.runtime")),
    "no-format": (
        replace(golden.service(), model=replace(golden.artifact(), framework=None)),
        ("UnsupportedModel", "model"),
    ),
    "protocol": (
        replace(golden.service("mlflow", "v2"), protocol="v1"),
        ("UnsupportedModel", "config.protocol_version"),
    ),
    "grpc-v1": (
        replace(golden.service("python", "v2"), protocol="grpc-v1"),
        ("UnsupportedModel", "config.protocol_version"),
    ),
    "mode": (config(deployment_mode="Bogus"), ("UnknownMode", "config.deployment_mode")),
    "canary-share": (config(canary={"traffic_percent": 150}), ("InvalidConfig", "config.canary")),
    "canary-sum": (
        config(canary=[{"percent": 60, "name": "a"}, {"percent": 60, "name": "b"}]),
        ("InvalidConfig", "config.canary"),
    ),
    "canary-name": (
        config(canary=[{"percent": 1, "name": "a"}, {"percent": 1, "name": "a"}]),
        ("InvalidConfig", "config.canary"),
    ),
    "canary-in-standard": (
        config(predictor={"canary_traffic_percent": 10}),
        ("NoEffect", "config.predictor.canary_traffic_percent"),
    ),
    "requests-over-limits": (
        config(requests={"memory": "2Gi"}, limits={"memory": "2G"}),
        ("RequestsOverLimits", "config.requests"),
    ),
    "amount": (config(limits={"cpu": "many"}), ("InvalidConfig", "config.limits")),
    "no-image": (
        config(predictor={"container": {"command": ["serve"]}}),
        ("NoImage", "config.predictor.container"),
    ),
    "explainer-without-image": (config(explainer={"min_replicas": 1}), ("NoImage", "config.explainer")),
    "explain-over-v2": (
        golden.service(protocol="v2", config={"explainer": {"container": IMAGE}}),
        ("ExplainOverV2", "config.protocol_version"),
    ),
    "storage-uri": (config(storage={"uri": "/models/a"}), ("InvalidStorageUri", "config.storage.uri")),
    "storage-rok": (config(storage={"uri": "rok:kale:b"}), ("InvalidStorageUri", "config.storage.uri")),
    "storage-scheme": (config(storage={"uri": "ftp://a/b"}), ("InvalidStorageUri", "config.storage.uri")),
    "misspelt": (config(predictor={"storageURI": "s3://a"}), ("UnknownField", "config.predictor.storageURI")),
    "two-implementations": (
        config(predictor={"sklearn": {"storageUri": "s3://a/b"}}),
        ("UnknownField", "config.predictor.sklearn"),
    ),
    "label": (config(labels={"a": "x" * 64}), ("InvalidLabel", "config.labels")),
    "label-key": (config(labels={"a b": "x"}), ("InvalidLabel", "config.labels")),
    "metric": (config(scale_metric="luck"), ("InvalidConfig", "config.scale_metric")),
    "metric-of-knative": (
        config(deployment_mode="Knative", scale_metric="cpu"),
        ("InvalidConfig", "config.scale_metric"),
    ),
    "metric-of-a-component": (
        config(deployment_mode="Serverless", predictor={"scaleMetric": "memory"}),
        ("InvalidConfig", "config.predictor.scale_metric"),
    ),
    "metric-of-knatives-pods": (
        config(
            deployment_mode="Knative",
            scale_metric="rps",
            annotations={"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev"},
        ),
        ("InvalidConfig", "config.scale_metric"),
    ),
    "strategy-of-knative": (
        config(deployment_mode="Knative", predictor={"deployment_strategy": {"type": "Recreate"}}),
        ("InvalidConfig", "config.predictor.deployment_strategy"),
    ),
    "canary-predictor": (
        config(canary=[{"percent": 10, "predictor": "v2"}]),
        ("InvalidConfig", "config.canary"),
    ),
    "batcher": (config(batcher={"max_batch": 1}), ("UnknownField", "config.batcher")),
    "logger": (config(logger={"mode": "some"}), ("InvalidConfig", "config.logger")),
    "host-path": (
        config(predictor={"volumes": [{"name": "h", "host_path": {"path": "/"}}]}),
        ("HostAccess", "config.predictor"),
    ),
    "privileged": (
        config(transformer={"container": {**IMAGE, "security_context": {"privileged": True}}}),
        ("HostAccess", "config.transformer"),
    ),
    "host-network": (config(predictor={"host_network": True}), ("HostAccess", "config.predictor")),
    "two-transformers": (
        golden.service(config={"transformer": {"container": IMAGE}}, transformer=True),
        ("InvalidConfig", "config.transformer.container"),
    ),
}


@pytest.mark.parametrize("case", sorted(ERRORS))
def test_a_mistake_is_said_beside_its_field_with_a_fix(case):
    asked, wanted = ERRORS[case]
    found = [one for one in said(asked) if one.severity == "error"]
    assert [(one.code, one.field) for one in found] == [wanted]
    assert found[0].message.endswith((".", ")"))
    assert len(found[0].message) < 400


def test_nothing_is_said_of_a_service_that_is_right():
    assert said(golden.service(), listing=["kale.json", "model.joblib"]) == []


def test_what_is_there_in_the_other_mode_cannot_change():
    (found,) = said(golden.service(), NEWEST, [other("Serverless")])
    assert (found.code, found.severity, found.field) == ("ModeChanged", "error", "config.deployment_mode")
    assert "in Knative mode" in found.message
    assert said(golden.service(), NEWEST, [other("RawDeployment")]) == []


def test_a_mode_that_the_cluster_has_not_is_refused():
    asked = config(deployment_mode="Knative")
    (found,) = said(asked, replace(NEWEST, modes=("Standard",)))
    assert (found.code, found.field) == ("ModeMissing", "config.deployment_mode")


def test_our_server_needs_its_image():
    (found,) = said(golden.service("python"), replace(NEWEST, image=None))
    assert (found.code, found.field) == ("NoImage", "model")
    (found,) = said(golden.service(transformer=True), replace(NEWEST, image=None))
    assert (found.code, found.field) == ("NoImage", "transformer")


def test_files_that_the_server_would_not_load_are_refused():
    (found,) = said(golden.service(), listing=["kale.json", "model.skops"])
    assert (found.code, found.field) == ("UnreadableModel", "config.runtime")
    assert "kale-built-in" in found.fix


def test_another_major_version_than_the_runtimes_is_a_warning():
    asked = golden.service("xgboost", "v1")
    packages = {"packages": {"xgboost": "3.0.1"}}
    asked = replace(asked, model=replace(asked.model, environment=packages))
    (found,) = said(asked)
    assert (found.code, found.severity) == ("VersionSkew", "warning")
    assert "saved with xgboost 3.0.1, and kserve-xgbserver serves 2" in found.message


class TestSignatureThatIsTooLong:
    """Linux takes no longer variable than 128 KiB, and our server is told of its artifact by one."""

    def of(self, count, runtime="kale-built-in", **more):
        names = tuple(TensorSpec(f"column {number:05}", "FP64", (-1,)) for number in range(count))
        model = replace(
            golden.artifact(),
            signature=Signature(layout="columns", inputs=names, input_example=[[0.0] * count]),
        )
        return replace(golden.service("sklearn", "v1", runtime, **more), model=model)

    def told(self, asked):
        (container,) = golden.built(asked, NEWEST)["spec"]["predictor"]["containers"]
        (value,) = [one["value"] for one in container["env"] if one["name"] == "KALE_SERVE_ABOUT"]
        return json.loads(value)

    def test_it_is_left_out_and_said(self):
        asked = self.of(5000)
        (found,) = said(asked)
        assert (found.code, found.severity, found.field) == ("SignatureLeftOut", "warning", "model")
        assert "signature" not in self.told(asked)
        assert self.told(asked)["framework"] == "sklearn"

    def test_one_that_fits_is_told(self):
        asked = self.of(100)
        assert said(asked) == []
        assert len(self.told(asked)["signature"]["inputs"]) == 100

    def test_kserves_own_server_is_told_nothing(self):
        assert said(self.of(5000, "kserve-sklearnserver")) == []

    def test_nor_is_the_users_own_image(self):
        given = {"predictor": {"container": IMAGE}}
        assert said(replace(golden.service(config=given), model=self.of(5000).model)) == []


def own_runtime(**more):
    return {
        "metadata": {"name": "own", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "supportedModelFormats": [{"name": "xgboost", "version": "3", "autoSelect": True}],
            "protocolVersions": ["v1"],
            "containers": [{"name": "kserve-container"}],
            **more,
        },
    }


class TestRuntimesOfTheCluster:
    def said(self, asked, rows):
        runtime = next((one for one in rows if one.name == asked.runtime), None)
        return preflight(asked, runtime, NEWEST, rows=rows)

    def test_one_that_it_lacks_is_said_with_those_that_serve_there(self):
        (found,) = self.said(golden.service("xgboost", "v1"), rows_of([own_runtime()], []))
        assert (found.code, found.severity, found.field) == ("UnknownRuntime", "error", "config.runtime")
        assert found.message == "The cluster has no runtime 'kserve-xgbserver'."
        assert found.fix.startswith("xgboost over v1 is served there by own, kale-built-in;")

    def test_one_that_is_disabled_is_none(self):
        asked = golden.service("xgboost", "v1", "own")
        (found,) = self.said(asked, rows_of([own_runtime(disabled=True)], []))
        assert (found.code, found.field) == ("UnknownRuntime", "config.runtime")
        assert self.said(asked, rows_of([own_runtime()], [])) == []

    def test_where_none_takes_the_format_by_itself_it_is_said_which_can(self):
        asked = replace(golden.service("onnx", "v2"), runtime="", protocol="v1")
        (found,) = self.said(asked, golden.ROWS)
        assert (found.code, found.field) == ("UnsupportedModel", "config.protocol_version")
        assert found.fix == "Name one: ServeConfig(runtime='kale-built-in')."
        asked = replace(golden.service("tensorflow", "v1"), runtime="", protocol="grpc-v1")
        (found,) = self.said(asked, rows_of([], []))
        assert "v1, v2, grpc-v2" in found.fix

    def test_its_own_versions_count(self):
        asked = golden.service("xgboost", "v1", "own")
        packages = {"packages": {"xgboost": "3.0.1"}}
        asked = replace(asked, model=replace(asked.model, environment=packages))
        assert self.said(asked, rows_of([own_runtime()], [])) == []
        asked = replace(asked, model=replace(asked.model, environment={"packages": {"xgboost": "2.1"}}))
        (found,) = self.said(asked, rows_of([own_runtime()], []))
        assert (found.code, found.severity) == ("VersionSkew", "warning")
        assert "saved with xgboost 2.1, and own serves 3" in found.message

    @pytest.mark.parametrize(("version", "codes"), [("3", []), ("2", ["UnsupportedModel"])])
    def test_a_version_that_is_asked_for_must_be_one_of_them(self, version, codes):
        given = {"predictor": {"model_format": {"name": "xgboost", "version": version}}}
        asked = golden.service("xgboost", "v1", "own", config=given)
        found = self.said(asked, rows_of([own_runtime()], []))
        assert [one.code for one in found] == codes


class TestNamesThatKServeMakes:
    """As its recordings have them: hosts, labels of pods; Knative's revisions."""

    def of(self, name, mode, namespace="team-a", **more):
        about = replace(NEWEST, namespace=namespace, default_mode=mode)
        asked = replace(golden.service(**more), key=ServiceKey(namespace, name))
        return [(one.code, one.severity) for one in said(asked, about)]

    @pytest.mark.parametrize(
        ("mode", "namespace", "longest"),
        [
            # <name>-predictor-<namespace> is the host name.
            ("Standard", "team-a", 63 - len("-predictor-team-a")),
            # isvc.<name>-predictor is a label of the pods.
            ("Standard", "a", 63 - len("isvc.-predictor")),
            # <name>-<namespace>; the predictor's own name stands before a dot.
            ("Knative", "a-namespace-of-thirty-letters-x", 63 - len("-a-namespace-of-thirty-letters-x")),
            # <name>-predictor-00001
            ("Knative", "team-a", 63 - len("-predictor-00001")),
        ],
    )
    def test_the_longest_name_that_fits(self, mode, namespace, longest):
        assert self.of("a" * longest, mode, namespace) == []
        assert self.of("a" * (longest + 1), mode, namespace) == [("InvalidName", "error")]

    def test_the_component_with_the_longest_name_counts(self):
        longest = 63 - len("-transformer-team-a")
        assert self.of("a" * longest, "Standard", transformer=True) == []
        assert self.of("a" * (longest + 1), "Standard", transformer=True) == [("InvalidName", "error")]

    def test_a_canarys_name_counts(self):
        canary = {"canary": [{"percent": 10, "predictor": {"name": "a-long-name-of-a-canary"}}]}
        assert self.of("a" * 25, "Standard", config=canary) == [("InvalidName", "error")]
        assert self.of("a" * 24, "Standard", config=canary) == []

    def test_where_the_mode_is_not_known_it_is_a_warning(self):
        assert self.of("a" * 47, None) == [("InvalidName", "warning")]


def test_knatives_canary_is_one_share():
    asked = config(canary=[{"percent": 1}, {"percent": 2}])
    assert [one.code for one in said(asked, KNATIVE)] == ["InvalidConfig"]
    assert said(config(canary={"percent": 10}), KNATIVE) == []
    unknown = replace(NEWEST, default_mode=None)
    assert [one.code for one in said(config(canary={"percent": 10}), unknown)] == ["UnknownMode"]


def test_reaching_the_node_is_allowed_where_it_is_asked_for_twice():
    given = {"predictor": {"host_network": True}}
    allowed = {"annotations": {"kale-serve-lab/allow-host-access": "true"}}
    assert [one.code for one in said(config(**given))] == ["HostAccess"]
    assert said(config(**given, **allowed)) == []


def test_of_pod_defaults_it_is_said_what_is_left_out_and_what_is_refused():
    (found,) = said(golden.service(), replace(NEWEST, pod_defaults=golden.POD_DEFAULTS))
    assert (found.code, found.severity) == ("PodDefaultInPart", "warning")
    bad = {"metadata": {"name": "bad"}, "spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}
    (found,) = said(golden.service(), replace(NEWEST, pod_defaults=(bad,)))
    assert (found.code, found.field) == ("HostAccess", "propagate_configurations")


@functools.cache
def schemas():
    return Crds("0.20")


@pytest.mark.skipif(
    not SHARED.is_dir() and os.environ.get("CI") != "true",
    reason="KServe's CRDs are not beside the repository",
)
@pytest.mark.parametrize("seed", range(40))
def test_whatever_passes_preflight_is_taken_by_the_schema(seed):
    """Random unions of the configurations and of the mistakes: either something is said, or the schema takes the object."""
    dice = random.Random(seed)
    pool = [*golden.CONFIGS.values(), *(asked.config.to_json() for asked, _ in ERRORS.values())]
    given: dict = {"deployment_mode": dice.choice(golden.MODES)}
    for one in dice.sample(pool, 4):
        for key, value in one.items():
            merged = isinstance(value, dict) and isinstance(given.get(key), dict)
            given[key] = {**given[key], **value} if merged else value
    framework, protocol = dice.choice([("sklearn", "v1"), ("python", "v1"), ("onnx", "v2")])
    asked = golden.service(framework, protocol, config=given)
    if [one for one in said(asked) if one.severity == "error"]:
        return
    made = golden.built(asked, NEWEST)
    resource = BY_KIND[(API_VERSION, KIND)]
    schemas().decode(resource, made, "Strict", defaults=False)
    assert schemas().causes(resource, made) == []
