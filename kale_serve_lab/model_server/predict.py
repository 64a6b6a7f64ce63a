"""The predictor: request bytes to the model's input, its methods, and their answers to bytes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from kale_serve_lab.errors import InvalidInput, KaleServeError, ModelLoadFailed, PredictFailed
from kale_serve_lab.inference import tensors, v1, v2
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.inference.tensors import Tensor
from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.component import Protocol_, Told
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.inputs import InputReader
from kale_serve_lab.model_server.spec import LaunchSpec
from kale_serve_lab.model_server.work import MainThreadWork

# What a request may ask for by name: an attribute of the model is never reached by a name from the wire.
METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score_samples",
)

_SMALL_BYTES = 16 * 1024
# The longest that the server thread may be kept from health checks and control by one prediction of its own.
_SHORT_SECONDS = 0.005

log = logging.getLogger("kale_serve_lab.model_server")

T = TypeVar("T")


class Predictor:
    """A loaded model behind v1 and v2."""

    def __init__(self, spec: LaunchSpec, work: MainThreadWork) -> None:
        self._spec = spec
        self._work = work
        self._waiting = 0
        self._last_small_seconds = math.inf
        self.platform = spec.framework or "custom"

    def load(self) -> dict[str, float]:
        """Load the model, here and now."""
        spec = self._spec
        self._model, seconds = loaders.load(spec)
        self._methods: dict[str, Callable[[Any], Any]] = {
            name: getattr(self._model, name) for name in METHODS if callable(getattr(self._model, name, None))
        }
        default = spec.method or next(iter(self._methods), None)
        if default not in self._methods:
            raise ModelLoadFailed(
                f"{spec.service}: {type(self._model).__name__} has no method {default or 'predict'!r}.",
                subject=spec.service,
                hint=f"It has {', '.join(self._methods) or 'nothing to predict with'}.",
            )
        self._default = default
        self._reader = InputReader(spec.signature, categorical=spec.framework in ("xgboost", "lightgbm"))
        return seconds

    def infer(self, protocol: Protocol_, request: Request, respond: Callable[[Response], None]) -> None:
        """Predict in the main thread, or at once where that was short the last time.

        The way to the main thread and back costs as much as a small model's prediction.
        """
        answer = self._answer_v2 if protocol == "v2" else self._answer_v1
        self._run_or_queue(
            lambda: answer(request), Response.of_error, respond, small=len(request.body) <= _SMALL_BYTES
        )

    def infer_tensors(self, asked: v2.InferRequest, headers: Mapping[str, str], respond: Told) -> None:  # noqa: ARG002
        """By the same rules, for a request that came without HTTP."""

        def refused(error: KaleServeError) -> v2.InferResponse | KaleServeError:
            return error

        size = sum(tensor.data.nbytes for tensor in asked.inputs)
        self._run_or_queue(lambda: self._predicted(asked), refused, respond, small=size <= _SMALL_BYTES)

    def _run_or_queue(
        self,
        call: Callable[[], T],
        refuse: Callable[[KaleServeError], T],
        respond: Callable[[T], None],
        *,
        small: bool,
    ) -> None:
        if small and not self._waiting and self._last_small_seconds <= _SHORT_SECONDS:
            respond(self._timed(call, refuse, small=True))
            return
        loop = asyncio.get_running_loop()
        self._waiting += 1

        def done(answer: T) -> None:
            self._waiting -= 1
            respond(answer)

        def work() -> None:
            loop.call_soon_threadsafe(done, self._timed(call, refuse, small=small))

        self._work.submit(work)

    def _timed(self, call: Callable[[], T], refuse: Callable[[KaleServeError], T], *, small: bool) -> T:
        began = time.perf_counter()
        try:
            return call()
        except KaleServeError as error:
            error.subject = error.subject or self._spec.service
            return refuse(error)
        except Exception as error:
            log.exception("The request could not be answered.")
            return refuse(
                PredictFailed(
                    f"The request could not be answered: {type(error).__name__}: {error}",
                    subject=self._spec.service,
                )
            )
        finally:
            if small:
                self._last_small_seconds = time.perf_counter() - began

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The signature's tensors as they travel."""
        return () if self._spec.signature is None else self._spec.signature.wire_inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The signature's outputs that the model has."""
        return () if self._spec.signature is None else self._spec.signature.outputs

    def _answer_v2(self, request: Request) -> Response:
        asked = v2.decode_request(request.body, v2.header_length(request.headers.get(v2.LENGTH_HEADER)))
        answer = self._predicted(asked)
        names = [output.name for output in asked.outputs or ()] or [self._default]
        wanted = [tensor.name for tensor in answer.outputs if asked.wants_binary(_base(tensor.name, names))]
        header, buffers, length = v2.encode_response(
            answer.model_name,
            answer.outputs,
            answer.id,
            model_version=answer.model_version,
            binary=wanted,
        )
        if length is None:
            return Response(200, (header,), {"Content-Type": v2.JSON_TYPE})
        return Response(
            200, (header, *buffers), {"Content-Type": v2.BINARY_TYPE, v2.LENGTH_HEADER: str(length)}
        )

    def _predicted(self, asked: v2.InferRequest) -> v2.InferResponse:
        names = [output.name for output in asked.outputs or ()] or [self._default]
        self._check(names)
        found = self._run(names, self._reader.tensors(asked.inputs))
        return v2.InferResponse(
            self._spec.model_name,
            str(self._spec.revision),
            asked.id or v2.new_id(),
            [tensor for name, value in found.items() for tensor in _output_tensors(name, value)],
        )

    def _answer_v1(self, request: Request) -> Response:
        payload = v1.decode_request(request.body)
        names = v1.requested_outputs(payload) or [self._default]
        self._check(names)
        found = self._run(names, self._reader.rows(v1.instances(payload)))
        first = self._default if self._default in found else names[0]
        predictions = found.pop(first)
        body = v1.encode_response(predictions, found)
        return Response(200, (body,), {"Content-Type": v1.CONTENT_TYPE})

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._methods:
                raise InvalidInput(
                    f"{self._spec.service} has no output {name[:100]!r}.",
                    subject=name[:100],
                    hint=f"It has {', '.join(self._methods)}.",
                )

    def _run(self, names: Sequence[str], given: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            try:
                found[name] = _plain(self._methods[name](given))
            except BaseException as error:  # a user's model may raise anything, SystemExit included
                log.exception("%s: %s failed", self._spec.service, name)
                raise PredictFailed(
                    f"{type(self._model).__name__}.{name} raised {type(error).__name__}: {error}",
                    subject=self._spec.service,
                    hint="The log has the traceback.",
                    details={"exception": type(error).__name__},
                ) from error
        return found


def _plain(value: Any) -> Any:
    """An array, or a list of arrays (one for each output of a multi-output model)."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "toarray"):
        return value.toarray()
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(part, np.ndarray) and part.ndim for part in value)
    ):
        return list(value)
    return np.asarray(value)


def _output_tensors(name: str, value: Any) -> list[Tensor]:
    if isinstance(value, list):
        return [tensors.from_array(f"{name}-{index}", part) for index, part in enumerate(value)]
    return [tensors.from_array(name, value)]


def _base(tensor_name: str, names: Sequence[str]) -> str:
    """The output that was asked for, of `predict_proba-1` too."""
    return tensor_name if tensor_name in names else tensor_name.rpartition("-")[0]
