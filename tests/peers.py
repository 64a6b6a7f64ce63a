"""Environments beside our own, as users have them: a kernel with TensorFlow, a client that we did not write.

`python("tensorflow")` makes one on first use, with uv, and keeps it under `.env-stamps/peers` (or `$KALE_SERVE_PEERS_DIR`) for
the next run; its name holds a digest of what is in it, so a changed list is a new environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What every kernel has, ours included by its path; grpcio as one has it who wants gRPC of the built-in server.
KERNEL = ("numpy", "tornado", "cloudpickle", "grpcio")

PEERS: dict[str, tuple[str, ...]] = {
    # uv does not see the CPU build that pip finds; a plain `torch` would bring gigabytes of CUDA.
    "torch": (*KERNEL, "pip:torch==2.13.0"),
    "tensorflow": (*KERNEL, "tensorflow-cpu>=2.18,<3"),
    "onnx": (*KERNEL, "onnx", "onnxruntime", "skl2onnx", "scikit-learn"),
    # sklearn2pmml refuses a scikit-learn that is newer than itself.
    "pmml": (*KERNEL, "scikit-learn==1.9.0", "pandas", "sklearn2pmml", "jpmml-evaluator[jpype]"),
    "skops": (*KERNEL, "scikit-learn", "skops", "pandas"),
    "mlflow": (*KERNEL, "mlflow>=3,<4", "scikit-learn"),
    "kserve": ("kserve==0.21.0", "numpy"),
    # Its workers die on start with a newer uvloop.
    "mlserver": ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22"),
    # numpy and pyyaml it needs and does not declare.
    "torchserve": ("pip:torch==2.13.0", "torchserve==0.12.0", "numpy", "pyyaml"),
    "tritonclient": ("tritonclient[http,grpc]", "numpy"),
    # It declares `tensorflow`, which has the same modules as the CPU build and half a gigabyte more.
    "tfserving": (*KERNEL, "tensorflow-cpu>=2.18,<3", "nodeps:tensorflow-serving-api>=2.18,<3"),
    "schemathesis": ("schemathesis>=4,<5",),
}


def folder() -> Path:
    """Where the environments are kept."""
    return Path(os.environ.get("KALE_SERVE_PEERS_DIR") or ROOT / ".env-stamps" / "peers")


def python(name: str) -> Path:
    """The interpreter of the peer `name`, made if it is not there; two test processes make it once.

    Skips the test where it cannot be made (no network, say), and fails it in CI.
    """
    wanted = PEERS[name]
    digest = hashlib.sha256(repr((wanted, sys.version_info[:3])).encode()).hexdigest()[:12]
    place = folder() / f"{name}-{digest}"
    found = place / "bin" / "python"
    if found.exists() and (place / "complete").exists():
        return found
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            try:
                _make(place, wanted)
            except subprocess.CalledProcessError as error:
                shutil.rmtree(place, ignore_errors=True)
                said = f"The environment {name!r} cannot be made here: {error.stderr[-1500:]}"
                if os.environ.get("CI"):
                    pytest.fail(said)
                pytest.skip(said)
            (place / "complete").touch()
    return found


def _make(place: Path, wanted: tuple[str, ...]) -> None:
    by_pip = [item[4:] for item in wanted if item.startswith("pip:")]
    alone = [item[7:] for item in wanted if item.startswith("nodeps:")]
    by_uv = [item for item in wanted if not item.startswith(("pip:", "nodeps:"))]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"UV_COMPILE_BYTECODE": "1", "UV_SYSTEM_CERTS": "1"}

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)

    uv = (
        shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        or "uv"
    )
    seed = ["--seed"] if by_pip else []
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place)
    run(uv, "venv", "--quiet", "--python", sys.executable, *seed, str(place))
    if by_pip:
        run(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *by_pip)
    if by_uv:
        run(uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), *by_uv)
    if alone:
        run(uv, "pip", "install", "--quiet", "--no-deps", "--python", str(place / "bin" / "python"), *alone)


def main() -> int:
    """Makes all of them, so that no test has to wait for one; what cannot be made is told, and in CI is a failure."""
    failed = False
    for name in PEERS:
        try:
            python(name)
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            failed = True
            print(f"\n*** {error}\n*** The tests that need it are skipped.\n", file=sys.stderr)
    return int(failed and bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main())
