"""Environments made by the real uv: whole or not at all, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest

from kale_serve_lab.backends.local.environments import Environments, Need
from kale_serve_lab.backends.local.environments.programs import uv_command
from kale_serve_lab.errors import Conflict, EnvironmentFailed, NotFound, ProgramMissing, StoreFull
from tests.environments.conftest import TINY, Lines

REPOSITORY = Path(__file__).parents[2]


def ensure(environments, need, tell=None):
    return asyncio.run(environments.ensure(need, Lines() if tell is None else tell))


def test_one_is_made_used_kept_listed_and_removed(environments, folder):
    need, told = Need("tiny · x", (f"{TINY}>=4",), {TINY: "4.8.0", "numpy": "1.26.4"}), Lines()
    made = ensure(environments, need, told)
    assert made.packages == {TINY: "4.8.0"}
    assert made.warnings == []
    assert told and all(line.isprintable() and len(line) <= 160 for line in told), told
    where = subprocess.run(
        [made.python, "-c", f"import {TINY}, sys; print({TINY}.__file__, *sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert Path(where[0]).is_relative_to(folder)
    assert where[1:] == ["3", "11"]
    assert list(Path(where[0]).parent.glob("__pycache__/*.pyc"))
    again = Lines()
    assert ensure(environments, need, again) == made
    assert again == []
    # The label is for people; what is asked for decides.
    assert environments.name_of(Need("else", need.requirements, need.pins)) == made.name
    [info] = environments.all()
    assert (info.name, info.label, info.complete, info.packages) == (
        made.name,
        "tiny · x",
        True,
        {TINY: "4.8.0"},
    )
    assert info.size > 10_000
    assert environments.made(need) == info
    asyncio.run(environments.remove(made.name))
    assert environments.all() == []
    for name in (made.name, "", ".", "..", "../environments", ".x.lock"):
        with pytest.raises(NotFound):
            asyncio.run(environments.remove(name))


def test_a_pin_that_does_not_resolve_is_dropped_and_said(environments):
    made = ensure(environments, Need("tiny", (f"{TINY}>=4.8",), {TINY: "4.1.0", "numpy": "1.26.4"}))
    assert made.packages[TINY] >= "4.8"
    [warning] = made.warnings
    assert f"{TINY}==4.1.0" in warning and "numpy" not in warning
    # Whoever asks later is told as well.
    assert ensure(environments, Need("tiny", (f"{TINY}>=4.8",), {TINY: "4.1.0", "numpy": "1.26.4"})) == made


def test_a_package_that_is_no_more_is_named(environments, empty_index, folder):
    told = Lines()
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(environments, Need("gone", ("no-such-package-of-ours",), {"numpy": "1.26.4"}), told)
    assert caught.value.subject == "no-such-package-of-ours"
    assert "no-such-package-of-ours" in caught.value.message
    assert empty_index
    said = json.dumps(caught.value.to_json()) + "".join(told)
    assert "hunter2" not in said and "bob" not in said
    assert environments.made(Need("gone", ("no-such-package-of-ours",), {"numpy": "1.26.4"})) is None
    [left] = environments.all()
    assert not left.complete


def test_an_index_that_cannot_be_reached_is_said_without_its_password(environments, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://bob:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed, match="index cannot be reached") as caught:
        ensure(environments, Need("tiny", (TINY,)))
    assert "hunter2" not in json.dumps(caught.value.to_json())


async def _until(event: threading.Event) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, 60)


def installers(name="uv"):
    return [one for one in psutil.Process().children(recursive=True) if one.name() == name]


def test_an_installer_that_is_killed_leaves_nothing_that_is_used(environments, silent_index):
    need = Need("tiny", (TINY,))

    async def killed():
        task = asyncio.ensure_future(environments.ensure(need, Lines()))
        await _until(silent_index)
        for one in installers():
            one.kill()
        with pytest.raises(EnvironmentFailed, match="signal 9"):
            await task

    asyncio.run(killed())
    assert environments.made(need) is None
    assert installers() == []


def test_one_that_is_cancelled_ends_its_installer_and_gives_its_place_free(
    environments, silent_index, monkeypatch
):
    need = Need("tiny", (TINY,))

    async def cancelled():
        task = asyncio.ensure_future(environments.ensure(need, Lines()))
        await _until(silent_index)
        with pytest.raises(Conflict):
            await environments.remove(environments.name_of(need))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert installers() == []
        monkeypatch.delenv("UV_DEFAULT_INDEX")
        assert TINY in (await environments.ensure(need, Lines())).packages

    asyncio.run(cancelled())


MAKES = """
    import asyncio, sys
    from pathlib import Path
    from kale_serve_lab.backends.local.environments import Environments, Need
    asyncio.run(Environments(Path(sys.argv[1])).ensure(Need("tiny", ("tinydb",)), lambda line: print(line, flush=True)))
