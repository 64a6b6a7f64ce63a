"""Names as KServe's webhook judges them; configurations that are refused by name; values that survive JSON."""

from __future__ import annotations

import json

import pytest

from kale_serve_lab.errors import InvalidConfig, InvalidName, UnsupportedModel
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.names import check_service_name, derive_service_name
from kale_serve_lab.serving.preflight import preflight
from kale_serve_lab.serving.runtimes import select
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

BAD = [
    "",
    "A",
    "1a",
    "-a",
    "a-",
    "a.b",
    "a_b",
    "a/b",
    "../x",
    "%2e",
    "a\n",
    "ａ",
    "a\0",
    "a" * 64,
    "a\u202e",
    None,
    3,
]


@pytest.mark.parametrize("name", BAD)
def test_names_that_kserve_refuses(name) -> None:
    with pytest.raises(InvalidName) as caught:
        check_service_name(name)
    assert caught.value.hint
    assert caught.value.message.isascii()


def test_name_and_namespace_fit_one_label() -> None:
    assert check_service_name("a" * 55, "default")
    with pytest.raises(InvalidName, match="55 fit"):
        check_service_name("a" * 56, "default")


@pytest.mark.parametrize(
    "text", ["Breast Cancer (RF)", "1st", "", "é", "RandomForestClassifier", "x" * 200, "--"]
)
def test_every_derived_name_is_a_name(text: str) -> None:
    assert check_service_name(derive_service_name(text))
    assert derive_service_name("RandomForestClassifier") == "random-forest-classifier"


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ({"limit": {}}, "limit"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": 3}, "env"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"min_replicas": 2, "max_replicas": 1}, "min_replicas"),
        ({"protocol_version": "v9"}, "protocol_version"),
        ({"predictor": "x"}, "predictor"),
        ({"labels": {"a": 1}}, "labels.a"),
    ],
)
def test_configurations_that_cannot_be_meant_are_refused_by_name(value, subject) -> None:
    with pytest.raises(InvalidConfig) as caught:
        ServeConfig.from_value(value)
    assert caught.value.subject == subject


def test_a_components_own_variables_win() -> None:
    config = ServeConfig(env={"A": "1", "B": "2"}, predictor={"env": [{"name": "A", "value": "3"}]})
    assert config.component_env("predictor") == {"A": "3", "B": "2"}
    assert config.component_env("transformer") == {"A": "1", "B": "2"}
    assert ServeConfig.from_value(json.loads(json.dumps(config.to_json()))) == config


def test_a_service_survives_json() -> None:
    ref = ArtifactRef(1, "kale.Model", "iris", "1", "u", "d", "sklearn", environment={"python": "/no/python"})
    service = InferenceService(
        ServiceKey("default", "iris"), 2, ref, None, ServeConfig(timeout=5), "kale-built-in", "v1", 3, 4
    )
    assert InferenceService.from_json(json.loads(json.dumps(service.to_json()))) == service


def test_preflight_names_what_would_not_start() -> None:
    ref = ArtifactRef(1, "kale.Model", "iris", "1", "u", "d", "fortran", environment={"python": "/no/python"})
    service = InferenceService(
        ServiceKey("default", "iris"),
        1,
        ref,
        None,
        ServeConfig(labels={"a": "b"}),
        "kale-built-in",
        "v2",
        0,
        0,
    )
    found = {(finding.severity, finding.field) for finding in preflight(service)}
    assert found >= {("error", "model"), ("warning", "config.labels")}


def test_a_runtime_that_is_not_there() -> None:
    assert select("sklearn", "v2").name == "kale-built-in"
    with pytest.raises(UnsupportedModel):
        select("sklearn", "v2", "triton")
