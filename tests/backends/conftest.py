"""Artifacts that are served for real, and a driver that waits for a state by the backend's own events."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

sys.path.insert(0, str(Path(__file__).parent))
from driving import running
from local_services import SIGNATURE

sys.path.pop(0)


@pytest.fixture
def artifact(home: Path):
    """artifact(behaviour): a folder for the misbehaving server; artifact(None, model): one for the built-in server."""

    def make(behaviour: str | None, model=None) -> ArtifactRef:
        folder = home / f"artifact-{behaviour}-{id(model)}"
        folder.mkdir(exist_ok=True)
        python = Path(sys.executable)
        if behaviour is None:
            import joblib

            joblib.dump(model, folder / "model.joblib")
        else:
            (folder / "behaviour").write_text(behaviour)
            python = home / "python"
            python.write_text(
                f"#!{sys.executable}\n" + Path(__file__).with_name("misbehaving.py").read_text()
            )
            python.chmod(0o700)
        return ArtifactRef(
            1, "kale.Model", "m", "1", "u", "d", "sklearn", None, SIGNATURE,
            {"python": str(python), "packages": {"scikit-learn": "1.5", "joblib": "1.4"}}, folder,
        )  # fmt: skip

    return make


@pytest.fixture
def service(artifact):
    def make(revision: int = 1, behaviour: str | None = "good", name: str = "iris", model=None, **config):
        return InferenceService(
            ServiceKey("default", name), revision, artifact(behaviour, model), None, ServeConfig(**config),
            "kale-built-in", "v2", 0, 0,
        )  # fmt: skip

    return make


@pytest.fixture
def backend_running(home: Path):
    return running


@pytest.fixture
def key() -> ServiceKey:
    return ServiceKey("default", "iris")
