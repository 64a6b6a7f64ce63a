"""MLServer's custom models, as its users write them; copied beside each model's settings."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, NumpyRequestCodec
from mlserver.types import InferenceResponse

WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25])


class Scorer(MLModel):
    async def predict(self, payload):
        rows = np.asarray(self.decode_request(payload, default_codec=NumpyRequestCodec))
        scores = NumpyCodec.encode_output("scores", rows @ WEIGHTS)
        return InferenceResponse(model_name=self.name, outputs=[scores])


class Broken(MLModel):
    async def predict(self, payload):
        raise RuntimeError("colour blind")
