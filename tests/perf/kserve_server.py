"""KServe's ModelServer as its users write it, run by the perf tests in an environment of its own: MODEL.joblib PORT."""

from __future__ import annotations

import sys

import joblib
import numpy as np
from kserve import Model, ModelServer


class JoblibModel(Model):
    """What KServe's sklearnserver does, which is not on PyPI: load a joblib file and predict."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.path = path
        self.load()

    def load(self) -> bool:
        self.model = joblib.load(self.path)
        self.ready = True
        return True

    def predict(
        self, payload: dict, headers: dict | None = None, response_headers: dict | None = None
    ) -> dict:
        return {"predictions": self.model.predict(np.array(payload["instances"])).tolist()}


if __name__ == "__main__":
    path, port = sys.argv[1], int(sys.argv[2])
    ModelServer(http_port=port, enable_grpc=False, workers=1).start([JoblibModel("peer", path)])
