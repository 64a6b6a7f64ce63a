"""KServe's own ModelServer with the models of KServe's servers, over v1, v2 (JSON and binary) and gRPC."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab import Endpoint, Model

sys.path.insert(0, str(Path(__file__).parent))
from serving import ask, pids_of, served, tensor

sys.path.pop(0)

pd = pytest.importorskip("pandas")
sklearn = pytest.importorskip("sklearn")
RUNTIME = "kserve-sklearnserver"
V1 = "/v1/models/fish:predict"


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame({"sort": ["a", "b", "a", "ü"], "age": [1.0, None, 3.0, 4.0], "n": [1, 2, 3, 4]})


@pytest.fixture(scope="module")
def model(frame):
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    steps = make_column_transformer(
        (OneHotEncoder(), ["sort"]), (SimpleImputer(), ["age"]), remainder="passthrough"
    )
    return make_pipeline(steps, LogisticRegression()).fit(frame, ["no", "yes", "no", "yes"])


@pytest.fixture(scope="module")
def service(shared_home, frame, model):
    artifact = Model(model, name="fish", signature=frame)
    with served(artifact, "fish", runtime=RUNTIME, protocol_version="v1") as found:
        yield found


def test_it_is_the_real_server_and_says_what_it_speaks(service) -> None:
    assert service["runtime"] == RUNTIME
    assert service["protocols"] == ["v1", "v2", "grpc-v2"]
    assert service["binary"] is True
    _, child = pids_of(service)
    assert b"run_kserve" in Path(f"/proc/{child}/cmdline").read_bytes()
    ports = Path(f"/proc/{child}/net/tcp").read_text()
    # 8080 and 8081 are what it would listen on, for all of the network.
    assert ":1F90 " not in ports
    assert ":1F91 " not in ports


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc-v2"])
def test_predictions_of_a_mixed_table_are_the_models_own(service, frame, model, protocol) -> None:
    found = Endpoint("fish", protocol_version=protocol).predict(frame)
    assert np.ravel(found).tolist() == model.predict(frame).tolist()


def test_v1_takes_rows_and_objects(service, frame, model) -> None:
    rows = [[None if value != value else value for value in row] for row in frame.to_numpy(object).tolist()]
    objects = [dict(zip(frame.columns, row)) for row in rows]
    for instances in (rows, objects):
        status, answer = ask("fish", {"instances": instances}, V1)
        assert (status, answer) == (200, {"predictions": model.predict(frame).tolist()})


def test_v2_needs_no_id_and_takes_binary(service, frame, model) -> None:
    inputs = [
        tensor("sort", "BYTES", [4], frame["sort"].tolist()),
        tensor("age", "FP64", [4], [1.0, 2.0, 3.0, 4.0]),
        tensor("n", "INT64", [4], frame["n"].tolist()),
    ]
    filled = frame.assign(age=[1.0, 2.0, 3.0, 4.0])
    status, answer = ask("fish", {"inputs": inputs})
    assert status == 200, answer
    assert answer["id"]
    assert answer["outputs"][0]["data"] == model.predict(filled).tolist()
    inputs[1] |= {"parameters": {"binary_data_size": 32}}
    del inputs[1]["data"]
    header = json.dumps({"id": "7", "inputs": inputs}).encode()
    body = header + filled["age"].to_numpy().tobytes()
    status, answer = ask("fish", body, headers={"Inference-Header-Content-Length": str(len(header))})
    assert (status, answer["id"]) == (200, "7")
    assert answer["outputs"][0]["data"] == model.predict(filled).tolist()


def test_errors_are_the_servers_own(service) -> None:
    for body in ({"instances": [{"sort": "a"}]}, {"rows": []}):
        status, answer = ask("fish", body, V1)
        assert status in (400, 500)
        assert answer["error"]
    status, answer = ask("fish", b"{", V1)
    assert (status, "request format" in answer["error"]) == (400, True), answer


def test_probabilities_are_asked_for_as_with_kserve(shared_home, frame, model) -> None:
    artifact = Model(model, name="fish", signature=frame)
    config = {"runtime": RUNTIME, "protocol_version": "v1", "env": {"PREDICT_PROBA": "true"}}
    with served(artifact, "chances", **config):
        instances = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        status, answer = ask("chances", {"instances": instances}, "/v1/models/chances:predict")
        assert status == 200, answer
        assert np.allclose(answer["predictions"], model.predict_proba(frame))
