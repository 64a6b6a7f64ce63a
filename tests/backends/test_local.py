"""The local backend holds the contract, and what only it promises: real processes that misbehave in every way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from contract import KEY, BackendContract

from kale_serve_lab import paths
from kale_serve_lab.backends.local import backend as backend_module
from kale_serve_lab.backends.local import logs, procs, records

sys.path.pop(0)


@pytest.fixture
def running(backend_running):
    return backend_running


class TestLocalBackend(BackendContract):
    pass


def alive(pid: int) -> bool:
    return procs.start_time(pid) is not None


def group_of(leader: int) -> list[int]:
    """The living members; a zombie waits for whoever adopted it, which is not us."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and procs.start_time(int(entry.name)) is not None:
            try:
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


@pytest.mark.parametrize(
    ("behaviour", "code", "stage", "words"),
    [
        ("crash", "ModelLoadFailed", "load", "exit status 9"),
        ("hang", "LoadTimeout", "load", "within 1 s"),
        ("cannot-predict", "PredictFailed", "predict", "no such method"),
        ("die-on-predict", "ModelLoadFailed", "predict", "SIGSEGV"),
    ],
)
def test_a_model_that_does_not_serve_fails_at_once_with_its_cause(
    running, service, behaviour, code, stage, words
):
    async def run() -> None:
        async with running() as driver:
            seen = await driver.ready(service(1, behaviour, timeout=1))
            assert seen.state == "Failed"
            assert seen.error["code"] == code
            assert words in seen.sentence
            assert seen.next_step
            assert [s.name for s in seen.stages if s.state == "failed"] == [stage]
            if behaviour == "crash":
                assert "cannot be read" in "\n".join(seen.error["details"]["log_tail"])
            assert not list((paths.runtime_dir() / "f").glob("*"))

    asyncio.run(run())


def test_a_failed_service_is_not_tried_again_by_the_next_daemon(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1, "crash"))
        async with running() as driver:
            assert driver.status(KEY).state == "Failed"

    asyncio.run(run())


def test_a_hang_on_load_leaves_the_old_revision_serving(running, service) -> None:
    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1))
            await driver.backend.apply(service(2, "hang", timeout=1))
            seen = await driver.until(KEY, lambda s: s.state == "Updating")
            seen = await driver.until(KEY, lambda s: s.error is not None)
            assert (seen.state, seen.ready_revision, seen.error["code"]) == ("Ready", 1, "LoadTimeout")

    asyncio.run(run())


def test_a_killed_server_comes_back_and_waiting_connections_are_served(running, service) -> None:
    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
            os.kill(pid, signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            reader, writer = await asyncio.open_unix_connection(paths.front_socket("default", "iris"))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert b"200" in await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            seen = await driver.until(KEY, lambda s: s.state == "Ready")
            assert seen.components[0].restarts == 1
            assert driver.pid(KEY) != pid

    asyncio.run(run())


def test_a_crash_loop_backs_off_and_then_fails_with_the_logs_tail(running, service, home) -> None:
    async def run() -> None:
        async with running(backoff=(0.0, 0.05, 0.1)) as driver:
            one = service(1)
            await driver.ready(one)
            (one.model.path / "behaviour").write_text("crash")
            os.kill(driver.pid(KEY), signal.SIGKILL)
            seen = await driver.until(KEY, lambda s: s.state == "Failed")
            assert "3 times" in seen.sentence
            assert "cannot be read" in "\n".join(seen.error["details"]["log_tail"])

    asyncio.run(run())


def test_a_server_that_ignores_sigterm_is_gone_within_ten_seconds_with_its_children(running, service) -> None:
    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1, "ignore-sigterm"))
            pid = driver.pid(KEY)
            began = time.monotonic()
            await driver.backend.delete(KEY)
            assert time.monotonic() - began < 10
            assert not alive(pid)
            assert not [p for kind in "frc" for p in (paths.runtime_dir() / kind).glob("*")]
            assert not list((paths.data_dir() / "services").iterdir())
            assert [p.name for p in (paths.data_dir() / "logs").iterdir()] == ["parked.log"]
            assert not group_of(pid)

    asyncio.run(run())


def test_a_stopped_server_is_replaced_within_ten_seconds(running, service) -> None:
    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
            os.kill(pid, signal.SIGSTOP)
            await driver.until(KEY, lambda s: s.state != "Ready", 10)
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert driver.pid(KEY) != pid

    asyncio.run(run())


def test_a_log_flood_is_bounded_and_the_server_goes_on(running, service, monkeypatch) -> None:
    monkeypatch.setattr(backend_module, "LOOK_SECONDS", 0.2)

    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1, "flood"))
            path = paths.data_dir() / "logs" / "default.iris" / "1-predictor.log"
            while not logs.rotated(path).exists():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.05)
            for _ in range(20):
                await asyncio.sleep(0.1)
                assert logs.rotated(path).stat().st_size <= logs.MAX_BYTES
                assert path.stat().st_size < 16 * logs.MAX_BYTES
            assert driver.status(KEY).state == "Ready"
            text = [piece async for piece in driver.backend.logs(KEY, tail=3)]
            assert "".join(text).count("\n") == 3

    asyncio.run(run())


