"""A server that we did not write as the child of a process of ours: how it starts, answers, misbehaves and ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from pathlib import Path

import pytest

from kale_serve_lab import paths
from kale_serve_lab.backends.local import procs, rows
from kale_serve_lab.backends.local.environments import Environments
from kale_serve_lab.model_server.foreign.component import _with_id
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.types import InferenceService, ServiceKey

KEY = ServiceKey("default", "iris")


async def post(
    body: bytes = b'{"id":"1"}', headers: dict[str, str] | None = None, path: str = "/v2/models/iris/infer"
) -> tuple[int, dict[str, str], bytes]:
    """One request to the front socket; the whole answer."""
    reader, writer = await asyncio.open_unix_connection(paths.front_socket("default", "iris"))
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    whole = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, rest = whole.partition(b"\r\n\r\n")
    status, *given = head.decode().split("\r\n")
    found = {name.lower(): value for name, value in (line.split(": ", 1) for line in given)}
    return int(status.split()[1]), found, rest


def alive(pid: int) -> bool:
    return procs.start_time(pid) is not None


async def until_dead(*pids: int) -> None:
    async def wait() -> None:
        # A process that is nobody's child here has no event but its pidfd, and it may be gone before that is opened.
        while any(map(alive, pids)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), 20)


def nothing_left() -> None:
    assert not [p for kind in "frcghsb" for p in (paths.runtime_dir() / kind).glob("*")]
    work = paths.data_dir() / "work"
    assert not work.exists() or not list(work.iterdir())


def test_bytes_pass_unparsed_both_ways(backend_running, odd, home) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            seen = await driver.ready(odd("echo"))
            assert seen.state == "Ready", seen.sentence
            # Neither is JSON, so it was not looked into; nor is there a limit below max_body_bytes.
            for body in (b"\x00\xff no json", os.urandom(5 << 20)):
                headers = {
                    "Content-Type": "application/x",
                    "Inference-Header-Content-Length": "3",
                    "X-Mine": "1",
                }
                status, found, answer = await post(body, headers | {"Authorization": "Bearer secret"})
                assert (status, answer) == (200, body)
                assert found["content-type"] == "application/x"
                assert found["inference-header-content-length"] == "3"
                assert found["x-kale-serve-revision"] == "1"
                got = json.loads((home / "headers").read_text())
                assert got["X-Mine"] == "1"
                assert "Authorization" not in got
            assert (await post(b"{}", path="/v1/models/iris:predict"))[0] == 200
            assert (await post(b"{}", path="/v2/models/other/infer"))[0] == 404
            child = int((home / "child").read_text())
            await driver.backend.delete(KEY)
            assert not alive(child)
            nothing_left()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [
        ("garbage", 502, "no HTTP"),
        ("endless-headers", 502, "headers have more than"),
        ("too-large", 502, "above"),
        ("cut", 503, "before it had answered"),
        ("teapot", 418, "I am a teapot"),
        ("chunked", 200, '{"id":"1"}'),
    ],
)
def test_an_answer_is_passed_on_or_said_to_be_none(backend_running, odd, behaviour, status, words) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(odd(behaviour))
            for _ in range(2):
                found, headers, body = await post()
                assert (found, words in body.decode()) == (status, True), body
                assert headers["x-kale-serve-revision"] == "1"
            assert driver.status(KEY).state == "Ready"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (
            "die-at-start",
            "ModelLoadFailed",
            "exit status 1 (ValueError: the model of this artifact cannot be read)",
        ),
        ("never-ready", "LoadTimeout", "within 2 s"),
    ],
)
def test_a_server_that_does_not_start_fails_with_its_cause(
    backend_running, odd, behaviour, code, words
) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            seen = await driver.ready(odd(behaviour, timeout=2))
            assert (seen.state, seen.error["code"]) == ("Failed", code)
            assert words in seen.sentence
            assert [stage.name for stage in seen.stages if stage.state == "failed"] == ["load"]
            await driver.backend.delete(KEY)
            nothing_left()

    asyncio.run(run())


def test_a_command_that_is_not_there_is_named(backend_running, odd) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            service = odd("echo")
            config = ServeConfig(predictor={"container": {"command": ["no-such-program"]}})
            seen = await driver.ready(
                InferenceService(KEY, 1, service.model, None, config, "custom", "v2", 0, 0)
            )
            assert seen.state == "Failed"
            assert "no-such-program" in seen.sentence
            assert seen.next_step

    asyncio.run(run())


def test_a_killed_child_is_started_again_and_the_sentence_says_why(backend_running, odd, home) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(odd("echo"))
            shim, child = driver.pid(KEY), int((home / "child").read_text())
            os.kill(child, signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            # Whoever comes now waits in the backlog until the next one is there.
            assert (await post())[0] == 200
            seen = await driver.until(KEY, lambda s: s.state == "Ready")
            assert seen.components[0].restarts == 1
            assert "custom was killed by SIGKILL" in seen.sentence
            assert driver.pid(KEY) != shim

    asyncio.run(run())


def test_a_server_that_dies_while_it_predicts_is_restarted_with_its_last_words(backend_running, odd) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(odd("die-on-predict"))
            assert (await post())[0] == 503
            seen = await driver.until(
                KEY, lambda s: s.state == "Ready" and bool(s.components) and s.components[0].restarts == 1
            )
            assert "exit status 4 (ValueError: this is the last straw)" in seen.sentence

    asyncio.run(run())


def test_kill_9_of_our_process_leaves_no_child_even_without_a_daemon(backend_running, odd, home) -> None:
    async def run() -> None:
        async with backend_running(stop=False) as driver:
            await driver.ready(odd("ignore-sigterm"))
            shim, child = driver.pid(KEY), int((home / "child").read_text())
        # No daemon is there now.
        os.kill(shim, signal.SIGKILL)
        os.waitpid(shim, 0)  # noqa: ASYNC222 (it was killed)
        await until_dead(child)
        async with backend_running() as driver:
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert (await post())[0] == 200

    asyncio.run(run())


def test_a_child_that_ignores_sigterm_goes_with_its_own_children(backend_running, odd, home) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(odd("ignore-sigterm"))
            shim, child = driver.pid(KEY), int((home / "child").read_text())
            await driver.backend.delete(KEY)
            assert not alive(shim)
            await until_dead(child)
            nothing_left()

    asyncio.run(run())


def test_the_next_daemon_adopts_the_server_and_its_child(backend_running, odd, home) -> None:
    async def run() -> None:
        async with backend_running(stop=False) as driver:
            await driver.ready(odd("echo"))
            shim, child = driver.pid(KEY), int((home / "child").read_text())
        assert (await post())[0] == 200
        async with backend_running() as driver:
            assert driver.status(KEY).state == "Ready"
            assert driver.pid(KEY) == shim
            assert alive(child)
            os.kill(child, signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            assert (await post())[0] == 200
            await driver.until(KEY, lambda s: s.state == "Ready")

    asyncio.run(run())


def test_a_switch_waits_for_the_requests_in_flight(backend_running, odd) -> None:
    async def run() -> None:
        async with backend_running() as driver:
            await driver.ready(odd("slow"))
            stop, answered = asyncio.Event(), []

            async def load() -> None:
                while not stop.is_set():
                    status, headers, _ = await post()
                    assert status == 200
                    answered.append(headers["x-kale-serve-revision"])

            loads = [asyncio.create_task(load()) for _ in range(4)]
            for revision in (2, 3):
                await driver.ready(odd("slow", revision))
                count = answered.count(str(revision))
                while answered.count(str(revision)) < count + 4 and not any(task.done() for task in loads):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            stop.set()
            await asyncio.gather(*loads)
            assert set(answered) == {"1", "2", "3"}
            await driver.until(KEY, lambda s: {part.revision for part in s.components} == {3})

    asyncio.run(run())


ROW = """
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata:
  name: mine
  annotations:
    kale-serve.dev/requirements: |
      no-such-distribution-of-kale-serve
