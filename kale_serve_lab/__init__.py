"""From a trained model to a live, monitored endpoint.

    from kale_serve_lab import Model, serve

    model = Model(model=estimator, name="iris").submit_artifact()
    isvc = serve(model.id)
    isvc.endpoint.predict(X_test)

Importing this costs nothing to speak of: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kale_serve_lab.compat import install as _install_kale_names

try:
    # By its name as a text: the build writes the file, so that a checker of types may not find it.
    __version__: str = import_module("kale_serve_lab._version").__version__
except ImportError:  # a checkout that was never built
    __version__ = "0"

if TYPE_CHECKING:
    from kale_serve_lab.artifacts import Dataset, Model, Transformer
    from kale_serve_lab.endpoint import Endpoint
    from kale_serve_lab.errors import (
        ArtifactNotFound,
        Cancelled,
        ClusterRefused,
        ClusterUnavailable,
        Conflict,
        DaemonMissingDependency,
        DaemonUnavailable,
        DigestMismatch,
        EndpointGone,
        EndpointNotFound,
        EndpointNotReady,
        EnvironmentFailed,
        Forbidden,
        InvalidConfig,
        InvalidInput,
        InvalidName,
        InvalidRequest,
        InvalidSignature,
        KaleServeError,
        LoadTimeout,
        LockUnsupported,
        ModelLoadFailed,
        NameTaken,
        NotFound,
        PredictFailed,
        PreflightFailed,
        ProgramMissing,
        SaveFailed,
        StoreFull,
        Timeout,
        Unauthorized,
        UnsafePath,
        UnsupportedModel,
        UpstreamFailed,
        VersionExists,
    )
    from kale_serve_lab.inference.signature import Signature
    from kale_serve_lab.sdk import InferenceService, serve
    from kale_serve_lab.serving.config import ServeConfig

__all__ = [
    "ArtifactNotFound",
    "Cancelled",
    "ClusterRefused",
    "ClusterUnavailable",
    "Conflict",
    "DaemonMissingDependency",
    "DaemonUnavailable",
    "Dataset",
    "DigestMismatch",
    "Endpoint",
    "EndpointGone",
    "EndpointNotFound",
    "EndpointNotReady",
    "EnvironmentFailed",
    "Forbidden",
    "InferenceService",
    "InvalidConfig",
    "InvalidInput",
    "InvalidName",
    "InvalidRequest",
    "InvalidSignature",
    "KaleServeError",
    "LoadTimeout",
    "LockUnsupported",
    "Model",
    "ModelLoadFailed",
    "NameTaken",
    "NotFound",
    "PredictFailed",
    "PreflightFailed",
    "ProgramMissing",
    "SaveFailed",
    "ServeConfig",
    "Signature",
    "StoreFull",
    "Timeout",
    "Transformer",
    "Unauthorized",
    "UnsafePath",
    "UnsupportedModel",
    "UpstreamFailed",
    "VersionExists",
    "__version__",
    "serve",
]

_ELSEWHERE = {
    "Dataset": "artifacts",
    "Endpoint": "endpoint",
    "InferenceService": "sdk",
    "Model": "artifacts",
    "ServeConfig": "serving.config",
    "Signature": "inference.signature",
    "Transformer": "artifacts",
    "serve": "sdk",
}


def __getattr__(name: str) -> Any:
    if name in ("_jupyter_server_extension_points", "_jupyter_labextension_paths"):
        return getattr(import_module(f"{__name__}.jupyter"), name)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_install_kale_names()
