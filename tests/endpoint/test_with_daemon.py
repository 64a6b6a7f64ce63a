"""Through a real daemon: updates under traffic, the gateway by its URL, and the end."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

import kale_serve_lab as ksl
from kale_serve_lab import errors, paths

X = np.zeros((1, 2))


def submitted(value):
    model = DummyRegressor(strategy="constant", constant=value).fit(X, [1.0])
    return ksl.Model(model=model, name="constant", version=f"{value:.0f}.0.0").submit_artifact()


def test_no_prediction_is_lost_and_none_is_old_after_a_switch(home):
    isvc = ksl.serve(submitted(1.0).id, name="constant")
    with ksl.Endpoint("constant") as endpoint:
        stop, answers, lost = threading.Event(), [], []

        def drive():
            while not stop.is_set():
                began = time.monotonic()
                try:
                    value = float(endpoint.predict(X)[0])
                except errors.KaleServeError as error:
                    lost.append(error)
                else:
                    answers.append((began, time.monotonic(), value))

        threads = [threading.Thread(target=drive) for _ in range(2)]
        for thread in threads:
            thread.start()
        ksl.serve(submitted(2.0).id, name="constant")
        enough = time.monotonic() + 10
        while time.monotonic() < enough and sum(value == 2.0 for _, _, value in list(answers)) < 200:
            threads[0].join(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        assert lost == []
        assert {value for _, _, value in answers} == {1.0, 2.0}
        switched = min(end for _, end, value in answers if value == 2.0)
        assert [began for began, _, value in answers if value == 1.0 and began > switched] == []

        token = f"file:{paths.data_dir() / 'token'}"
        with ksl.Endpoint("constant", url=isvc.url, token=token) as gateway:
            assert gateway.predict(X).tolist() == [2.0]
            assert gateway.predict([[1.0, 2.0]]) == [2.0]
            assert gateway.ready()
        with (
            ksl.Endpoint("constant", url=isvc.url, token="wrong") as stranger,
            pytest.raises(errors.Unauthorized),
        ):
            stranger.predict(X)

        isvc.delete()
        with pytest.raises(errors.EndpointNotFound):
            endpoint.predict(X)
