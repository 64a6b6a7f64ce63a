"""The transformer component: preprocess, ask the predictor, postprocess; each step synchronous or not, as its author likes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from kale_serve_lab.errors import InvalidInput, KaleServeError, ModelLoadFailed, PredictFailed
from kale_serve_lab.inference import strict_json, tensors, v1, v2
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server import forms, kserve_stand_in, transformer_code
from kale_serve_lab.model_server.component import Protocol_, Told
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.spec import LaunchSpec
from kale_serve_lab.model_server.upstream import Upstream, is_v2
from kale_serve_lab.model_server.work import MainThreadWork

log = logging.getLogger("kale_serve_lab.model_server")

T = TypeVar("T")


class Transformer:
    """The user's steps around a prediction.

    Functions see the whole request and the whole answer as JSON objects; a subclass sees kserve's forms: objects for v1,
    `InferRequest` and `InferResponse` for v2.
    """

    platform = "kale-transformer"

    def __init__(self, spec: LaunchSpec, work: MainThreadWork) -> None:
        self._spec = spec
        self._work = work
        self._upstream: Upstream | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> dict[str, float]:
        """Run the user's module; the predictor is not asked yet."""
        if self._spec.predictor_socket is None and self._spec.predictor is None:
            raise ModelLoadFailed(
                f"{self._spec.service}: the transformer was not told its predictor.",
                subject=self._spec.service,
            )
        began = time.perf_counter()
        self._code = transformer_code.load(self._spec)
        if self._code.model is not None:
            base = sys.modules["kserve"].Model if "kserve" in sys.modules else kserve_stand_in.Model
            # Also for a subclass whose own predict calls super().predict(): kserve's would look for a host and a port.
            transformer = self

            async def predict(_: Any, payload: Any, headers: Any = None, *__: Any, **___: Any) -> Any:
                return await transformer.ask(payload, headers)

            setattr(base, "predict", predict)  # noqa: B010 (the class is kserve's where kserve is installed)
        return {"import": 0.0, "load": time.perf_counter() - began}

    def infer(self, protocol: Protocol_, request: Request, respond: Callable[[Response], None]) -> None:
        """Each request is a task of its own: one that waits for others keeps nobody else waiting."""
        self._start(self._v1(request) if protocol == "v1" else self._v2(request), Response.of_error, respond)

    def infer_tensors(self, asked: v2.InferRequest, headers: Mapping[str, str], respond: Told) -> None:
        """The same for a request that came without HTTP."""

        def refused(error: KaleServeError) -> v2.InferResponse | KaleServeError:
            return error

        answer: Coroutine[Any, Any, v2.InferResponse | KaleServeError] = self._predicted(asked, dict(headers))
        self._start(answer, refused, respond)

    def _start(
        self,
        answer: Coroutine[Any, Any, T],
        refuse: Callable[[KaleServeError], T],
        respond: Callable[[T], None],
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._told(answer, refuse, respond))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """The raw input's, where the user gave a signature."""
        return () if self._spec.signature is None else self._spec.signature.wire_inputs()

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Likewise."""
        return () if self._spec.signature is None else self._spec.signature.outputs

    async def _told(
        self,
        answer: Coroutine[Any, Any, T],
        refuse: Callable[[KaleServeError], T],
        respond: Callable[[T], None],
    ) -> None:
        try:
            found = await answer
        except KaleServeError as error:
            error.subject = error.subject or self._spec.service
            found = refuse(error)
        except Exception as error:
            log.exception("The request could not be answered.")
            found = refuse(
                PredictFailed(
                    f"The request could not be answered: {type(error).__name__}: {error}",
                    subject=self._spec.service,
                )
            )
        respond(found)

    async def _v1(self, request: Request) -> Response:
        payload = v1.decode_request(request.body)
        result = await self._steps(payload, dict(request.headers))
        return Response(
            200,
            (strict_json.dumps(v1.plain(forms.json_form(result)), "The answer"),),
            {"Content-Type": v1.CONTENT_TYPE},
        )

    async def _v2(self, request: Request) -> Response:
        asked = v2.decode_request(request.body, v2.header_length(request.headers.get(v2.LENGTH_HEADER)))
        answer = await self._predicted(asked, dict(request.headers))
        wanted = [tensor.name for tensor in answer.outputs if asked.wants_binary(tensor.name)]
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

    async def _predicted(self, asked: v2.InferRequest, headers: dict[str, str]) -> v2.InferResponse:
        request_id = asked.id or v2.new_id()
        names = [output.name for output in asked.outputs] if asked.outputs else None
        payload: Any
        if self._code.model is None:
            payload = {"id": request_id, "inputs": [forms.to_dict(tensor) for tensor in asked.inputs]}
            if names:
                payload["outputs"] = [{"name": name} for name in names]
        else:
            payload = forms.infer_request(self._spec.model_name, request_id, asked)
        result = forms.json_form(await self._steps(payload, headers))
        if "outputs" not in result and "predictions" in result:
            outputs = [tensors.from_array("predict", result["predictions"])]
        else:
            body = strict_json.dumps(v1.plain(result), "The answer")
            outputs = v2.decode_response(body, None).outputs
        return v2.InferResponse(self._spec.model_name, str(self._spec.revision), request_id, outputs)

    async def _steps(self, payload: Any, headers: dict[str, str]) -> Any:
        prepared = await self._step("preprocess", self._code.preprocess, payload, headers)
        if isinstance(prepared, dict) and isinstance(payload, dict):
            # Which outputs are asked for is about the answer; a preprocess that builds a new request does not mean to drop it.
            for key in ("parameters", "outputs", "id"):
                if key in payload and key not in prepared and _same_protocol(payload, prepared):
                    prepared = {**prepared, key: payload[key]}
        if self._code.model is not None and callable(getattr(self._code.model, "predict", None)):
            result = await self._step("predict", self._code.model.predict, prepared, headers)
        else:
            result = await self.ask(prepared, headers)
        return await self._step("postprocess", self._code.postprocess, result, headers)

    async def _step(
        self, name: str, step: Callable[..., Any] | None, value: Any, headers: dict[str, str]
    ) -> Any:
        if step is None:
            return value
        keywords = {"headers": headers} if _takes_headers(step) else {}
        try:
            if inspect.iscoroutinefunction(step):
                found = await step(value, **keywords)
            else:
                found = await self._work.run(step, value, **keywords)
                if inspect.isawaitable(found):
                    found = await found
        except KaleServeError:
            raise
        except Exception as error:
            if type(error).__name__ == "InvalidInput" and type(error).__module__.startswith(
                ("kserve", kserve_stand_in.__name__)
            ):
                raise InvalidInput(
                    str(getattr(error, "reason", error)), subject=self._spec.service
                ) from error
            log.exception("%s: %s failed", self._spec.service, name)
            raise PredictFailed(
                f"The transformer's {name} raised {type(error).__name__}: {error}",
                subject=self._spec.service,
                hint="The transformer's log has the traceback.",
                details={"exception": type(error).__name__, "step": name},
            ) from error
        if found is None:
            raise PredictFailed(
                f"The transformer's {name} gave nothing back.",
                subject=self._spec.service,
                hint=f"{name} returns what goes on.",
            )
        return found

    async def ask(self, payload: Any, headers: Any = None) -> Any:  # noqa: ARG002 (kserve's signature)
        """Send what preprocess gave to the predictor, in its own form; the answer in the same form."""
        if self._upstream is None:
            self._upstream = Upstream(self._spec)
        if isinstance(payload, Mapping):
            return await self._upstream.ask(payload)
        if not hasattr(payload, "inputs"):
            raise PredictFailed(
                f"The transformer's preprocess gave a {type(payload).__name__}, which is no request.",
                subject=self._spec.service,
                hint='It returns {"instances": [...]}, or for v2 an InferRequest.',
            )
        given = [forms.tensor(item) for item in payload.inputs]
        wanted = [item.name for item in getattr(payload, "request_outputs", None) or ()] or None
        return forms.infer_response(
            await self._upstream.ask_tensors(given, wanted, getattr(payload, "id", None))
        )


def _same_protocol(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return is_v2(one) == is_v2(other)


def _takes_headers(step: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(step).parameters
    except (TypeError, ValueError):
        return False
    return "headers" in parameters
