"""What is published is what KServe's servers load: models as they are submitted, the publishers, KServe's own storage code, and
the servers with the very args of their runtimes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cluster_pod import RUNTIMES, WILDCARD, Server, fetch, kserve_command, mlserver_command, own_command
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from kale_serve_lab import Model, paths
from kale_serve_lab.backends.kserve.rows import ROWS
from kale_serve_lab.backends.local.environments import Environments, Need
from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.kserve.build import ClusterAbout, build
from kale_serve_lab.serving.kserve.features import Features
from kale_serve_lab.serving.kserve.layout import layout, view_of
from kale_serve_lab.serving.need import need_of
from kale_serve_lab.serving.runtimes import select
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey
from kale_serve_lab.stores.pvc import PvcPublisher, pvc_settings
from kale_serve_lab.stores.s3_client import s3_settings
from kale_serve_lab.stores.s3_secret import secret_annotations
from tests.stores.publishing_contract import DIGEST, Teller, modelled, never
from tests.stores.s3_server import KEY
from tests.stores.s3_site import *  # noqa: F403
from tests.stores.s3_site import SECRET

pytestmark = [
    # An environment may have to be made first.
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not RUNTIMES.is_dir() and os.environ.get("CI") != "true",
        reason="KServe's runtimes are not beside the repository",
    ),
]

X, Y = load_iris(return_X_y=True)
ABOUT = ClusterAbout(Features.of((0, 20)), "example.com/kale-serve:1", "team", default_mode="Standard")
INITIALIZER = Need("kserve-storage", ("kserve-storage==0.20.0",))
PMML = """<?xml version="1.0"?>
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">
  <Header/>
  <DataDictionary>
    <DataField name="a" optype="continuous" dataType="double"/>
    <DataField name="b" optype="continuous" dataType="double"/>
    <DataField name="y" optype="continuous" dataType="double"/>
  </DataDictionary>
  <RegressionModel functionName="regression">
    <MiningSchema><MiningField name="a"/><MiningField name="b"/><MiningField name="y" usageType="target"/></MiningSchema>
    <RegressionTable intercept="1.5">
      <NumericPredictor name="a" coefficient="2"/><NumericPredictor name="b" coefficient="-3"/>
    </RegressionTable>
  </RegressionModel>
