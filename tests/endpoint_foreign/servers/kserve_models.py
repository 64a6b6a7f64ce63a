"""KServe's ModelServer as its users write it: PORT. Two models, one of which fails, over v1 and v2."""

from __future__ import annotations

import sys

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from kserve.utils.utils import get_predict_input

WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25])


class Scorer(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        # An array, or a frame where there are several inputs: KServe's own way for scikit-learn.
        rows = np.asarray(get_predict_input(payload), dtype=float)
        if rows.shape[1:] != WEIGHTS.shape:
            raise InvalidInput(f"a row has {WEIGHTS.size} values")
        scores = rows @ WEIGHTS
        if isinstance(payload, InferRequest):
            output = InferOutput("scores", list(scores.shape), "FP64")
            binary = payload.use_binary_outputs or any(
                (one.parameters or {}).get("binary_data_size") for one in payload.inputs
            )
            output.set_data_from_numpy(scores, binary_data=binary)
            return InferResponse(payload.id, self.name, [output])
        return {"predictions": scores.tolist()}


class Broken(Scorer):
    def predict(self, payload, headers=None, response_headers=None):
        raise RuntimeError("colour blind")


class Empty(Scorer):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = False


if __name__ == "__main__":
    server = ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1)
    server.start([Scorer("scorer"), Broken("broken"), Empty("empty")])
