"""The predictor: a model's answers, in the main thread or at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from kale_serve_lab.errors import KaleServeError, PredictFailed
from kale_serve_lab.inference import v2
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server.answers import Answers, Body
from kale_serve_lab.model_server.component import Protocol_, Told
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.spec import LaunchSpec
from kale_serve_lab.model_server.work import MainThreadWork

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
        self._answers = Answers(self._spec)
        return self._answers.seconds

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
        self._run_or_queue(
            lambda: self._answers.predicted(asked), refused, respond, small=size <= _SMALL_BYTES
        )

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
        signature = self._answers.signature
        return () if signature is None else signature.wire_inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The signature's outputs that the model has."""
        signature = self._answers.signature
        return () if signature is None else signature.outputs

    def _answer_v2(self, request: Request) -> Response:
        length = request.headers.get(v2.LENGTH_HEADER)
        return _response(self._answers.answer_v2(request.body, length))

    def _answer_v1(self, request: Request) -> Response:
        return _response(self._answers.answer_v1(request.body))


def _response(body: Body) -> Response:
    return Response(200, body.buffers, body.headers)
