"""KServe's ModelServer with the models of KServe's own servers: FORMAT NAME ARTIFACT WORK HTTP_SOCKET GRPC_SOCKET.

KServe's sklearnserver, xgbserver, lgbserver and pmmlserver are images and no packages: here they are again, on the `kserve`
package, doing what those do with a model's file and a request. Beyond them, a table may come in either form of the wire.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from kale_serve_grpc import listen_on
from kale_serve_table import Table
from kserve import InferRequest, Model, ModelServer
from kserve.errors import InferenceError, InvalidInput
from kserve.protocol.rest.server import RESTServer
from kserve.utils.utils import get_predict_input, get_predict_response

FORMAT, NAME, ARTIFACT, WORK, HTTP_SOCKET, GRPC_SOCKET = sys.argv[1:7]
TABLE = Table.read(Path(WORK))
SUFFIXES = {
    "sklearn": (".joblib", ".pkl", ".pickle"),
    "xgboost": (".bst", ".json", ".ubj"),
    "lightgbm": (".bst",),
    "pmml": (".pmml",),
}


class Served(Model):
    """One model file, loaded and asked as KServe's server of its format does."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.load()

    def load(self) -> bool:
        """The only file of the format's suffixes; kale.json is ours."""
        found = [
            path
            for path in sorted(Path(ARTIFACT).iterdir())
            if path.is_file() and path.suffix in SUFFIXES[FORMAT] and path.name != "kale.json"
        ]
        if len(found) != 1:
            raise RuntimeError(f"One model file is expected in the folder, there are {len(found)}.")
        self.answer = globals()[f"_{FORMAT}"](str(found[0]))
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """The answer in the payload's own protocol."""
        try:
            given = self._input(payload)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InvalidInput(str(error)) from error
        try:
            found = self.answer(given)
            if isinstance(payload, InferRequest) and getattr(getattr(found, "dtype", None), "kind", "") in (
                "O",
                "U",
            ):
                found = _bytes(found)
            return get_predict_response(payload, found, NAME)
        except Exception as error:
            raise InferenceError(str(error)) from error

    def _input(self, payload: Any) -> Any:
        if TABLE is None:
            return get_predict_input(payload)
        if isinstance(payload, InferRequest):
            return TABLE.of_tensors([(found.name, found.shape, found.as_numpy()) for found in payload.inputs])
        return TABLE.of_rows(payload["inputs"] if "inputs" in payload else payload["instances"])


def _bytes(found: Any) -> Any:
    """Texts as bytes: `kserve` decodes each text of a v2 answer, whatever it is."""
    return np.array([str(one).encode() for one in found.ravel()], dtype=object).reshape(found.shape)


def _sklearn(path: str) -> Any:
    import joblib

    model = joblib.load(path)
    wanted = os.environ.get("PREDICT_PROBA", "false").lower() == "true"
    return model.predict_proba if wanted and hasattr(model, "predict_proba") else model.predict


def _xgboost(path: str) -> Any:
    import xgboost

    booster = xgboost.Booster(params={"nthread": 1}, model_file=path)
    return lambda given: booster.predict(xgboost.DMatrix(given, nthread=1))


def _lightgbm(path: str) -> Any:
    import lightgbm

    return lightgbm.Booster(params={"nthread": 1}, model_file=path).predict


def _pmml(path: str) -> Any:
    import pandas as pd
    from jpmml_evaluator import make_evaluator
    from jpmml_evaluator.py4j import Py4JBackend

    evaluator = make_evaluator(path, Py4JBackend()).verify()
    fields = [found.getName() for found in evaluator.getInputFields()]

    def answer(given: Any) -> Any:
        if isinstance(given, pd.DataFrame):
            rows = given.to_dict(orient="records")
        else:
            rows = [_named(fields, getattr(row, "tolist", lambda row=row: row)()) for row in given]
        return pd.DataFrame([evaluator.evaluate(row) for row in rows])

    return answer


def _named(fields: list[str], row: list[Any]) -> dict[str, Any]:
    """A row by the PMML's fields: of a table's columns the model may need only some."""
    names = TABLE.names if TABLE is not None and set(fields) <= set(TABLE.names) else fields
    if len(row) != len(names):
        raise ValueError(f"A row has {len(row)} values; the model takes {', '.join(names)}.")
    return dict(zip(names, row, strict=True))


def _listen_on_sockets() -> None:
    made = RESTServer.__init__

    def on_a_socket(self: RESTServer, *positional: Any, **named: Any) -> None:
        made(self, *positional, **named)
        config: uvicorn.Config = self.config
        config.uds = HTTP_SOCKET

    RESTServer.__init__ = on_a_socket
    listen_on(GRPC_SOCKET)


_listen_on_sockets()
# One process, and an end within the time that the daemon gives it.
server = ModelServer(workers=1, enable_grpc=True, enable_latency_logging=False, grace_period=2)
for name in ("uvicorn.access", "kserve.trace"):
    # A line or two for each prediction.
    logging.getLogger(name).setLevel(logging.WARNING)
server.start([Served()])
