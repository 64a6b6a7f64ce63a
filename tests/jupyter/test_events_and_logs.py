"""The browser hears of changes at once, loses none, and follows a log for as long as it looks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

import pytest

from kale_serve_lab.client.aio import AsyncClient
from kale_serve_lab.jupyter.events import SCHEMA_ID


@pytest.fixture
def app(jp_serverapp):
    return jp_serverapp.extension_manager.extension_points["kale_serve_lab"].app


@pytest.fixture
def heard(jp_serverapp, app, jp_asyncio_loop):
    """What Jupyter's event logger gives its listeners, with the moment it came."""
    queue = asyncio.Queue()

    async def listen(logger, schema_id, data):
        queue.put_nowait((time.monotonic(), {key: data[key] for key in data if not key.startswith("__")}))

    jp_serverapp.event_logger.add_listener(schema_id=SCHEMA_ID, listener=listen)
    # The server does this when its loop runs, which it never does by itself in pytest-jupyter.
    jp_asyncio_loop.run_until_complete(app._start_jupyter_server_extension(jp_serverapp))
    yield queue
    jp_asyncio_loop.run_until_complete(app.events.stop())


async def _until(queue, wanted, seconds=20):
    async def look():
        while True:
            found = await queue.get()
            if wanted(found[1]):
                return found

    return await asyncio.wait_for(look(), seconds)


def _staged(app, home, name):
    import uuid

    staging = str(uuid.uuid4())
    folder = home / "data" / "staging" / staging
    folder.mkdir(parents=True)
    (folder / "data.txt").write_text(name)
    return {"type": "kale.Dataset", "name": name, "version": "1", "staging": staging, "executable": False, "properties": {}, "inputs": [],
            "session": {"kind": "notebook", "name": "t.ipynb", "id": "t"}}  # fmt: skip


async def test_a_change_is_heard_without_polling(home, app, heard):
    client = AsyncClient()
    await client.request("GET", "/api/services")
    await _until(heard, lambda event: event["name"] == "")
    began = time.monotonic()
    artifact = await client.request("POST", "/api/artifacts", _staged(app, home, "rows"))
    answered = time.monotonic()
    came, event = await _until(heard, lambda event: event["name"] == "rows")
    assert event["kind"] == "artifact" and event["id"] == artifact["id"]
    # A quarter of a second on a quiet machine; polling would be tens of seconds.
    assert came - answered < 5, (came - began, came - answered)
    assert not set(event) - {
        "seq",
        "kind",
        "name",
        "namespace",
        "target",
        "id",
        "revision",
        "state",
        "deleted",
    }


async def test_a_daemons_death_is_survived_and_what_was_missed_is_told(home, app, heard):
    client = AsyncClient()
    about = await client.request("GET", "/api/version")
    await _until(heard, lambda event: event["name"] == "")
    os.kill(about["pid"], signal.SIGKILL)
    # A service that has gone meanwhile: known to us, not to the next daemon.
    app.events._seen["kserve", "default", "gone"] = (1, "Ready")
    _, event = await _until(heard, lambda event: event["name"] == "gone")
    assert event["deleted"] is True
    assert event["target"] == "kserve"
    again = await client.request("GET", "/api/version")
    assert again["pid"] != about["pid"]
    await client.request("POST", "/api/artifacts", _staged(app, home, "later"))
    await _until(heard, lambda event: event["name"] == "later")


async def test_a_daemon_that_was_asked_to_leave_stays_away_until_it_is_called(home, app, heard, jp_fetch):
    client = AsyncClient()
    first = await client.request("GET", "/api/version")
    await _until(heard, lambda event: event["name"] == "")
    await client.request("POST", "/api/stop", {"services": True})
    health = None
    for _ in range(100):
        health = json.loads((await jp_fetch("kale-serve", "api", "health")).body)
        if health["daemon"] is None:
            break
        await asyncio.sleep(0.05)
    assert health["daemon"] is None and health["error"] is None
    await jp_fetch("kale-serve", "api", "services")
    await _until(heard, lambda event: event["name"] == "")
    health = json.loads((await jp_fetch("kale-serve", "api", "health")).body)
    assert health["daemon"]["pid"] != first["pid"]


async def test_a_daemon_that_cannot_start_is_a_503_that_says_why(home, jp_fetch, heard):
    (home / "data").mkdir(exist_ok=True)
    broken = home / "broken-python"
    broken.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    broken.chmod(0o755)
    (home / "data" / "interpreter").write_text(str(broken))
    for path in ("api/services", "serving/default/tumour/v2"):
        answer = await jp_fetch("kale-serve", *path.split("/"), raise_error=False)
        error = json.loads(answer.body)["error"]
        assert answer.code == 503
        assert error["code"] == "DaemonUnavailable"
        assert "no such module" in json.dumps(error) and error["hint"]


async def test_a_kernels_path_holds_only_our_package(home, jp_fetch, heard):
    for _ in range(2):
        answer = json.loads((await jp_fetch("kale-serve", "api", "kernel")).body)
    folder = answer["sdk_path"]
    assert os.listdir(folder) == ["kale_serve_lab"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import kale_serve_lab; print(kale_serve_lab.__file__)",
        folder, stdout=asyncio.subprocess.PIPE, cwd=home,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().startswith(folder)
