"""The names of fields that are known here are those of KServe's own schemas, version by version."""

from __future__ import annotations

import functools
import os

import golden
import pytest
from fake_cluster.crds import SHARED, Crds
from fake_cluster.webhooks import SERVICES

from kale_serve_lab.serving.kserve.containers import (
    COMPONENT_FIELDS,
    CONTAINER_FIELDS,
    LATER_FIELDS,
    MODEL_FIELDS,
    OF_PREDICTOR_ONLY,
    OWN_FIELDS,
)
from kale_serve_lab.serving.kserve.fields import _BATCHER, _LOGGER, _LOGGER_LATER
from kale_serve_lab.serving.kserve.preflight import preflight

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir() and os.environ.get("CI") != "true",
    reason="KServe's CRDs are not beside the repository",
)
COMPONENTS = ("predictor", "transformer", "explainer")
# They are written by us alone, or are older forms of the model.
NOT_ASKED_FOR = {
    "model", "resources", "sklearn", "xgboost", "lightgbm", "pmml", "tensorflow", "pytorch", "onnx", "triton", "paddle",
    "huggingface", "containers", "storageUris", "art",
}  # fmt: skip
OF_MODEL_BY_US = {
    "name",
    "runtime",
    "protocolVersion",
    "storageUri",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
}


@functools.cache
def spec(version):
    return Crds(version).schema(SERVICES)["properties"]["spec"]["properties"]


def fields(version, component):
    return set(spec(version)[component]["properties"])


def later(version):
    """Those that the version lacks."""
    return {name for name, (lacks, _) in LATER_FIELDS.items() if golden.VERSIONS[version] <= lacks}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("version", golden.VERSIONS)
def test_a_components_fields(version, component):
    known = (COMPONENT_FIELDS | set(LATER_FIELDS)) - later(version) - MODEL_FIELDS
    if component != "predictor":
        known -= OF_PREDICTOR_ONLY
    assert known - fields(version, component) == set()
    assert fields(version, component) - known - OWN_FIELDS - NOT_ASKED_FOR == set()


@pytest.mark.parametrize("version", golden.VERSIONS)
def test_a_containers_fields(version):
    model = set(spec(version)["predictor"]["properties"]["model"]["properties"])
    assert (CONTAINER_FIELDS | MODEL_FIELDS) - later(version) - model == set()
    assert model - CONTAINER_FIELDS - MODEL_FIELDS - OF_MODEL_BY_US == set()
    container = set(spec(version)["predictor"]["properties"]["containers"]["items"]["properties"])
    assert CONTAINER_FIELDS - container == set()


@pytest.mark.parametrize("version", golden.VERSIONS)
def test_what_stands_beside_the_server(version):
    predictor = spec(version)["predictor"]["properties"]
    assert set(predictor["batcher"]["properties"]) == _BATCHER
    newer = _LOGGER_LATER if golden.VERSIONS[version] >= (0, 17) else set()
    assert set(predictor["logger"]["properties"]) == _LOGGER | newer


@pytest.mark.parametrize("name", sorted(LATER_FIELDS))
@pytest.mark.parametrize("version", golden.VERSIONS)
def test_preflight_says_of_a_field_that_the_version_lacks_it(version, name):
    asked = golden.service(config={"predictor": {name: True}})
    found = preflight(asked, golden.BY_NAME[asked.runtime], golden.about(golden.VERSIONS[version]))
    unknown = [one for one in found if one.code == "UnknownField"]
    assert [one.field for one in unknown] == ([f"config.predictor.{name}"] if name in later(version) else [])


@pytest.mark.parametrize("name", sorted(OF_PREDICTOR_ONLY))
def test_the_predictors_own_fields_are_no_transformers(name):
    asked = golden.service(config={"transformer": {"container": {"image": "example.com/t:1"}, name: True}})
    found = preflight(asked, golden.BY_NAME[asked.runtime], golden.about((0, 20)))
    assert [one.field for one in found if one.code == "UnknownField"] == [f"config.transformer.{name}"]
