"""What is built is what stands in golden/, and each KServe version's own schema takes it, with nothing unknown in it."""

from __future__ import annotations

import functools
import os

import golden
import pytest
import yaml
from fake_cluster.crds import SHARED, Crds
from fake_cluster.kinds import BY_KIND
from fake_cluster.webhooks import MODE, SERVICES, Webhooks

from kale_serve_lab.serving.kserve.build import API_VERSION, KIND, to_yaml
from kale_serve_lab.serving.kserve.drift import drift
from kale_serve_lab.serving.kserve.preflight import preflight

CASES = {path: (version, asked, about) for version, path, asked, about in golden.cases()}
RESOURCE = BY_KIND[(API_VERSION, KIND)]
needs_schemas = pytest.mark.skipif(
    not SHARED.is_dir() and os.environ.get("CI") != "true",
    reason="KServe's CRDs are not beside the repository",
)


@functools.cache
def schemas(version):
    return Crds(version)


def accepted(version, obj):
    """What is wrong with the object by that version's schema; unknown fields are refused."""
    found, _ = schemas(version).decode(RESOURCE, obj, "Strict", defaults=False)
    assert found == obj
    return schemas(version).causes(RESOURCE, obj)


def test_every_golden_file_has_a_case():
    there = {path.relative_to(golden.FOLDER).as_posix() for path in golden.FOLDER.rglob("*.yaml")}
    assert there == set(CASES)


@pytest.mark.parametrize("path", sorted(CASES))
def test_the_object_is_the_golden_one(path):
    _, asked, about = CASES[path]
    made = golden.built(asked, about)
    assert to_yaml(made) == (golden.FOLDER / path).read_text()
    assert yaml.safe_load(to_yaml(made)) == made
    assert drift(made, made) == ()


@needs_schemas
@pytest.mark.parametrize("path", sorted(CASES))
def test_the_schema_takes_it(path):
    version, _, _ = CASES[path]
    assert accepted(version, yaml.safe_load((golden.FOLDER / path).read_text())) == []


@pytest.mark.parametrize("path", sorted(CASES))
def test_the_webhooks_take_it(path):
    version, _, _ = CASES[path]
    webhooks = Webhooks(version)
    made = yaml.safe_load((golden.FOLDER / path).read_text())
    filled = webhooks.default(SERVICES, made, None)
    webhooks.validate(SERVICES, filled, None)
    # Its mode is the one that was asked for, by this version's own name.
    assert filled["metadata"]["annotations"][MODE] == made["metadata"]["annotations"][MODE]


@pytest.mark.parametrize("path", sorted(CASES))
def test_preflight_says_nothing_against_it(path):
    _, asked, about = CASES[path]
    found = preflight(asked, golden.BY_NAME.get(asked.runtime), about)
    assert [one for one in found if one.severity == "error"] == []


@needs_schemas
def test_the_schema_refuses_what_is_misspelt_or_of_a_wrong_type():
    _, asked, about = CASES["0.20/Standard/scaling.yaml"]
    made = golden.built(asked, about)
    made["spec"]["predictor"]["maxReplicas"] = "four"
    assert [cause[1] for cause in accepted("0.20", made)] == ["spec.predictor.maxReplicas"]
    made["spec"]["predictor"]["maxReplica"] = 4
    with pytest.raises(Exception, match="maxReplica"):
        accepted("0.20", made)


@needs_schemas
def test_standards_canaries_are_unknown_before_0_20():
    _, asked, about = CASES["0.20/Standard/canary-kserve-sklearnserver.yaml"]
    with pytest.raises(Exception, match="canary"):
        accepted("0.17", golden.built(asked, about))
    older = golden.about((0, 17))
    found = [one for one in preflight(asked, golden.BY_NAME[asked.runtime], older) if one.severity == "error"]
    assert [(one.code, one.field) for one in found] == [("NoEffect", "config.canary")]
