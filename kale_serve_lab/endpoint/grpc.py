"""Predictions over gRPC: the Open Inference Protocol's service, and TensorFlow Serving's.

grpcio is imported with the first speaker; it carries the bytes, `inference.grpc` reads and writes them.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kale_serve_lab import errors
from kale_serve_lab.endpoint.transport import MAX_BODY, CannotConnect, Target, place_of
from kale_serve_lab.inference import dtypes, statuses, tensors, v2
from kale_serve_lab.inference.grpc import tensorflow
from kale_serve_lab.inference.grpc import v2 as messages
from kale_serve_lab.inference.tensors import Tensor


class NotSpoken(errors.UpstreamFailed):
    """The server has no such service: it speaks another protocol."""


def require(name: str) -> None:
    """Raises `InvalidRequest` where grpcio is not installed."""
    if importlib.util.find_spec("grpc") is None:
        raise errors.InvalidRequest(
            f"{name}: predictions over gRPC need the package grpcio, which is not installed here.",
            subject=name,
            hint="pip install 'kale-serve-lab[grpc]'",
        )


class _Connection:
    """A channel, and how many calls are on it: one that has to go is closed after its last call."""

    def __init__(self, channel: Any, place: object) -> None:
        self.channel = channel
        self.place = place
        self.pid = os.getpid()
        self.calls = 0
        self.leaving = False


class Calls:
    """Calls to one server, over a connection that is kept.

    Safe to share between threads. A forked child, and a socket that was replaced (a new revision), get a connection of their
    own. `token` is asked before each call.
    """

    def __init__(self, target: Target, name: str, token: Callable[[], str | None] = lambda: None) -> None:
        require(name)
        self._target = target
        self._name = name
        self._token = token
        self._lock = threading.Lock()
        self._kept: _Connection | None = None

    def call(self, method: str, message: bytes, timeout: float) -> tuple[bytes, str | None]:
        """The answer's message and the revision that gave it (None where the server says none); `timeout` in seconds.

        Raises `CannotConnect`, `EndpointGone`, `Timeout`, and what the server's status code means.
        """
        import grpc

        token = self._token()
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        for attempt in (1, 2):
            connection = self._taken()
            keep = True
            try:
                answer, call = connection.channel.unary_unary(method).with_call(message, timeout, metadata)
            except grpc.RpcError as error:
                if _sent_nothing(error):
                    # Kept, it would not try again for a while.
                    keep = False
                    if attempt == 1 and self._place() not in (None, connection.place):
                        continue
                raise self._meaning(error, timeout) from error
            finally:
                self._given_back(connection, keep=keep)
            return answer, dict(call.trailing_metadata() or ()).get(statuses.REVISION_KEY)
        raise AssertionError

    def close(self) -> None:
        """Closes the connection once its calls are answered; the next call opens a new one."""
        with self._lock:
            self._retire()

    def _taken(self) -> _Connection:
        with self._lock:
            place = self._place()
            kept = self._kept
            if kept is not None and (kept.pid != os.getpid() or place not in (None, kept.place)):
                self._retire()
            if self._kept is None:
                self._kept = _Connection(self._open(), place)
            self._kept.calls += 1
            return self._kept

    def _given_back(self, connection: _Connection, *, keep: bool) -> None:
        with self._lock:
            connection.calls -= 1
            if not keep and self._kept is connection:
                self._retire()
            elif connection.leaving and not connection.calls:
                connection.channel.close()

    def _retire(self) -> None:
        kept, self._kept = self._kept, None
        # A forked child leaves its parent's connection alone.
        if kept is not None and kept.pid == os.getpid():
            kept.leaving = True
            if not kept.calls:
                kept.channel.close()

    def _place(self) -> tuple[int, int, int] | None:
        return place_of(self._target.address) if self._target.unix else None

    def _open(self) -> Any:
        import grpc

        options = [
            ("grpc.max_receive_message_length", MAX_BODY),
            ("grpc.max_send_message_length", -1),
            # Shared, one's failed attempts would hold up the other's first one.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        address = f"unix:{self._target.address}" if self._target.unix else self._target.address
        if self._target.tls:
            return grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
        return grpc.insecure_channel(address, options)

    def _meaning(self, error: Any, timeout: float) -> Exception:
        status, said = error.code().name, str(error.details() or "")
        trailing = dict(error.trailing_metadata() or ())
        if status == "DEADLINE_EXCEEDED" and statuses.ERROR_KEY not in trailing:
            return errors.Timeout(
                f"{self._name}: no answer came within {timeout:g} s.",
                subject=self._name,
                hint="Give predict(..., timeout=seconds) more, or send fewer rows.",
            )
        if _sent_nothing(error):
            return CannotConnect(statuses.bounded(said.rpartition(": ")[2] or said))
        if status == "UNIMPLEMENTED":
            return NotSpoken(
                f"{self._name}: the server does not speak this protocol over gRPC.",
                code="UpstreamFailed",
                subject=self._name,
                hint="TensorFlow Serving speaks grpc-v1; KServe's, MLServer and Triton grpc-v2.",
            )
        return statuses.of_grpc(status, said, trailing, self._name)


class V2Speaker:
    """Asks the Open Inference Protocol's service."""

    def __init__(self, calls: Calls, name: str, model: str) -> None:
        self._calls = calls
        self._name = name
        self._model = messages.Model(model)

    def infer(
        self, given: Sequence[Tensor], outputs: Sequence[str] | None, timeout: float
    ) -> tuple[v2.InferResponse, str | None]:
        """The outputs, and the revision that gave them."""
        request = messages.encode_request(self._model, given, outputs, parameters=v2.about_columns(given))
        body, revision = self._calls.call(messages.method("ModelInfer"), request, timeout)
        return _read(self._name, messages.decode_response, body), revision

    def metadata(self, timeout: float) -> dict[str, Any]:
        """The model's description, in the form that the protocol gives it over HTTP."""
        body, _ = self._calls.call(
            messages.method("ModelMetadata"), messages.encode_model(self._model), timeout
        )
        found: messages.ModelMetadata = _read(self._name, messages.decode_metadata, body)
        return found.to_json()

    def ready(self, timeout: float) -> bool:
        """Whether the model predicts."""
        body, _ = self._calls.call(messages.method("ModelReady"), messages.encode_model(self._model), timeout)
        return bool(_read(self._name, messages.decode_flag, body))

    def close(self) -> None:
        """Closes the connection."""
        self._calls.close()