"""


def maker(folder, **options):
    command = [sys.executable, "-c", textwrap.dedent(MAKES), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, **options)


def test_a_daemon_that_is_killed_takes_its_installer_along_and_the_next_makes_it_whole(
    environments, folder, silent_index, monkeypatch
):
    first = maker(folder)
    assert silent_index.wait(60)
    children = psutil.Process(first.pid).children(recursive=True)
    assert "uv" in [one.name() for one in children]
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    need = Need("tiny", (TINY,))
    assert environments.made(need) is None
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    made = ensure(environments, need)
    assert TINY in made.packages
    assert environments.made(need) is not None


def test_two_daemons_and_two_services_make_one(environments, folder):
    other = maker(folder)

    async def both():
        need, lines = Need("tiny", (TINY,)), (Lines(), Lines())
        return await asyncio.gather(*(environments.ensure(need, told) for told in lines)), lines

    (one, two), told = asyncio.run(both())
    other.communicate(timeout=120)
    assert other.returncode == 0
    assert one == two
    # Who waits is told what the one who makes it is told; who finds it whole is told nothing.
    assert all(
        lines[0] in ("Makes a virtual environment.", "Waits for another daemon that makes it.")
        for lines in told
        if lines
    )
    assert [info.complete for info in environments.all()] == [True]


def test_what_is_not_whole_or_has_lost_its_python_is_made_again(environments, folder):
    need = Need("tiny", (TINY,))
    made = ensure(environments, need)
    python = folder / made.name / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert environments.made(need) is None
    assert ensure(environments, need) == made
    assert python.exists()
    manifest = folder / made.name / "environment.json"
    for content in ("", "[]", "{}", '{"label": 1}', "\0"):
        manifest.write_text(content)
        assert environments.made(need) is None
        assert [info.complete for info in environments.all()] == [False]
    assert ensure(environments, need) == made


def test_a_disk_without_room_is_named_with_what_is_needed(folder):
    with pytest.raises(StoreFull) as caught:
        ensure(Environments(folder, min_free_bytes=1 << 60), Need("tiny", (TINY,)))
    assert str(folder) in caught.value.message
    assert "1152921504.6 GB" in caught.value.message
    assert "--prune" in caught.value.hint


def test_a_missing_program_is_named_with_its_debian_package(environments, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramMissing, match="java") as caught:
        ensure(environments, Need("kserve-torchserve", (TINY,), programs=("java",)))
    assert caught.value.subject == "java"
    assert "default-jre-headless" in caught.value.hint
    assert environments.all() == []
    with pytest.raises(ProgramMissing, match="tensorflow_model_server"):
        ensure(environments, Need("x", programs=("tensorflow_model_server",)))


def test_programs_alone_need_no_environment(environments):
    made = ensure(environments, Need("shell", programs=("sh",)))
    assert (made.name, made.packages, made.python) == (None, {}, Path(sys.executable))
    assert os.access(made.programs["sh"], os.X_OK)
    assert environments.all() == []


def test_a_python_that_is_not_there_is_said(environments):
    with pytest.raises(EnvironmentFailed, match="needs a Python that is not on this machine"):
        ensure(environments, Need("old", (TINY,), python="/nowhere/python"))


def test_uv_that_is_missing_is_named_with_the_command_that_installs_it():
    beside_none = os.path.realpath(sys.executable)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from kale_serve_lab.errors import EnvironmentFailed\n"
        "from kale_serve_lab.backends.local.environments.programs import uv_command\n"
        "try: print(uv_command())\n"
        "except EnvironmentFailed as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [beside_none, "-I", "-c", script, str(REPOSITORY)],
        capture_output=True,
        text=True,
        env={"PATH": "/nowhere"},
        check=False,
    )
    if done.stdout.startswith("["):
        pytest.skip("the interpreter below the tests' own has a uv of its own")
    assert done.stdout == f"Install it: {beside_none} -m pip install uv\n", done.stderr
    assert uv_command()
