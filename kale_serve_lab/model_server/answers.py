"""A loaded model that answers requests at once, whoever brings them: our own server, or one that we did not write."""

from __future__ import annotations

from dataclasses import dataclass, field

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.inference import tensors, v1, v2
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.fit import names_shown
from kale_serve_lab.model_server.inputs import InputReader
from kale_serve_lab.model_server.outputs import Outputs, by_name, rows
from kale_serve_lab.model_server.spec import LaunchSpec

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Body:
    """What is answered: its buffers as they go out, and the headers that say what they are."""

    buffers: tuple[Buffer, ...]
    headers: dict[str, str] = field(default_factory=dict)


class Answers:
    """The model of a launch spec. Raises `ModelLoadFailed`, or whatever the framework raises, where it does not load.

    Needs numpy and the model's own packages only. What cannot be answered is raised: `InvalidInput`, `PredictFailed`.
    """

    def __init__(self, spec: LaunchSpec) -> None:
        self._spec = spec
        model, self.seconds = loaders.load(spec)
        # What a file says of its own tensors stands in for a signature that nobody recorded.
        self.signature = _agreed(spec, getattr(model, "declared", None))
        named = () if self.signature is None else [output.name for output in self.signature.outputs]
        self._outputs = Outputs(model, spec.service, spec.method, named)
        self._reader = InputReader(self.signature, categorical=spec.framework in ("xgboost", "lightgbm"))

    def predicted(self, asked: v2.InferRequest) -> v2.InferResponse:
        """The outputs that were asked for, of the tensors that came."""
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

    def answer_v2(self, body: Buffer, length: str | None) -> Body:
        """A v2 request's answer; `length` is its header `Inference-Header-Content-Length`."""
        asked = v2.decode_request(body, v2.header_length(length))
        answer = self.predicted(asked)
        names = [output.name for output in asked.outputs or ()]
        header, buffers, size = v2.encode_response(
            answer.model_name,
            answer.outputs,
            answer.id,
            model_version=answer.model_version,
            binary=[
                tensor.name
                for tensor in answer.outputs
                if asked.wants_binary(self._outputs.asked_by(tensor.name, names))
            ],
        )
        if size is None:
            return Body((header,), {"Content-Type": v2.JSON_TYPE})
        return Body((header, *buffers), {"Content-Type": v2.BINARY_TYPE, v2.LENGTH_HEADER: str(size)})

    def answer_v1(self, body: Buffer) -> Body:
        """A v1 request's answer."""
        payload = v1.decode_request(body)
        names = v1.requested_outputs(payload) or []
        self._outputs.check(names)
        found = self._outputs.of(names, self._reader.rows(v1.instances(payload)))
        first = self._outputs.default if self._outputs.default in found else next(iter(found))
        encoded = v1.encode_response(rows(found.pop(first)), found)
        return Body((encoded,), {"Content-Type": v1.CONTENT_TYPE})


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
