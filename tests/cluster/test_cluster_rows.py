"""Which runtimes a cluster has, read off it, and what is said of one that it lacks."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kserve_backend import CLAIM, clients, make_service, settings, volume

from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.rows import ROWS, ClusterRows
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.errors import ClusterUnavailable
from kale_serve_lab.serving.runtimes import BUILT_IN, select

del sys.path[0]


def runtime(name, kind="ServingRuntime", model_format="sklearn", **metadata):
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": {
            "supportedModelFormats": [{"name": model_format, "autoSelect": True, "priority": 1}],
            "protocolVersions": ["v1", "v2"],
            "containers": [{"name": "kserve-container", "image": "example.com/own:1"}],
        },
    }


def chosen(rows, protocol="v2"):
    return select("sklearn", protocol, None, rows).name


@pytest.fixture
def connected(fake, kubeconfig):
    found = connect(Settings(kubeconfig=str(kubeconfig)))
    yield found
    found.close()


def test_the_clusters_are_those_that_kserve_ships(connected):
    rows = ClusterRows(connected).of("default")
    assert chosen(rows) == "kserve-mlserver"
    assert {row.name for row in ROWS} <= {row.name for row in rows}


def test_the_namespaces_own_come_first_and_only_there(fake, connected):
    fake.put(runtime("own", namespace="default"))
    rows = ClusterRows(connected)
    assert chosen(rows.of("default")) == "own"
    assert chosen(rows.of("other")) == "kserve-mlserver"


def test_one_deployment_asks_once(fake, connected):
    rows = ClusterRows(connected)
    assert rows.of("default") == rows.of("default")
    asked = [one for one in fake.requests if "servingruntimes" in one.path]
    assert len(asked) == 2


def test_without_the_right_to_see_them_they_are_taken_as_kserve_ships_them(fake, connected):
    fake.deny("list", "clusterservingruntimes")
    fake.put(runtime("own", namespace="default"))
    assert chosen(ClusterRows(connected).of("default")) == "own"
    fake.deny("list", "servingruntimes")
    assert ClusterRows(connected).of("default") == ROWS


def test_an_api_server_that_is_away_is_no_empty_cluster(fake, connected):
    rows = ClusterRows(connected)
    fake.refuse()
    with pytest.raises(ClusterUnavailable):
        rows.of("default")


@pytest.fixture
def place(fake, kubeconfig):
    class Place:
        namespace = "default"

    Place.kubeconfig = kubeconfig
    with volume() as mounted:
        Place.settings = settings(Place, mounted)
        yield Place


def test_preflight_says_which_runtime_is_lacking_and_what_there_is(fake, place, home):
    fake.remove("clusterservingruntimes", "kserve-sklearnserver")

    async def run():
        async with clients(place)() as driver:
            rows = await driver.backend.runtimes("default")
            return rows, await driver.backend.check(make_service(home))

    rows, found = asyncio.run(run())
    assert "kserve-sklearnserver" not in {row.name for row in rows}
    (said,) = [one for one in found if one.severity == "error"]
    assert (said.code, said.field) == ("UnknownRuntime", "config.runtime")
    assert "kserve-mlserver" in said.fix
    assert BUILT_IN in said.fix


def test_a_runtime_of_the_namespace_is_applied_by_its_name(fake, place, home):
    fake.put(runtime("own", namespace="default"))
    claim = {"name": CLAIM, "namespace": "default"}
    fake.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": claim, "spec": {}})
    asked = dataclasses.replace(make_service(home), runtime="own")

    async def run():
        async with clients(place)() as driver:
            return await driver.backend.check(asked), await driver.backend.render(asked)

    found, made = asyncio.run(run())
    assert [one for one in found if one.severity == "error"] == []
    assert made["spec"]["predictor"]["model"]["runtime"] == "own"
