"""Rows from a cluster's ServingRuntimes: chosen as KServe chooses."""

from __future__ import annotations

import os
import random

import pytest
import yaml
from fake_cluster.crds import SHARED

from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.serving.config import PROTOCOLS
from kale_serve_lab.serving.kserve.cluster_runtimes import rows_of
from kale_serve_lab.serving.kserve.versions import _SERVED
from kale_serve_lab.serving.runtimes import BUILT_IN, RUNTIMES, select

FOLDER = SHARED / "kserve-v0.20.0" / "runtimes"
needs_runtimes = pytest.mark.skipif(
    not FOLDER.is_dir() and os.environ.get("CI") != "true",
    reason="KServe's runtimes are not beside the repository",
)
FORMATS = ("sklearn", "xgboost", "lightgbm", "pytorch", "tensorflow", "onnx", "pmml", "mlflow", "python")


def shipped():
    return [yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))]


def runtime(name, *formats, protocols=("v1", "v2"), created="2026-01-01T00:00:00Z", **spec):
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {
            "supportedModelFormats": [
                {"name": one, "autoSelect": True} if isinstance(one, str) else one for one in formats
            ],
            "protocolVersions": list(protocols),
            "containers": [{"name": "kserve-container", "image": f"example.com/{name}:1"}],
            **spec,
        },
    }


def sklearn(priority):
    return {"name": "sklearn", "autoSelect": True, "priority": priority}


def chosen(model_format, protocol, namespaced=(), cluster_wide=()):
    try:
        return select(model_format, protocol, None, rows_of(namespaced, cluster_wide)).name
    except UnsupportedModel:
        return None


class TestWhatKServeShips:
    @needs_runtimes
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("model_format", FORMATS)
    def test_is_chosen_as_from_our_table(self, model_format, protocol):
        def of(rows):
            try:
                return select(model_format, protocol, None, rows).name
            except UnsupportedModel as error:
                return error.message

        assert of(rows_of([], shipped())) == of(rows_of(None, None))

    @needs_runtimes
    def test_has_the_formats_protocols_and_priorities_of_our_table(self):
        read = {row.name: row for row in rows_of([], shipped())}
        for row in RUNTIMES:
            if row.name in (BUILT_IN, "kserve-torchserve"):
                continue
            there = {one.format: one for one in read[row.name].formats}
            for one in row.formats:
                if one.format not in there:
                    # What Triton's Python backend does on this machine only.
                    assert (row.name, one.auto_select) == ("kserve-tritonserver", False)
                    continue
                found = there[one.format]
                # A priority matters to what is chosen by itself only.
                if one.auto_select:
                    assert (row.name, one.format, found.priority) == (row.name, one.format, one.priority)
                assert set(one.protocols) == set(found.protocols)
                assert found.auto_select == one.auto_select

    @needs_runtimes
    def test_torchserve_and_openvino_are_taken_by_name_only(self):
        rows = rows_of([], shipped())
        assert select("pytorch", "v2", None, rows).name == BUILT_IN
        assert select("pytorch", "v2", "kserve-torchserve", rows).name == "kserve-torchserve"
        assert select("onnx", "v2", "kserve-openvino", rows).name == "kserve-openvino"
        assert select("onnx", "v2", None, rows).name == "kserve-tritonserver"

    @needs_runtimes
    def test_says_its_versions_and_its_image(self):
        row = next(one for one in rows_of([], shipped()) if one.name == "kserve-mlserver")
        assert {one.format: one.versions for one in row.formats} == {
            "sklearn": ("0", "1"),
            "xgboost": ("1", "2"),
            "lightgbm": ("3", "4"),
            "mlflow": ("1", "2"),
        }
        assert (row.image, row.source) == ("mlserver:replace", "cluster")


@needs_runtimes
def test_the_versions_that_are_written_down_are_those_that_kserve_ships():
    rows = {row.name: {one.format: one.versions for one in row.formats} for row in rows_of([], shipped())}
    for name, formats in _SERVED.items():
        for model_format, majors in formats.items():
            assert (name, model_format, rows[name][model_format]) == (name, model_format, majors)


def test_the_namespaces_come_before_the_clusters_of_a_higher_priority():
    assert chosen("sklearn", "v1", [runtime("own", sklearn(1))], [runtime("big", sklearn(9))]) == "own"


def test_the_highest_priority_and_last_those_without_one():
    there = [runtime("a", "sklearn"), runtime("b", sklearn(1)), runtime("c", sklearn(2))]
    assert chosen("sklearn", "v1", (), there) == "c"
    assert chosen("sklearn", "v1", (), there[:2]) == "b"


def test_then_by_protocol_age_and_name():
    both = runtime("z", "sklearn", protocols=("v2", "v1"), created="2025-01-01T00:00:00Z")
    only = runtime("a", "sklearn", protocols=("v2",), created="2026-06-01T00:00:00Z")
    none = runtime("b", "sklearn", protocols=(), created="2026-07-01T00:00:00Z")
    assert chosen("sklearn", "v2", (), [none, only, both]) == "z"
    assert chosen("sklearn", "v2", (), [none, only]) == "a"
    assert chosen("sklearn", "grpc-v1", (), [none, only]) == "b"
    older = runtime("a", "sklearn")
    younger = runtime("z", "sklearn", created="2026-02-01T00:00:00Z")
    assert chosen("sklearn", "v1", (), [older, younger]) == "z"
    assert chosen("sklearn", "v1", (), [runtime("y", "sklearn"), older]) == "a"


