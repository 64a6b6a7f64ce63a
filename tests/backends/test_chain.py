"""A transformer before its predictor: two processes of one revision that come, change, fall and go together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from kale_serve_lab import paths
from kale_serve_lab.backends.local import procs
from kale_serve_lab.serving.types import ArtifactRef, ServiceKey

sys.path.insert(0, str(Path(__file__).parent))
from local_services import SIGNATURE, sockets_left

sys.path.pop(0)

pytest.importorskip("sklearn")
KEY = ServiceKey("default", "iris")

FUNCTIONS = """
    import os

    def preprocess(inputs):
        return {"instances": [[a * %s, b] for a, b in inputs["instances"]]}

    def postprocess(outputs):
        return {"predictions": [round(value, 6) for value in outputs["predictions"]], "key": os.environ.get("API_KEY")}
"""
SUBCLASS = """
    import kserve

    class Scaled(kserve.Model):
        def __init__(self, name, predictor_host, protocol="v1"):
            super().__init__(name)
            self.predictor_host, self.protocol, self.ready = predictor_host, protocol, True

        async def preprocess(self, payload, headers=None):
            return {"instances": [[a * 2, b] for a, b in payload["instances"]]}

        def postprocess(self, result, headers=None):
            return {"predictions": [round(value, 6) for value in result["predictions"]], "key": None}
"""


@pytest.fixture
def chain(home, service):
    """chain(kind, revision, …): a LinearRegression that adds up its two columns, behind a transformer that scales one."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [1.0, 1.0, 2.0])

    def make(kind: str, revision: int = 1, *, scale: str = "2", **config):
        folder = home / f"transformer-{kind}-{revision}"
        folder.mkdir()
        if kind == "subclass":
            (folder / "module").mkdir()
            (folder / "module" / "scaled.py").write_text(textwrap.dedent(SUBCLASS))
            about = {"kind": "subclass", "module_name": "scaled", "class_name": "Scaled", "assets": {}}
        else:
            source = "import no_such_package" if kind == "broken" else textwrap.dedent(FUNCTIONS % scale)
            (folder / "functions.py").write_text(source)
            about = {
                "kind": "functional",
                "form": "source",
                "preprocess": "preprocess",
                "postprocess": "postprocess",
            }
            about["assets"] = {}
        (folder / "kale.json").write_text(json.dumps(about))
        transformer = ArtifactRef(
            2,
            "kale.Transformer",
            "t",
            "1",
            "u2",
            "d2",
            None,
            None,
            SIGNATURE,
            {"python": sys.executable},
            folder,
        )
        return replace(service(revision, None, model=model, **config), transformer=transformer, protocol="v1")

    return make


async def predict() -> dict:
    reader, writer = await asyncio.open_unix_connection(paths.front_socket("default", "iris"))
    body = b'{"instances": [[3.0, 1.0]]}'
    writer.write(
        b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    )
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return {"status": int(head.split()[1])} | json.loads(content)


def pids(driver) -> dict[str, int]:
    return {part.component: part.pid for part in driver.backend.observed(KEY).components}


@pytest.mark.parametrize("kind", ["functional", "subclass"])
def test_served_through_both_processes_and_nothing_is_left_after(backend_running, chain, kind) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            seen = await driver.ready(chain(kind))
            assert seen.state == "Ready", seen.sentence
            assert await predict() == {"status": 200, "predictions": [7.0], "key": None}
            both = pids(driver)
            assert set(both) == {"predictor", "transformer"}
            await driver.backend.delete(KEY)
            assert not [pid for pid in both.values() if procs.start_time(pid) is not None]
            assert sockets_left() == []
            assert list((paths.data_dir() / "logs").glob("default.iris*")) == []
            assert list((paths.data_dir() / "services").iterdir()) == []

    asyncio.run(run())


def test_an_update_changes_both_and_a_transformer_that_does_not_load_leaves_the_old_chain(
    backend_running, chain
) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(chain("functional"))
            assert (await driver.ready(chain("functional", 2, scale="10"))).ready_revision == 2
            assert (await predict())["predictions"] == [31.0]
            seen = await driver.ready(chain("broken", 3))
            seen = await driver.until(KEY, lambda s: s.error is not None)
            assert (seen.state, seen.ready_revision, seen.error["code"]) == ("Ready", 2, "ModelLoadFailed")
            assert "no_such_package" in seen.sentence
            assert (await predict())["predictions"] == [31.0]
            # Neither process of the failed revision stays.
            await driver.until(KEY, lambda s: {part.revision for part in s.components} == {2})

    asyncio.run(run())


def test_a_predictor_that_dies_is_started_again_below_its_transformer(backend_running, chain) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(chain("functional"))
            before = pids(driver)
            os.kill(before["predictor"], signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            # It waits in the predictor's backlog.
            assert (await predict())["predictions"] == [7.0]
            await driver.until(KEY, lambda s: s.state == "Ready")
            after = pids(driver)
            assert after["transformer"] == before["transformer"]
            assert after["predictor"] != before["predictor"]

    asyncio.run(run())


def test_the_transformers_own_variables_reach_it_alone(backend_running, chain) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            seen = await driver.ready(chain("functional", transformer={"env": {"API_KEY": "s3cret"}}))
            assert seen.state == "Ready", seen.sentence
            assert (await predict())["key"] == "s3cret"
            both = {name: Path(f"/proc/{pid}") for name, pid in pids(driver).items()}
            assert b"API_KEY=s3cret" in (both["transformer"] / "environ").read_bytes().split(b"\0")
            assert b"s3cret" not in (both["predictor"] / "environ").read_bytes()
            assert not [one for one in both.values() if b"s3cret" in (one / "cmdline").read_bytes()]

    asyncio.run(run())
