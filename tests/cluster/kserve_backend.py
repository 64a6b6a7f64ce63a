"""A backend on a test's cluster, and what stands for it there: a volume that is mounted, servers that answer, services to ask for."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from kale_serve_lab import paths
from kale_serve_lab.backends.kserve.backend import KServeBackend
from kale_serve_lab.backends.kserve.settings import from_json
from kale_serve_lab.daemon.publications import Publications
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from driving import Driver

sys.path.pop(0)

CLAIM = "models"
# A real cluster pulls images first, and asks again after a failure in its own time.
SECONDS = 600 if os.environ.get("KALE_SERVE_TEST_KUBECONFIG") else 60
SIGNATURE = Signature(
    layout="columns",
    inputs=[TensorSpec("x0", "FP64"), TensorSpec("x1", "FP64")],
    input_example=[[0.0, 1.0], [1.0, 0.0]],
)


class Predictor:
    """Stands behind a Service: answers every prediction, or with `status` and `body` what they say."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, {"model_name": "m", "outputs": []}, []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                owner.asked.append((self.path, self.rfile.read(length)))
                body = json.dumps(owner.body).encode()
                self.send_response(owner.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def volume():
    """A folder of a mounted volume, as a claim's would be; the machine's shared memory is one."""
    folder = Path(tempfile.mkdtemp(prefix="ksl-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def settings(target, mounted, **more):
    store = {"kind": "pvc", "claim": CLAIM, "mounted": str(mounted), "prefix": "kale"}
    return from_json(
        {"kubeconfig": str(target.kubeconfig), "namespace": target.namespace, "store": store} | more
    )


def backend(found, **options):
    return KServeBackend(paths.data_dir(), found, Publications(found.store), backoff=(0.05, 0.1), **options)


class ClusterDriver(Driver):
    async def start(self) -> None:
        await super().start()
        await self.connected()

    async def until(self, key: ServiceKey, condition, seconds: float = SECONDS):
        return await super().until(key, condition, seconds)

    async def ready(self, service: InferenceService, seconds: float = SECONDS):
        return await super().ready(service, seconds)

    async def connected(self, seconds: float = SECONDS) -> None:
        """The backend has found its cluster; no service's state says so."""

        async def wait() -> None:
            while not self.backend.about()["available"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

        await asyncio.wait_for(wait(), seconds)

    async def until_gone(self, key: ServiceKey) -> None:
        await self.until(key, lambda _: self.backend.desired(key) is None)


def clients(target):
    """`running` of the contract: a backend of its own, by default with all its services deleted at the end."""

    @contextlib.asynccontextmanager
    async def running(*, stop: bool = True, found=None, **options):
        driver = ClusterDriver(backend(found or target.settings, **options))
        await driver.start()
        try:
            yield driver
        finally:
            if stop:
                for key in driver.backend.keys():  # noqa: SIM118 (a backend is no dict)
                    if driver.backend.managed(key):
                        await driver.backend.delete(key)
            await driver.backend.close(stop_services=False)

    return running


def make_service(folder: Path, revision: int = 1, name: str = "iris", namespace: str = "default", **config):
    """A service of a small scikit-learn artifact whose content differs with its revision."""
    artifact = folder / f"artifact-{revision}"
    artifact.mkdir(exist_ok=True)
    (artifact / "model.joblib").write_bytes(f"weights {revision}".encode())
    model = ArtifactRef(
        revision, "kale.Model", "m", f"1.0.{revision}", f"kale-local://sha256/{revision:064x}", f"{revision:064x}",
        "sklearn", "LogisticRegression", SIGNATURE, {}, artifact,
    )  # fmt: skip
    return InferenceService(
        ServiceKey(namespace, name), revision, model, None, ServeConfig(**config), "kserve-sklearnserver", "v2",
        revision, revision, target="kserve",
    )  # fmt: skip