spec:
  protocolVersions: [v2]
  supportedModelFormats:
  - name: sklearn
  containers:
  - name: kserve-container
    command: ["python", "-c", "raise SystemExit(5)"]
"""


def of_row(home: Path, revision: int = 1) -> InferenceService:
    from kale_serve_lab.serving.types import ArtifactRef

    folder = home / "artifact"
    folder.mkdir(exist_ok=True)
    rows = paths.data_dir() / "runtimes"
    rows.mkdir(exist_ok=True)
    (rows / "mine.yaml").write_text(ROW)
    model = ArtifactRef(1, "kale.Model", "m", "1", "u", "d", "sklearn", None, None, {}, folder)
    return InferenceService(KEY, revision, model, None, ServeConfig(runtime="mine"), "mine", "v2", 0, 0)


def own_environments(home: Path) -> Environments:
    folder = home / "environments"
    folder.mkdir()
    return Environments(folder)


@contextlib.contextmanager
def made_by_another(environments: Environments, name: str):
    """Another daemon makes the environment: it holds the lock."""
    with (environments.folder / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_an_environment_that_cannot_be_made_fails_the_revision_and_the_old_one_serves(
    backend_running, odd, home
) -> None:
    async def run() -> None:
        async with backend_running(environments=own_environments(home)) as driver:
            await driver.ready(odd("echo"))
            seen = await driver.ready(of_row(home, 2), 120)
            seen = await driver.until(KEY, lambda s: s.error is not None, 120)
            assert (seen.state, seen.ready_revision, seen.error["code"]) == ("Ready", 1, "EnvironmentFailed")
            assert [stage.name for stage in seen.stages if stage.state == "failed"] == ["environment"]
            assert (await post())[0] == 200

    asyncio.run(run())


@pytest.mark.parametrize("ended_by", ["delete", "update", "daemon"])
def test_waiting_for_an_environment_ends_when_nobody_wants_it_any_more(
    backend_running, odd, home, ended_by
) -> None:
    async def run() -> None:
        environments = own_environments(home)
        async with backend_running(environments=environments) as driver:
            service = of_row(home)
            runtime = rows.read(paths.data_dir() / "runtimes").find("mine")
            need = await environments.need_of(service, "predictor", runtime)
            with made_by_another(environments, environments.name_of(need)):
                await driver.backend.apply(service)
                seen = await driver.until(
                    KEY, lambda s: any(x.name == "environment" and x.state == "running" for x in s.stages)
                )
                (stage,) = [stage for stage in seen.stages if stage.name == "environment"]
                assert "another daemon" in stage.message
                assert "environment" in seen.sentence
                if ended_by == "update":
                    assert (await driver.ready(odd("echo", 2))).ready_revision == 2
                if ended_by != "daemon":
                    await driver.backend.delete(KEY)
                    nothing_left()

    asyncio.run(run())


def header_of(body: bytes, headers: dict[str, str]) -> dict:
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    return json.loads(body[:length])


@pytest.mark.parametrize(
    ("given", "has"),
    [
        (b'{"inputs": []}', True),
        (b" \n{}", True),
        (b'{"id": "", "inputs": []}', True),
        (b'{"inputs": [{"name": "id", "data": ["id"]}]}', True),
        (b'{"inputs": [{"name": "a"}], "parameters": {"id": 1}}', True),
    ],
)
def test_a_v2_request_without_an_id_gets_one(given: bytes, has: bool) -> None:
    headers: dict[str, str] = {}
    found = header_of(bytes(_with_id(given, headers)), headers)
    assert bool(found.pop("id")) is has
    before = json.loads(given)
    before.pop("id", None)
    assert found == before
    binary = given + b"\x00\x01"
    headers = {"Inference-Header-Content-Length": str(len(given))}
    whole = bytes(_with_id(binary, headers))
    assert header_of(whole, headers)["id"]
    assert whole.endswith(b"\x00\x01")
    assert int(headers["Inference-Header-Content-Length"]) == len(whole) - 2


@pytest.mark.parametrize("given", [b'{"id": "7"}', b"[1]", b"", b'{"id": ', b"\xff\xfe", b"{" * 100_000])
def test_what_has_an_id_or_is_no_request_goes_on_as_it_is(given: bytes) -> None:
    assert bytes(_with_id(given, {})) == given or given.startswith(b"{{")


def test_a_header_length_beyond_the_body_is_not_ours_to_judge() -> None:
    for length in ("99", "-1", "x", ""):
        headers = {"Inference-Header-Content-Length": length}
        assert bytes(_with_id(b"{}", headers)) == b"{}"
        assert headers == {"Inference-Header-Content-Length": length}
