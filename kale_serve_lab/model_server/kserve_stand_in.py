"""What a transformer uses of the `kserve` package, for environments without it (its wheel brings 450 MB).

`install()` puts it into `sys.modules` under kserve's names, inside a transformer's own process and only where the real one
cannot be imported. Names, arguments and forms are those of kserve 0.15 to 0.20; what a transformer cannot need (its server,
its repository) is not here.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import types
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from kale_serve_lab.inference import dtypes, tensors


class Model:
    """kserve's base class: a transformer overrides `preprocess` and `postprocess`.

    `predict` is put in place by the process that hosts the transformer: it asks the predictor.
    """

    def __init__(self, name: str, *_: Any, **__: Any) -> None:
        self.name = name
        self.ready = False
        self.protocol = "v1"
        self.predictor_host: str | None = None
        self.explainer_host: str | None = None
        self.timeout = 600

    def load(self) -> bool:
        """Called once before the first request."""
        self.ready = True
        return self.ready

    def start(self) -> None:
        """Nothing; a hook."""

    def stop(self) -> None:
        """Nothing; a hook."""

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Any:  # noqa: ARG002
        """The request as it came."""
        return payload

    async def postprocess(self, result: Any, headers: dict[str, str] | None = None) -> Any:  # noqa: ARG002
        """The predictor's answer as it came."""
        return result

    async def predict(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """Asks the predictor."""
        raise NotImplementedError("predict is there when the transformer runs at an endpoint")


class InferInput:
    """One input tensor of a v2 request."""

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        datatype: str,
        data: Any = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.shape = list(shape)
        self.datatype = datatype
        self.parameters = dict(parameters or {})
        self._array: Any = None
        self._data: Any = None
        self.data = data

    @property
    def data(self) -> Any:
        """The values as a flat list."""
        return self._array.ravel().tolist() if self._data is None and self._array is not None else self._data

    @data.setter
    def data(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            self._array, self._data = value, None
        else:
            self._array, self._data = None, value

    def as_string(self) -> list[str]:
        """The texts of a BYTES tensor."""
        return [item.decode() if isinstance(item, bytes) else str(item) for item in self.as_numpy().ravel()]

    def as_numpy(self) -> Any:
        """The values in their shape; BYTES as an array of objects."""
        if self._array is not None:
            return self._array.reshape(self.shape)
        if self.datatype == dtypes.BYTES:
            flat = np.empty(int(np.prod(self.shape)), dtype=object)
            flat[:] = np.asarray(self._data, dtype=object).ravel()
            return flat.reshape(self.shape)
        return np.asarray(self._data, dtype=dtypes.NUMPY[self.datatype][0]).reshape(self.shape)

    def set_data_from_numpy(self, input_tensor: Any, binary_data: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002
        """Take an array's values, shape and data type."""
        tensor = tensors.from_array(self.name, input_tensor)
        self.shape, self.datatype = list(tensor.shape), tensor.dtype
        self.data = tensor.array if tensor.dtype == dtypes.BYTES else tensor.data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, shape={self.shape}, datatype={self.datatype!r})"


class InferOutput(InferInput):
    """One output tensor of a v2 answer."""


class RequestedOutput:
    """An output that a request asks for."""

    def __init__(self, name: str, parameters: dict[str, Any] | None = None) -> None:
        self.name = name
        self.parameters = dict(parameters or {})


class InferRequest:
    """A v2 request."""

    def __init__(
        self,
        model_name: str,
        infer_inputs: list[InferInput],
        request_id: str | None = None,
        raw_inputs: Any = None,
        from_grpc: bool | None = False,  # noqa: FBT001, FBT002
        parameters: dict[str, Any] | None = None,
        request_outputs: list[RequestedOutput] | None = None,
        model_version: str | None = None,
    ) -> None:
        self.id = request_id or str(uuid.uuid4())
        self.model_name = model_name
        self.model_version = model_version
        self.inputs = infer_inputs
        self.parameters = dict(parameters or {})
        self.request_outputs = request_outputs
        self.from_grpc = from_grpc
        self.raw_inputs = raw_inputs

    def get_input_by_name(self, name: str) -> InferInput | None:
        """The input of this name."""
        return next((item for item in self.inputs if item.name == name), None)

    def as_dataframe(self) -> Any:
        """One column an input."""
        import pandas as pd

        return pd.DataFrame({item.name: item.as_numpy().reshape(-1) for item in self.inputs})

    def to_rest(self) -> tuple[dict[str, Any], None]:
        """The request's JSON form; never binary."""
        return {
            "id": self.id,
            "inputs": [_to_dict(item) for item in self.inputs],
            "parameters": self.parameters,
        }, None


class InferResponse:
    """A v2 answer."""

    def __init__(
        self,
        response_id: str,
        model_name: str,
        infer_outputs: list[InferOutput],
        model_version: str | None = None,
        raw_outputs: Any = None,
        from_grpc: bool | None = False,  # noqa: FBT001, FBT002
        parameters: dict[str, Any] | None = None,
        use_binary_outputs: bool | None = False,  # noqa: FBT001, FBT002
        requested_outputs: list[RequestedOutput] | None = None,
    ) -> None:
        self.id = response_id
        self.model_name = model_name
        self.model_version = model_version
        self.outputs = infer_outputs
        self.parameters = dict(parameters or {})
        self.from_grpc = from_grpc
        self.raw_outputs = raw_outputs
        self.use_binary_outputs = use_binary_outputs
        self.requested_outputs = requested_outputs

    def get_output_by_name(self, name: str) -> InferOutput | None:
        """The output of this name."""
        return next((item for item in self.outputs if item.name == name), None)

    def to_rest(self) -> tuple[dict[str, Any], None]:
        """The answer's JSON form; never binary."""
        return {
            "model_name": self.model_name,
            "model_version": self.model_version,
            "id": self.id,
            "parameters": self.parameters,
            "outputs": [_to_dict(item) for item in self.outputs],
        }, None


def _to_dict(item: InferInput) -> dict[str, Any]:
    return {"name": item.name, "shape": item.shape, "datatype": item.datatype, "data": item.data}


class InferenceError(RuntimeError):
    """kserve's error of a failed prediction."""

    def __init__(self, reason: str, status: str | None = None, debug_details: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.debug_details = debug_details


class InvalidInput(ValueError):  # noqa: N818
    """kserve's error of a bad request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelServer:
    """There so that a module which also starts itself can be imported."""

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def start(self, *_: Any, **__: Any) -> None:
        """Refused: the endpoint is the server."""
        raise RuntimeError(
            'ModelServer().start() is for a process of its own: put it under `if __name__ == "__main__":`'
        )


def install() -> bool:
    """Stand in for kserve, unless the real one is there. True when standing in."""
    if "kserve" in sys.modules or importlib.util.find_spec("kserve") is not None:
        return False
    public = {
        "Model": Model,
        "ModelServer": ModelServer,
        "InferInput": InferInput,
        "InferOutput": InferOutput,
        "InferRequest": InferRequest,
        "InferResponse": InferResponse,
        "RequestedOutput": RequestedOutput,
    }
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--model_name", default="model")
    parser.add_argument("--predictor_host")
    parser.add_argument("--protocol", "--predictor_protocol", dest="protocol", default="v1")
    modules: dict[str, dict[str, Any]] = {
        "kserve": public,
        "kserve.model": {"Model": Model},
        "kserve.model_server": {"ModelServer": ModelServer, "parser": parser},
        "kserve.errors": {"InferenceError": InferenceError, "InvalidInput": InvalidInput},
        "kserve.logging": {"logger": logging.getLogger("kserve")},
        "kserve.protocol": {},
        "kserve.protocol.infer_type": public,
    }
    for name, members in modules.items():
        module = types.ModuleType(name, "Stands in for kserve inside this transformer's process.")
        module.__path__ = []
        vars(module).update(members)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    return True
