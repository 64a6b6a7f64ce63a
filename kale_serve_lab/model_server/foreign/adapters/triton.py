"""Triton: v2 over HTTP and gRPC on loopback, the model in its Python backend by our own loaders.

`tritonserver` comes with the package nvidia-pytriton, which holds the Python backend only. A whole installation
(`tritonserver` on PATH with backends in /opt/tritonserver) is taken first for what its own backends load. Triton takes no Unix
socket. Its Python backend talks to its model through named shared memory, which outlives a server that is killed: its names are
this server's own, and `leftovers` removes them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server.foreign import own_model
from kale_serve_lab.model_server.foreign.bootstrap import script
from kale_serve_lab.model_server.foreign.launch import Given, Launch
from kale_serve_lab.model_server.foreign.leftovers import shared_memory_prefix

_INSTALLED_BACKENDS = Path("/opt/tritonserver/backends")
_BY_OUR_LOADERS = ("sklearn", "xgboost", "lightgbm", "onnx", "pytorch", "tensorflow", "python")
# Format -> the backend that loads its file itself, that file, and the name which Triton wants it to have.
_NATIVE = {
    "onnx": ("onnxruntime", "model.onnx", "model.onnx"),
    "pytorch": ("pytorch", "model.pt", "model.pt"),
    "tensorflow": ("tensorflow", "1", "model.savedmodel"),
}
# What every user of the machine could ask for on loopback, and nobody shall: behind a header whose value no header can have.
_CLOSED = "shared-memory,model-repository,statistics,trace,logging:kale-serve=\n"
_SYSTEM = (Path("/usr/bin"), Path("/bin"))
_LIBRARIES = (*Path("/usr/lib").glob("*-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib"))
_DTYPES = {"BYTES": "TYPE_STRING"}


def prepare(given: Given) -> Launch:
    """A model repository in `work`, with a configuration made from the signature."""
    spec, work = given.spec, given.work
    signature = _signature(given)
    repository = work / "repository"
    version = repository / spec.model_name / "1"
    version.mkdir(parents=True)
    native = _native(given)
    if native is None and spec.framework not in _BY_OUR_LOADERS:
        raise ModelLoadFailed(
            f"{spec.service}: the Triton of nvidia-pytriton serves {', '.join(_BY_OUR_LOADERS)}, not "
            f"{spec.framework or 'a model without a format'}.",
            subject=spec.service,
            hint="What needs another backend needs a whole installation: tritonserver on PATH, its backends in "
            f"{_INSTALLED_BACKENDS}.",
        )
    if native is not None:
        program, backends, backend = native
        _, file, name = _NATIVE[spec.framework or ""]
        (version / name).symlink_to(given.folder / file)
        env: Mapping[str, str] = {}
    else:
        package = _package(given)
        program, backends, backend = package / "bin" / "tritonserver", _backends(given, package), "python"
        shutil.copyfile(script("triton_model.py"), version / "model.py")
        env = own_model.hand_over(given) | _environment(given, package)
        # The embedded interpreter does not look at PYTHONPATH, but beside the model.
        (version / "kale_serve_lab").symlink_to(Path(env["PYTHONPATH"]) / "kale_serve_lab")
    (version.parent / "config.pbtxt").write_text(_configuration(spec.model_name, backend, signature))
    options = {
        "model-repository": repository,
        "backend-directory": backends,
        "backend-config": f"python,shm-region-prefix-name={shared_memory_prefix(work)}",
        "http-address": "127.0.0.1",
        "http-port": given.http_port,
        "grpc-address": "127.0.0.1",
        "grpc-port": given.grpc_port,
        "allow-metrics": "false",
        "model-control-mode": "none",
        "http-restricted-api": _CLOSED,
        "grpc-restricted-protocol": _CLOSED,
        # It waits whole seconds between its looks at what is still in flight; the relay has waited already.
        "exit-timeout-secs": 2,
        "log-format": "ISO8601",
        # Tables of all its options.
        "log-info": "false",
    }
    return Launch(
        argv=[
            str(program),
            *(f"--{name}={value}" for name, value in options.items()),
            "--disable-auto-complete-config",
        ],
        env=env,
        http=("127.0.0.1", given.http_port),
        grpc=f"127.0.0.1:{given.grpc_port}",
        ready_path=f"/v2/models/{spec.model_name}/ready",
        paths={"v2": f"/v2/models/{spec.model_name}/infer"},
        version=f"with its backend {backend}",
    )


def _signature(given: Given) -> Signature:
    spec = given.spec
    if spec.signature is None or not spec.signature.outputs:
        raise ModelLoadFailed(
            f"{spec.service}: Triton needs to know the model's inputs and outputs, and its artifact does not say them.",
            subject=spec.service,
            hint="Submit the model with a signature or a sample of its input.",
        )
    return spec.signature


def _native(given: Given) -> tuple[Path, Path, str] | None:
    """A whole installation with a backend for this format: the program, its backends, the backend's name."""
    backend, file, _ = _NATIVE.get(given.spec.framework or "", ("", "", ""))
    program = shutil.which("tritonserver")
    there = backend and (given.folder / file).exists() and (_INSTALLED_BACKENDS / backend).is_dir()
    return (Path(program), _INSTALLED_BACKENDS, backend) if program and there else None