@pytest.mark.parametrize("spec", [{"disabled": True}, {"multiModel": True}], ids=str)
def test_a_closed_one_is_none_and_hides_the_clusters_of_its_name(spec):
    rows = rows_of(
        [runtime("one", "sklearn", **spec)], [runtime("one", "sklearn"), runtime("two", "sklearn")]
    )
    assert [row.name for row in rows] == ["two", BUILT_IN]
    with pytest.raises(UnsupportedModel, match="no runtime 'one'"):
        select("sklearn", "v1", "one", rows)


def test_one_of_several_nodes_or_without_auto_select_is_taken_by_name():
    worker = runtime("nodes", sklearn(9), workerSpec={"pipelineParallelSize": 2})
    named = runtime("named", {"name": "sklearn", "priority": 8})
    rows = rows_of([], [worker, named, runtime("usual", sklearn(1))])
    assert select("sklearn", "v1", None, rows).name == "usual"
    assert select("sklearn", "v1", "nodes", rows).name == "nodes"
    assert select("sklearn", "v1", "named", rows).name == "named"


def test_what_nothing_there_serves_is_ours():
    rows = rows_of([], [])
    assert {select(one, "v2", None, rows).name for one in FORMATS} == {BUILT_IN}
    assert chosen("sklearn", "v1", [runtime("own", "sklearn")]) == "own"
    assert select("sklearn", "v1", BUILT_IN, rows_of([runtime("own", "sklearn")], [])).name == BUILT_IN


def test_what_cannot_be_read_is_taken_as_kserve_ships_it():
    rows = rows_of(None, None)
    assert select("sklearn", "v2", None, rows).name == "kserve-mlserver"
    rows = rows_of([runtime("own", "sklearn"), runtime("kserve-xgbserver", "sklearn")], None)
    assert select("sklearn", "v2", None, rows).name == "kserve-xgbserver"
    assert select("xgboost", "v1", None, rows_of(None, None)).name == "kserve-xgbserver"
    with pytest.raises(UnsupportedModel):
        select("xgboost", "v1", "kserve-xgbserver", rows)


def as_kserve(namespaced, cluster_wide, model_format, protocol):
    """`ModelSpec.GetSupportingRuntimes` of KServe, as it stands in its source."""

    def order(one):
        listed = one["spec"]["protocolVersions"]
        return min((PROTOCOLS_BY_NUMBER.index(name) for name in listed), default=len(PROTOCOLS_BY_NUMBER))

    def priority(one):
        for found in one["spec"]["supportedModelFormats"]:
            if found["name"] == model_format:
                return found.get("priority")
        return None

    def supporting(objects):
        listed = sorted(objects, key=lambda one: one["metadata"]["name"])
        listed = sorted(listed, key=lambda one: one["metadata"]["creationTimestamp"], reverse=True)
        listed = sorted(listed, key=order)
        found = [
            one
            for one in listed
            if not one["spec"].get("disabled")
            and not one["spec"].get("multiModel")
            and "workerSpec" not in one["spec"]
            and any(
                each["name"] == model_format and each.get("autoSelect")
                for each in one["spec"]["supportedModelFormats"]
            )
            and (not one["spec"]["protocolVersions"] or protocol in one["spec"]["protocolVersions"])
        ]
        return sorted(found, key=lambda one: -(priority(one) or 0))

    return [one["metadata"]["name"] for one in supporting(namespaced) + supporting(cluster_wide)]


PROTOCOLS_BY_NUMBER = ("v1", "v2", "grpc-v1", "grpc-v2")


@pytest.mark.parametrize("seed", range(20))
def test_any_runtimes_are_chosen_from_as_kserve_does(seed):
    at_random = random.Random(seed)

    def made(name):
        spec = {}
        if at_random.random() < 0.1:
            spec["disabled"] = True
        if at_random.random() < 0.1:
            spec["multiModel"] = True
        if at_random.random() < 0.1:
            spec["workerSpec"] = {"pipelineParallelSize": 2}
        formats = [
            {"name": one, "version": str(at_random.randint(1, 2)), "autoSelect": at_random.random() < 0.7}
            | ({"priority": at_random.randint(1, 3)} if at_random.random() < 0.7 else {})
            for one in at_random.choices(["sklearn", "xgboost", "made-up"], k=at_random.randint(1, 4))
        ]
        protocols = at_random.sample(PROTOCOLS_BY_NUMBER, at_random.randint(0, 3))
        created = f"2026-01-0{at_random.randint(1, 3)}T00:00:00Z"
        return runtime(name, *formats, protocols=protocols, created=created, **spec)

    for _ in range(30):
        namespaced = [made(f"n{number}") for number in range(at_random.randint(0, 4))]
        cluster_wide = [made(f"c{number}") for number in range(at_random.randint(0, 6))]
        at_random.shuffle(cluster_wide)
        for model_format in ("sklearn", "made-up"):
            for protocol in PROTOCOLS_BY_NUMBER:
                wanted = as_kserve(namespaced, cluster_wide, model_format, protocol)
                found = chosen(model_format, protocol, namespaced, cluster_wide)
                if wanted:
                    assert found == wanted[0]
                else:
                    assert found in (None, BUILT_IN)
