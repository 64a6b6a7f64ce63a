"""The predictor: request bytes to the model's input, its methods, and their answers to bytes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from kale_serve_lab.errors import KaleServeError, ModelLoadFailed, PredictFailed
from kale_serve_lab.inference import tensors, v1, v2
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.component import Protocol_, Told
from kale_serve_lab.model_server.fit import names_shown
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.inputs import InputReader
from kale_serve_lab.model_server.outputs import Outputs, by_name, rows
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
        spec = self._spec
        model, seconds = loaders.load(spec)
        declared: Signature | None = getattr(model, "declared", None)
        # What a file says of its own tensors stands in for a signature that nobody recorded.
        self._signature = _agreed(spec, declared)
        named = () if self._signature is None else [output.name for output in self._signature.outputs]
        self._outputs = Outputs(model, spec.service, spec.method, named)
        self._reader = InputReader(self._signature, categorical=spec.framework in ("xgboost", "lightgbm"))
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
        return () if self._signature is None else self._signature.wire_inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """The signature's outputs that the model has."""
        return () if self._signature is None else self._signature.outputs

    def _answer_v2(self, request: Request) -> Response:
        asked = v2.decode_request(request.body, v2.header_length(request.headers.get(v2.LENGTH_HEADER)))
        answer = self._predicted(asked)
        names = [output.name for output in asked.outputs or ()]
        wanted = [
            tensor.name
            for tensor in answer.outputs
            if asked.wants_binary(self._outputs.asked_by(tensor.name, names))
        ]
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
        names = [output.name for output in asked.outputs or ()]
        self._outputs.check(names)
        found = self._outputs.of(names, self._reader.tensors(asked.inputs))
        return v2.InferResponse(
            self._spec.model_name,
            str(self._spec.revision),
            asked.id or v2.new_id(),
            [
                tensors.from_array(label, array)
                for name, answer in found.items()
                for label, array in by_name(name, answer).items()
            ],
        )

    def _answer_v1(self, request: Request) -> Response:
        payload = v1.decode_request(request.body)
        names = v1.requested_outputs(payload) or []
        self._outputs.check(names)
        found = self._outputs.of(names, self._reader.rows(v1.instances(payload)))
        first = self._outputs.default if self._outputs.default in found else next(iter(found))
        body = v1.encode_response(rows(found.pop(first)), found)
        return Response(200, (body,), {"Content-Type": v1.CONTENT_TYPE})


def _agreed(spec: LaunchSpec, declared: Signature | None) -> Signature | None:
    """The recorded signature, with what only the file says. Raises `ModelLoadFailed` where the two contradict each other."""
    signature = spec.signature
    if signature is None or declared is None:
        return signature or declared
    own = [item.name for item in declared.inputs]
    if signature.layout == "tensors" and sorted(item.name for item in signature.inputs) != sorted(own):
        raise ModelLoadFailed(
            f"{spec.service}: the signature names {names_shown([item.name for item in signature.inputs])}; "
            f"the model's file has {names_shown(own)}.",
            subject=spec.service,
            hint="Submit the model with a signature that has its names.",
        )
    return signature if signature.outputs else signature.with_outputs(declared.outputs)