def test_the_next_daemon_adopts_the_running_server_and_restarts_it_when_it_dies(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
        async with running() as driver:
            assert driver.status(KEY).state == "Ready"
            assert driver.pid(KEY) == pid
            os.kill(pid, signal.SIGKILL)
            await driver.until(KEY, lambda s: s.state != "Ready")
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert driver.pid(KEY) != pid

    asyncio.run(run())


def test_a_server_that_died_with_the_daemon_is_started_again_at_the_same_front(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
        os.kill(pid, signal.SIGKILL)
        async with running() as driver:
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert driver.pid(KEY) != pid

    asyncio.run(run())


def test_a_server_that_was_stopped_when_the_daemon_died_is_killed_and_replaced(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
        os.kill(pid, signal.SIGSTOP)
        async with running() as driver:
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert driver.pid(KEY) != pid
            assert not alive(pid)

    asyncio.run(run())


def test_a_stranger_and_a_recycled_pid_are_neither_adopted_nor_signalled(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1))
            pid = driver.pid(KEY)
        folder = paths.data_dir() / "services"
        (record,) = records.read_all(folder)
        (process,) = record.processes
        # The pid is somebody else's now, who answers at the control socket with another nonce.
        record.processes = [records.ProcessRecord(**{**vars(process), "nonce": "f" * 32, "start_time": 1})]
        records.write(folder, record, durable=False)
        async with running() as driver:
            await driver.until(KEY, lambda s: s.state == "Ready")
            assert driver.pid(KEY) != pid
            assert alive(pid)
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)

    asyncio.run(run())


def test_a_damaged_record_is_moved_aside_and_the_others_are_taken_over(running, service) -> None:
    async def run() -> None:
        async with running(stop=False) as driver:
            await driver.ready(service(1))
        (paths.data_dir() / "services" / "default.bad.json").write_text("{")
        async with running() as driver:
            assert driver.backend.keys() == [KEY]
            assert (paths.data_dir() / "services" / "default.bad.damaged").exists()

    asyncio.run(run())


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def parked(driver):
    """The backend's parked interpreters."""
    return driver.backend._around.pool._parked


async def until_parked(driver) -> int:
    """The pid of the first parked interpreter, once it is ready to fork."""

    async def wait() -> int:
        while True:
            for interpreter in parked(driver).values():
                if interpreter.ready:
                    return interpreter.pid
            # Nothing outside the pool is told when an interpreter has parked itself.
            await asyncio.sleep(0.02)

    return await asyncio.wait_for(wait(), 30)


@pytest.mark.parametrize(
    "answer",
    [b'{"type": "error"}', b'{"type": "forked"}', b'{"type": "forked", "pid": "x"}', b"[1]", b"\xff", b"{"],
)
def test_a_parked_interpreter_that_talks_nonsense_costs_no_time(running, service, home, answer) -> None:
    (home / "parked-answer").write_bytes(answer)

    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1))
            await until_parked(driver)
            began = time.monotonic()
            seen = await driver.ready(service(2))
            assert seen.ready_revision == 2
            assert time.monotonic() - began < 1.9, "the answer was waited for"

    asyncio.run(run())


def test_a_parked_interpreter_that_does_not_answer_is_replaced(running, service) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0])

    async def run() -> None:
        async with running() as driver:
            await driver.ready(service(1, None, model=model))
            silent = await until_parked(driver)
            os.kill(silent, signal.SIGSTOP)
            seen = await driver.ready(service(2, None, model=model))
            assert seen.ready_revision == 2
            fresh = driver.pid(KEY)
            assert b"model_server.parked" not in command_of(fresh)
            assert not alive(silent)
            assert await until_parked(driver) != silent
            await driver.ready(service(3, None, model=model))
            forked = driver.pid(KEY)
            assert b"model_server.parked" in command_of(forked)

    asyncio.run(run())


def test_a_server_above_its_memory_limit_is_restarted_and_the_sentence_says_why(
    running, service, monkeypatch
) -> None:
    monkeypatch.setattr(backend_module, "LOOK_SECONDS", 0.2)

    async def run() -> None:
        async with running() as driver:
            await driver.backend.apply(service(1, "leak", limits={"memory": "128Mi"}))
            seen = await driver.until(KEY, lambda s: s.components and s.components[0].restarts == 1)
            seen = await driver.until(KEY, lambda s: s.state == "Ready" and s.components[0].restarts == 1)
            assert "above its limit of 128 MiB" in seen.sentence
            # The next one stays below.
            await asyncio.sleep(0.5)
            assert driver.status(KEY).components[0].restarts == 1

    asyncio.run(run())


def test_variables_reach_the_process_and_never_its_command_line(running, service) -> None:
    async def run() -> None:
        async with running() as driver:
            await driver.ready(
                service(1, env={"API_KEY": "s3cret", "MODE": "common"}, predictor={"env": {"MODE": "own"}})
            )
            folder = Path(f"/proc/{driver.pid(KEY)}")
            variables = (folder / "environ").read_bytes().split(b"\0")
            assert b"API_KEY=s3cret" in variables
            assert b"MODE=own" in variables
            assert b"s3cret" not in (folder / "cmdline").read_bytes()
            assert driver.status(KEY).sentence.find("s3cret") == -1

    asyncio.run(run())
