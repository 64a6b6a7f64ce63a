"""Our Endpoint against MLServer, KServe's ModelServer and TorchServe."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from kale_serve_lab import Endpoint, errors

ROWS = np.array([[1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]])
SCORES = ROWS @ np.array([0.5, -1.0, 2.0, 0.25])
V2 = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": ROWS.tolist()}]}


@pytest.fixture(params=["kserve", "mlserver", "torchserve"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def endpoint(server):
    with Endpoint("scorer", url=server.url) as found:
        yield found


def test_it_is_ready(endpoint):
    assert endpoint.ready()
    assert endpoint.signature is None  # none of them knows what its models take


def test_an_array_for_an_array(endpoint):
    found = endpoint.predict(ROWS)
    assert found.ravel() == pytest.approx(SCORES, abs=1e-12)


def test_a_list_for_a_list(endpoint):
    assert np.ravel(endpoint.predict(ROWS.tolist())) == pytest.approx(SCORES)
    assert isinstance(endpoint.predict(ROWS.tolist()), list)


def test_many_rows(endpoint):
    rows = np.random.default_rng(0).random((2000, 4))
    assert endpoint.predict(rows).ravel() == pytest.approx(rows @ [0.5, -1.0, 2.0, 0.25])


def test_a_frame_for_a_frame(server):
    frame = pd.DataFrame(ROWS, columns=list("abcd"), index=[7, 8])
    with Endpoint("scorer", url=server.url) as endpoint:
        found = endpoint.predict(frame)
    assert found.index.tolist() == [7, 8]
    assert found.to_numpy().ravel() == pytest.approx(SCORES)


def test_a_model_that_raises_is_an_error_of_ours(server):
    with Endpoint("broken", url=server.url) as endpoint, pytest.raises(errors.PredictFailed) as raised:
        endpoint.predict(ROWS)
    assert raised.value.subject == "broken"
    said = raised.value.message
    assert "colour blind" in said or "Prediction failed" in said  # TorchServe says no more than that
    assert "Traceback" not in said and len(said) < 400


def test_a_model_that_is_not_there(server):
    with (
        Endpoint("nobody", url=server.url) as endpoint,
        pytest.raises(errors.EndpointNotFound, match="nobody") as raised,
    ):
        endpoint.predict(ROWS)
    assert raised.value.hint


def test_a_server_that_is_killed_and_comes_back(server):
    with Endpoint("scorer", url=server.url) as endpoint:
        assert endpoint.predict(ROWS).ravel() == pytest.approx(SCORES)
        server.kill()
        with pytest.raises((errors.EndpointNotReady, errors.EndpointGone)):
            endpoint.predict(ROWS)
        with pytest.raises(errors.EndpointNotReady, match="refused"):
            endpoint.predict(ROWS)
        assert endpoint.ready() is False
        server.start()
        assert endpoint.predict(ROWS).ravel() == pytest.approx(SCORES)


@pytest.mark.parametrize("name", ["kserve", "mlserver"])
def test_v2_as_it_was_written(request, name):
    server = request.getfixturevalue(name)
    with Endpoint("scorer", url=server.url) as endpoint:
        # A request without an id: these servers answer 500 to it, or make one up.
        for given in (V2, json.dumps(V2)):
            answer = endpoint.predict(given)
            assert answer["outputs"][0]["name"] == "scores"
            assert np.ravel(answer["outputs"][0]["data"]) == pytest.approx(SCORES)
            assert isinstance(answer["id"], str)
        assert endpoint.predict({**V2, "id": "mine"})["id"] == "mine"
        assert endpoint.metadata()["inputs"] == []


def test_kserves_own_words(kserve):
    with Endpoint("scorer", url=kserve.url) as endpoint:
        with pytest.raises(errors.InvalidInput, match="a row has 4 values"):
            endpoint.predict(ROWS[:, :3])
        with pytest.raises(errors.InvalidInput, match="input"):
            endpoint.predict({"inputs": [{"name": "x", "datatype": "FP64", "shape": "two"}]})
        assert endpoint.predict({"instances": ROWS.tolist()})["predictions"] == pytest.approx(SCORES.tolist())
        assert np.isnan(
            endpoint.predict(np.array([[np.nan, 0, 0, 0]]))
        ).all()  # in binary it arrives as it is
    with Endpoint("empty", url=kserve.url) as endpoint:
        assert_not_there(endpoint)


def assert_not_there(endpoint):
    with pytest.raises(errors.EndpointNotFound):
        endpoint.predict(ROWS)


def test_mlservers_own_words(mlserver):
    with Endpoint("scorer", url=mlserver.url) as endpoint:
        with pytest.raises(errors.PredictFailed, match=r"ValueError: .*size 4 is different from 3"):
            endpoint.predict(ROWS[:, :3])
        with pytest.raises(errors.InvalidInput):
            endpoint.predict({"inputs": [{"name": "x", "datatype": "FP64", "shape": "two", "data": []}]})


def test_torchserves_own_words(torchserve):
    with Endpoint("scorer", url=torchserve.url) as endpoint:
        with pytest.raises(errors.PredictFailed, match="Prediction failed"):
            endpoint.predict([["a", "b", "c", "d"]])
        assert endpoint.predict({"instances": ROWS.tolist()})["predictions"] == pytest.approx(SCORES.tolist())
        with pytest.raises(errors.EndpointNotFound):
            endpoint.metadata()
