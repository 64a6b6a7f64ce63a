"""Artifacts that are served for real, and a driver that waits for a state by the backend's own events."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from kale_serve_lab import paths
from kale_serve_lab.backends.local import LocalBackend
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.status import status
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey, Status

SIGNATURE = Signature(
    layout="columns",
    inputs=[TensorSpec("x0", "FP64"), TensorSpec("x1", "FP64")],
    input_example=[[0.0, 1.0], [1.0, 0.0]],
)


class Driver:
    """A backend, and waiting for what it says."""

    def __init__(self, backend) -> None:
        self.backend = backend
        self._event = asyncio.Event()

    async def start(self) -> None:
        await self.backend.start(lambda _: self._event.set())

    def status(self, key: ServiceKey) -> Status:
        return status(self.backend.desired(key), self.backend.observed(key))

    async def until(self, key: ServiceKey, condition, seconds: float = 30) -> Status:
        """The status as soon as `condition(status)` holds."""

        async def wait() -> Status:
            while True:
                self._event.clear()
                seen = self.status(key)
                if condition(seen):
                    return seen
                await self._event.wait()

        try:
            return await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"not within {seconds} s: {self.backend.observed(key)}") from None

    async def ready(self, service: InferenceService, seconds: float = 30) -> Status:
        await self.backend.apply(service)
        return await self.until(
            service.key, lambda s: s.ready_revision == service.revision or s.error is not None, seconds
        )

    def pid(self, key: ServiceKey) -> int:
        front = self.backend.observed(key).front
        return next(p.pid for p in self.backend.observed(key).components if p.revision == front)


@contextlib.asynccontextmanager
async def running(*, stop: bool = True, **options):
    driver = Driver(LocalBackend(**options))
    await driver.start()
    try:
        yield driver
    finally:
        await driver.backend.close(stop_services=stop)


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


def sockets_left() -> list[Path]:
    return [path for kind in "frc" for path in (paths.runtime_dir() / kind).glob("*")]


@pytest.fixture
def backend_running(home: Path):
    return running
