"""Real servers in environments made by ourselves, kept for the next run; and services of the test's own backend."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "tests" / "backends"))
from driving import running

sys.path.pop(0)

SIGNATURE = Signature(
    layout="columns",
    inputs=[TensorSpec("x0", "FP64"), TensorSpec("x1", "FP64")],
    outputs=[TensorSpec("predict", "FP64", (-1,))],
    input_example=[[0.0, 1.0], [1.0, 0.0]],
)
KEY = ServiceKey("default", "iris")


@pytest.fixture(scope="module", autouse=True)
def environments():
    """One folder of environments for all tests here, and for the next run; other tests have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        if "KALE_SERVE_ENVIRONMENTS_DIR" not in os.environ:
            patch.setenv("KALE_SERVE_ENVIRONMENTS_DIR", str(ROOT / ".env-stamps" / "environments"))
        yield


@pytest.fixture
def odd(home: Path):
    """odd(behaviour): a service whose predictor is the user's command `odd_server.py`, which does as it is told."""

    def make(behaviour: str, revision: int = 1, signature: Signature | None = None, **config):
        script = Path(__file__).with_name("odd_server.py")
        command = {
            "command": [sys.executable, str(script), behaviour, "{{.Name}}"],
            "env": {"STATE": str(home)},
        }
        return InferenceService(
            KEY, revision, artifact(home, signature), None, ServeConfig(predictor={"container": command}, **config),
            "custom", "v2", 0, 0,
        )  # fmt: skip

    return make


def artifact(home: Path, signature: Signature | None, framework: str | None = None) -> ArtifactRef:
    folder = home / "artifact"
    folder.mkdir(exist_ok=True)
    return ArtifactRef(
        1, "kale.Model", "m", "1", "u", "d", framework, None, signature, {"python": sys.executable}, folder
    )


@pytest.fixture
def backend_running(home: Path):
    return running