class TensorFlowSpeaker:
    """Asks TensorFlow Serving's service, which takes its tensors by the SavedModel's own names and in its own dtypes."""

    def __init__(self, calls: Calls, name: str, model: str) -> None:
        self._calls = calls
        self._name = name
        self._spec = tensorflow.ModelSpec(model)
        self._signature: tensorflow.SignatureDef | None = None

    def infer(
        self, given: Sequence[Tensor], outputs: Sequence[str] | None, timeout: float
    ) -> tuple[v2.InferResponse, str | None]:
        """The outputs; TensorFlow Serving has versions, no revisions of ours."""
        if self._signature is None:
            self._signature = self._described(timeout)[1]
        signature = self._signature
        known = {spec.name for spec in signature.outputs}
        wanted = [name for name in outputs or () if name in known]
        request = tensorflow.encode_request(
            replace(self._spec, signature=tensorflow.DEFAULT_SIGNATURE), _fitted(given, signature), wanted
        )
        body, revision = self._calls.call(tensorflow.PREDICT, request, timeout)
        found = _read(self._name, tensorflow.decode_response, body)
        if outputs is not None and len(outputs) == len(found.outputs) == 1:
            # "predict" is what we call a model's one answer; SavedModels call it output_0, dense_1 ...
            found = replace(found, outputs=[replace(found.outputs[0], name=outputs[0])])
        return found, revision

    def metadata(self, timeout: float) -> dict[str, Any]:
        """The signature that predicts, in the form of the v2 protocol."""
        return self._described(timeout)[0]

    def ready(self, timeout: float) -> bool:
        """Whether a version of the model is available."""
        body, _ = self._calls.call(tensorflow.STATUS, tensorflow.encode_status_request(self._spec), timeout)
        return tensorflow.AVAILABLE in _read(self._name, tensorflow.decode_status, body).values()

    def close(self) -> None:
        """Closes the connection."""
        self._calls.close()

    def _described(self, timeout: float) -> tuple[dict[str, Any], tensorflow.SignatureDef]:
        request = tensorflow.encode_metadata_request(self._spec)
        body, _ = self._calls.call(tensorflow.METADATA, request, timeout)
        spec, signatures = _read(self._name, tensorflow.decode_metadata, body)
        return tensorflow.as_json(spec, signatures), tensorflow.chosen(signatures)


Speaker = V2Speaker | TensorFlowSpeaker


def speaker(protocol: str, calls: Calls, name: str, model: str) -> Speaker:
    """Who speaks `grpc-v1` (TensorFlow Serving's) or `grpc-v2`."""
    return (TensorFlowSpeaker if protocol == "grpc-v1" else V2Speaker)(calls, name, model)


def _fitted(given: Sequence[Tensor], signature: tensorflow.SignatureDef) -> list[Tensor]:
    by_name = {spec.name: spec for spec in signature.inputs}
    if len(given) == len(by_name) == 1 and given[0].name not in by_name:
        given = [replace(given[0], name=next(iter(by_name)))]
    return [
        _cast(tensor, by_name[tensor.name].dtype) if tensor.name in by_name else tensor for tensor in given
    ]


def _cast(tensor: Tensor, dtype: str) -> Tensor:
    """In the dtype that the model takes, where that loses no more than a float's last digits; else as it is, to be refused."""
    import numpy as np

    if dtypes.BYTES in (tensor.dtype, dtype) or tensor.dtype == dtype:
        return tensor
    with np.errstate(invalid="ignore", over="ignore"):
        found = tensor.data.astype(dtypes.NUMPY[dtype][0])
    if dtype not in dtypes.FLOATS and not np.array_equal(found, tensor.data):
        return tensor
    return tensors.from_array(tensor.name, found)


def _read(name: str, decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except errors.InvalidInput as error:
        raise errors.UpstreamFailed(
            f"{name}: the server's answer cannot be read. {error.message}",
            subject=name,
            hint="Is it a model server that speaks this protocol?",
        ) from error


def _sent_nothing(error: Any) -> bool:
    return statuses.never_sent(error.code().name, str(error.details()))