def _package(given: Given) -> Path:
    """What nvidia-pytriton carries of Triton."""
    found = sorted(
        given.python.parent.parent.glob("lib/python3.*/site-packages/pytriton/tritonserver/bin/tritonserver")
    )
    if not found:
        raise ModelLoadFailed(
            f"{given.spec.service}: there is no Triton in {given.python.parent.parent}.",
            subject=given.spec.service,
            hint="Remove that environment (kale-serve environments --remove …); it is made anew.",
        )
    return found[0].parents[1]


def _backends(given: Given, package: Path) -> Path:
    """The Python backend beside the program that runs its models, which is another one for each Python."""
    python = package.parents[2].name.removeprefix("python")
    stub = package / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        raise ModelLoadFailed(
            f"{given.spec.service}: this Triton runs no models with Python {python}.",
            subject=given.spec.service,
            hint="Its environment is made with Python 3.11.",
        )
    folder = given.work / "backends" / "python"
    folder.mkdir(parents=True)
    for file in (*(package / "backends" / "python").iterdir(), stub):
        # Copied: the program looks for the backend beside itself, where links do not lead.
        if file.is_file():
            shutil.copy(file, folder / file.name)
    return folder.parent


def _environment(given: Given, package: Path) -> dict[str, str]:
    """The variables by which the program finds its libraries, and the Python that its environment was made with."""
    libraries = [package.parents[1] / "nvidia_pytriton.libs"]
    version = package.parents[2].name
    home, shared = _base_python(given.python), f"lib{version}.so.1.0"
    if (home.parent / "lib" / shared).is_file():
        libraries.append(home.parent / "lib")
    elif home not in _SYSTEM or not any((folder / shared).is_file() for folder in _LIBRARIES):
        raise ModelLoadFailed(
            f"{given.spec.service}: Triton embeds Python as a shared library, and that of {home} has none ({shared}).",
            subject=given.spec.service,
            hint=f"Install it (Debian and Ubuntu: lib{version}), or a Python by `uv python install`, and remove Triton's environment.",
        )
    path = os.pathsep.join([str(given.python.parent), os.environ.get("PATH", os.defpath)])
    return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)), "PATH": path}


def _base_python(python: Path) -> Path:
    """The folder of the interpreter that a virtual environment was made with."""
    config = python.parent.parent / "pyvenv.cfg"
    found = (
        re.search(r"^home\s*=\s*(.+?)\s*$", config.read_text(), re.MULTILINE) if config.is_file() else None
    )
    return Path(found[1]) if found else python.resolve().parent


def _configuration(name: str, backend: str, signature: Signature) -> str:
    """config.pbtxt. Requests are not batched: what comes in one is one call of the model, as in the built-in server."""
    lines = [f"name: {_text(name)}", f"backend: {_text(backend)}", "max_batch_size: 0"]
    lines += [f"input {{ {_tensor(spec)} }}" for spec in signature.wire_inputs()]
    lines += [f"output {{ {_tensor(spec)} }}" for spec in signature.outputs]
    lines.append("instance_group { count: 1 kind: KIND_CPU }")
    return "\n".join(lines) + "\n"


def _tensor(spec: TensorSpec) -> str:
    dtype = _DTYPES.get(spec.dtype, f"TYPE_{spec.dtype}")
    return f"name: {_text(spec.name)} data_type: {dtype} dims: [ {', '.join(map(str, spec.shape))} ]"


def _text(value: str) -> str:
    """A string of protobuf's text form."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in value.encode()
    )
    return f'"{escaped}"'