</PMML>
"""


def sklearn_model(folder):
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    return Model(model, name="iris"), X[::30], model.predict(X[::30])


def xgboost_model(folder):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=4, n_jobs=1).fit(X, Y)
    return Model(model, name="iris"), X[::30], model.predict(X[::30])


def lightgbm_model(folder):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=4, n_jobs=1, verbose=-1).fit(X, Y)
    return Model(model, name="iris"), X[::30], model.predict(X[::30])


def pmml_model(folder):
    file = folder / "line.pmml"
    file.write_text(PMML)
    rows = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    return Model(artifact_uri=str(file), name="line"), rows, rows @ [2, -3] + 1.5


MODELS = {"sklearn": sklearn_model, "xgboost": xgboost_model, "lightgbm": lightgbm_model, "pmml": pmml_model}


def submitted(model):
    """The artifact as the daemon keeps it."""
    model.submit_artifact()
    found = ArtifactRef.from_json(Client().request("GET", f"/api/artifacts/{model.id}"))
    # Only the daemon opens its store; where a content lies in it does not change.
    folder = paths.data_dir() / "store" / "trees" / found.digest / "files"
    assert folder.is_dir()
    return replace(found, path=folder)


def service_of(artifact, runtime, protocol):
    chosen = select(artifact.framework, protocol, runtime, ROWS)
    key = ServiceKey("team", "served")
    return chosen, InferenceService(
        key, 1, artifact, None, ServeConfig(), chosen.name, protocol, 0, 0, "kserve"
    )


def entries_of(artifact, asked, view):
    listing = sorted(
        one.relative_to(artifact.path).as_posix() for one in artifact.path.rglob("*") if one.is_file()
    )
    assert "kale.json" in listing
    return layout(listing, artifact.framework, asked.runtime, view, asked.key.name)


def made(need):
    """The interpreter of an environment that is kept for the next run."""
    folder = Path(os.environ.get("KALE_SERVE_LAYOUT_ENVIRONMENTS") or ROOT / ".env-stamps" / "environments")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return asyncio.run(Environments(folder).ensure(need, lambda _: None)).python
    except KaleServeError as error:
        if error.code in ("EnvironmentFailed", "ProgramMissing") and os.environ.get("CI") != "true":
            pytest.skip(str(error))
        raise


@pytest.fixture
def stores(way, request, tmp_path):
    """Each kind of store: (publisher, what KServe's pod makes of its uri)."""

    def bucket():
        site = request.getfixturevalue("bucket")
        env = {
            "AWS_ENDPOINT_URL": site.settings["endpoint"],
            "S3_USE_HTTPS": "0",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        return site.publisher(), lambda uri: fetch(made(INITIALIZER), uri, tmp_path / "models", env)

    def claim():
        volume = tmp_path / "volume"
        volume.mkdir()
        publisher = PvcPublisher(pvc_settings("models", str(volume), "team/a"), needs_mount=False)
        # KServe mounts the claim's folder of that name.
        return publisher, lambda uri: volume / uri.removeprefix("pvc://models/")

    return {"bucket": bucket, "claim": claim}


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def run(port, argv, env):
            server = Server(port, argv, env, tmp_path / "server")
            stack.callback(server.close)
            return server

        yield run


def published(stores, store, artifact, chosen, asked):
    """The object, and the folder that the pod has at /mnt/models."""
    publisher, mounted = stores[store]()
    view = view_of(asked, "predictor")
    entries = entries_of(artifact, asked, view)
    digest = artifact.digest.rpartition(":")[2]
    placed = publisher.publish(artifact.path, digest, view, entries, lambda *_: None, lambda: False)
    obj = build(asked, chosen, {"predictor": placed}, ABOUT)
    (uri,) = _uris(obj)
    assert uri == placed.uri
    return obj, mounted(uri)


def _uris(obj):
    predictor = obj["spec"]["predictor"]
    if "model" in predictor:
        return [predictor["model"]["storageUri"]]
    return [one["value"] for one in predictor["containers"][0]["env"] if one["name"] == "STORAGE_URI"]


def predictions(server, protocol, rows):
    if protocol == "v1":
        status, answer = server.ask("POST", "/v1/models/served:predict", {"instances": rows.tolist()})
        assert status == 200, answer
        found = answer["predictions"]
        return np.ravel([list(one.values()) if isinstance(one, dict) else one for one in found])
    tensor = {"name": "x", "datatype": "FP64", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    status, answer = server.ask("POST", "/v2/models/served/infer", {"id": "1", "inputs": [tensor]})
    assert status == 200, answer
    return np.ravel(answer["outputs"][0]["data"])


SERVED = [
    ("sklearn", "v1", "kserve-sklearnserver", "bucket"),
    ("xgboost", "v1", "kserve-xgbserver", "bucket"),
    ("xgboost", "v2", "kserve-xgbserver", "claim"),
    ("lightgbm", "v1", "kserve-lgbserver", "claim"),
    ("pmml", "v1", "kserve-pmmlserver", "bucket"),
    ("sklearn", "v2", "kserve-mlserver", "claim"),
    ("xgboost", "v2", "kserve-mlserver", "bucket"),
    ("lightgbm", "v2", "kserve-mlserver", "bucket"),
]


@pytest.mark.parametrize(
    ("framework", "protocol", "runtime", "store"), SERVED, ids=["-".join(one) for one in SERVED]
)
def test_kserves_server_answers_as_the_model_does(
    framework, protocol, runtime, store, home, stores, start, tmp_path
):
    model, rows, expected = MODELS[framework](tmp_path)
    artifact = submitted(model)
    chosen, asked = service_of(artifact, runtime, protocol)
    python = made(need_of(asked, "predictor", chosen))
    obj, folder = published(stores, store, artifact, chosen, asked)
    assert obj["spec"]["predictor"]["model"]["runtime"] == runtime
    command = mlserver_command if runtime == "kserve-mlserver" else kserve_command
    server = start(*command(python, obj, folder)).until_ready("/v2/models/served/ready")
    assert np.allclose(predictions(server, protocol, rows), expected, rtol=1e-5)


def test_a_second_json_file_would_keep_xgbserver_from_starting(home, stores, start, tmp_path):
    model, _, _ = xgboost_model(tmp_path)
    artifact = submitted(model)
    chosen, asked = service_of(artifact, "kserve-xgbserver", "v1")
    python = made(need_of(asked, "predictor", chosen))
    obj, folder = published(stores, "claim", artifact, chosen, asked)
    (folder / "kale.json").write_bytes((artifact.path / "kale.json").read_bytes())
    server = start(*kserve_command(python, obj, folder))
    assert server.ended.wait(120)
    assert "More than one model file is detected" in server.log


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_kserve_fetches_with_what_its_secret_is_to_say(style, bucket, way, tmp_path):
    """The annotations of the Secret as variables, as KServe's webhook makes them, in either style of addressing."""
    host = WILDCARD if style == "virtual" else "127.0.0.1"
    endpoint = way.url.replace("127.0.0.1", host)
    settings = s3_settings(bucket.settings["url"], endpoint=endpoint, region="us-east-1", addressing=style)
    said = {key.rpartition("-")[2]: value for key, value in secret_annotations(settings).items()}
    model = modelled(tmp_path / "m", **{"model.joblib": b"12"})
    uri = bucket.publisher().publish(model.folder, DIGEST, "plain", model.entries, Teller(), never).uri
    way.asked.clear()
    env = {
        "AWS_ENDPOINT_URL": ("https" if said["usehttps"] == "1" else "http") + "://" + said["endpoint"],
        "S3_USER_VIRTUAL_BUCKET": said["usevirtualbucket"],
        "AWS_DEFAULT_REGION": said["region"],
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    folder = fetch(made(INITIALIZER), uri, tmp_path / "models", env)
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == {"model.joblib": b"12"}
    before = f"/{bucket.bucket}" if style == "path" else "/"
    assert all(one.path.startswith(before) for one in way.asked)
    assert any(one.path.startswith(f"/team/a/{DIGEST}") for one in way.asked) == (style == "virtual")


@pytest.mark.parametrize("store", ["bucket", "claim"])
@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_our_own_image_takes_the_artifact_as_it_is(protocol, store, home, stores, start, tmp_path):
    model, rows, expected = sklearn_model(tmp_path)
    artifact = submitted(model)
    chosen, asked = service_of(artifact, "kale-built-in", protocol)
    obj, folder = published(stores, store, artifact, chosen, asked)
    assert (folder / "kale.json").is_file()
    server = start(*own_command(obj, folder)).until_ready("/v2/models/served/ready")
    assert predictions(server, protocol, rows).tolist() == expected.tolist()
