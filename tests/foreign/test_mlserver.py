"""MLServer itself, from a model in a notebook to equal predictions over each protocol that it speaks."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab import Endpoint, Model, serve

sys.path.insert(0, str(Path(__file__).parent))
from serving import Load, ask, pids_of, served, tensor, until_ready_again

sys.path.pop(0)

pd = pytest.importorskip("pandas")
sklearn = pytest.importorskip("sklearn")
RUNTIME = "kserve-mlserver"


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame({"depth": [0.0, 1.0, 2.0, 0.5], "width": [1.0, 0.0, 1.0, 3.0]})


@pytest.fixture(scope="module")
def model(frame):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame, [0, 1, 1, 0])


@pytest.fixture(scope="module")
def service(shared_home, frame, model):
    with served(Model(model, name="fish", signature=frame), "fish", runtime=RUNTIME) as found:
        yield found


def test_it_is_the_real_server_and_says_what_it_speaks(service) -> None:
    assert service["runtime"] == RUNTIME
    assert service["protocols"] == ["v2", "grpc-v2"]
    assert service["binary"] is False
    _, child = pids_of(service)
    assert b"mlserver" in Path(f"/proc/{child}/cmdline").read_bytes()


@pytest.mark.parametrize("protocol", ["v2", "grpc-v2"])
def test_predictions_are_the_models_own(service, frame, model, protocol) -> None:
    endpoint = Endpoint("fish", protocol_version=protocol)
    assert np.ravel(endpoint.predict(frame)).tolist() == model.predict(frame).tolist()


def test_a_table_may_come_as_one_tensor_or_one_a_column(service, frame, model) -> None:
    rows = frame.to_numpy()
    whole = {"inputs": [tensor("input-0", "FP64", [4, 2], rows.ravel().tolist())]}
    columns = {
        "inputs": [
            tensor("width", "FP64", [4, 1], frame["width"].tolist()),
            tensor("depth", "FP64", [4], frame["depth"].tolist()),
        ],
        "outputs": [{"name": "predict_proba"}],
    }
    status, answer = ask("fish", whole)
    assert status == 200
    assert answer["outputs"][0]["data"] == model.predict(frame).tolist()
    status, answer = ask("fish", columns)
    assert status == 200
    (output,) = answer["outputs"]
    assert np.allclose(np.reshape(output["data"], output["shape"]), model.predict_proba(frame))


def test_metadata_names_the_real_inputs_and_errors_are_the_servers_own(service) -> None:
    status, found = ask("fish", path="/v2/models/fish")
    assert status == 200
    assert found["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}]
    status, found = ask("fish", {"inputs": "nonsense"})
    assert status == 422
    assert "detail" in found
    status, found = ask("fish", {"inputs": [tensor("other", "FP64", [1], [1.0])]})
    assert status >= 400
    assert "depth" in str(found)
    assert ask("fish", {"instances": [[1.0, 2.0]]}, "/v1/models/fish:predict")[0] == 404


def test_a_mixed_table_with_gaps_is_the_models_own_frame(shared_home) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"sort": ["a", "b", "a", "ü"], "age": [1.0, None, 3.0, 4.0], "n": [1, 2, 3, 4]})
    steps = make_column_transformer(
        (OneHotEncoder(), ["sort"]), (SimpleImputer(), ["age"]), remainder="passthrough"
    )
    model = make_pipeline(steps, LogisticRegression()).fit(frame, ["x", "y", "x", "y"])
    with served(Model(model, name="mixed", signature=frame), "mixed", runtime=RUNTIME):
        for protocol in ("v2", "grpc-v2"):
            found = np.ravel(Endpoint("mixed", protocol_version=protocol).predict(frame)).tolist()
            assert found == model.predict(frame).tolist()


def test_a_model_fitted_on_an_array_serves_again_after_kill_9(shared_home) -> None:
    from sklearn.linear_model import LinearRegression

    data = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    model = LinearRegression().fit(data, [1.0, 2.0, 3.0])
    with served(Model(model, name="plain", signature=data), "plain", runtime=RUNTIME) as service:
        shim, child = pids_of(service)
        os.kill(child, signal.SIGKILL)
        assert f"{RUNTIME} was killed by SIGKILL" in until_ready_again("plain", shim)["sentence"]
        assert np.allclose(np.ravel(Endpoint("plain").predict(data)), model.predict(data))


def test_an_update_to_mlserver_and_back_loses_no_prediction(shared_home, frame, model) -> None:
    artifact = Model(model, name="fish", signature=frame).submit_artifact()
    body = {"id": "1", "inputs": [tensor("input-0", "FP64", [1, 2], [2.0, 1.0])]}
    with served(artifact, "both"), Load("both", body) as load:
        load.wait_for_more(20)
        for runtime, version in ((RUNTIME, "2"), ("kale-built-in", "3")):
            serve(artifact, name="both", serve_config={"runtime": runtime})
            load.wait_for_more(20)
            assert not load.failures
            assert load.answers[-1]["model_version"] == version
    assert not load.failures
    assert {answer["outputs"][0]["data"][0] for answer in load.answers} == {1}
