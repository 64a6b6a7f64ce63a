"""What a published artifact looks like for the server that reads it. Pure.

The built-in server takes the artifact as it is. KServe's own servers are given their model and nothing else: several of them
refuse a folder in which they find a file more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.serving.kserve.containers import user_container
from kale_serve_lab.serving.kserve.publishing import Entry, View
from kale_serve_lab.serving.runtimes import BUILT_IN, CUSTOM
from kale_serve_lab.serving.types import InferenceService

_KALE = "kale.json"
TRITON = "kserve-tritonserver"
# Of these servers the one file that they take, by suffix; more than one and they do not start.
ONE_FILE: dict[str, tuple[str, ...]] = {
    "sklearn": (".joblib", ".pkl", ".pickle"),
    "xgboost": (".bst", ".json", ".ubj"),
    "lightgbm": (".bst",),
    "pmml": (".pmml",),
}
# Format -> Triton's backend, and where the model is within its version. Of these two it reads inputs and outputs by itself.
_TRITON = {"onnx": ("onnxruntime", "model.onnx"), "tensorflow": ("tensorflow", "model.savedmodel")}


def view_of(service: InferenceService, component: str) -> View:
    """In which form a component's artifact is published: as it is for our image and for the user's own."""
    if component != "predictor" or service.runtime in (BUILT_IN, CUSTOM):
        return "kale"
    if user_container(service.config, "predictor"):
        return "kale"
    return f"triton-{service.key.name}.repo" if service.runtime == TRITON else "plain"


def layout(
    listing: Sequence[str], framework: str | None, runtime_name: str, view: View, model_name: str
) -> tuple[Entry, ...]:
    """The files there, from those of the artifact's folder (`listing`, relative paths). Raises `UnsupportedModel`."""
    files = sorted(listing)
    if view == "kale":
        return tuple(Entry(path, path) for path in files)
    files = [path for path in files if path != _KALE]
    reason = why_not(files, framework, runtime_name)
    if reason is not None:
        raise UnsupportedModel(
            reason,
            subject=model_name,
            hint="Serve it with our own image: ServeConfig(runtime='kale-built-in').",
        )
    if runtime_name == TRITON:
        return _triton(files, framework or "", model_name)
    suffixes = ONE_FILE.get(framework or "")
    if suffixes is not None:
        files = [path for path in files if "/" not in path and path.endswith(suffixes)]
    return tuple(Entry(path, path) for path in files)


def why_not(listing: Sequence[str], framework: str | None, runtime_name: str) -> str | None:
    """Why the server of this name cannot read what is there, in one sentence; None: it can."""
    files = [path for path in listing if path != _KALE]
    if runtime_name == "kserve-torchserve":
        return (
            "TorchServe takes a model archive (.mar) made for it, with a handler that its image can import; "
            "an artifact holds the model itself."
        )
    if runtime_name == TRITON:
        return _no_triton(files, framework)
    suffixes = ONE_FILE.get(framework or "")
    if suffixes is not None:
        found = [path for path in files if "/" not in path and path.endswith(suffixes)]
        if len(found) != 1:
            listed = f"{len(found)} ({', '.join(found[:5])})" if found else "none"
            return (
                f"{runtime_name} wants exactly one file {_either(suffixes)}, and the artifact has {listed}."
            )
    if framework == "tensorflow" and not any(_is_version(path) for path in files):
        return f"{runtime_name} wants a folder with a number, such as 1, that holds saved_model.pb."
    if framework == "mlflow" and "MLmodel" not in files:
        return f"{runtime_name} wants the file MLmodel at the top of the folder."
    return None


def _no_triton(files: Sequence[str], framework: str | None) -> str | None:
    if framework not in _TRITON:
        return f"Triton's image loads ONNX files and SavedModels as they are published here, not {framework or 'this'}."
    if framework == "onnx" and "model.onnx" not in files:
        return "Triton wants model.onnx, and the artifact has none."
    if framework == "tensorflow" and not any(_is_version(path) for path in files):
        return "Triton wants a folder with a number, such as 1, that holds saved_model.pb."
    return None


def _triton(files: Sequence[str], framework: str, name: str) -> tuple[Entry, ...]:
    """A model repository: `<name>/config.pbtxt`, `<name>/<version>/<the model>`."""
    backend, target = _TRITON[framework]
    # Names of services are small letters, digits and hyphens: nothing of them needs an escape.
    config = f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: 0\n'
    if framework == "tensorflow":
        config = config.replace('backend: "tensorflow"\n', 'platform: "tensorflow_savedmodel"\n')
        moved = []
        for path in files:
            version, _, rest = path.partition("/")
            if version.isdigit() and rest:
                moved.append(Entry(f"{name}/{version}/{target}/{rest}", path))
    else:
        # External data of an ONNX file lies beside it, under the name that it has in the file.
        moved = [Entry(f"{name}/1/{path}", path) for path in files]
    return (Entry(f"{name}/config.pbtxt", config.encode()), *moved)


def _is_version(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return len(parts) == 2 and parts[0].isdigit() and parts[1] == "saved_model.pb"


def _either(suffixes: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))
