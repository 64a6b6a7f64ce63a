"""What Triton's Python backend runs: the artifact's model, by the loaders of the built-in server."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

from kale_serve_lab.errors import InvalidRequest, KaleServeError
from kale_serve_lab.inference import tensors, v2
from kale_serve_lab.inference.dtypes import BYTES
from kale_serve_lab.inference.tensors import Tensor
from kale_serve_lab.model_server.foreign import own_model


class TritonPythonModel:
    """The name by which Triton finds it."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002 (Triton's own)
        """Load the model; what is raised ends the server."""
        self._answers = own_model.load(Path(os.environ["KALE_SERVE_WORK"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        asked = v2.InferRequest(
            id=request.request_id(),
            inputs=[_tensor(given) for given in request.inputs()],
            outputs=[v2.RequestedOutput(name) for name in request.requested_output_names()],
        )
        try:
            answered = self._answers.predicted(asked)
        except KaleServeError as error:
            kind = triton.TritonError.INVALID_ARG if isinstance(error, InvalidRequest) else None
            told = str(error).replace("\n", " ")
            return triton.InferenceResponse(
                error=triton.TritonError(told) if kind is None else triton.TritonError(told, kind)
            )
        except Exception as error:
            traceback.print_exc()
            return triton.InferenceResponse(error=triton.TritonError(f"{type(error).__name__}: {error}"))
        return triton.InferenceResponse([triton.Tensor(out.name, out.data) for out in answered.outputs])


def _tensor(given: Any) -> Tensor:
    array = given.as_numpy()
    if array.dtype == object:
        return Tensor(given.name(), BYTES, tuple(array.shape), array)
    return tensors.from_array(given.name(), array)
