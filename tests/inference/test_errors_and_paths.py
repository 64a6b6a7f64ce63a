"""What everything stands on: the error tree over JSON and pickle, and directories that are ours alone."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile

import pytest

import kale_serve_lab
from kale_serve_lab import errors, paths

CLASSES = sorted((cls for cls in errors._BY_CODE.values()), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_crosses_borders_whole(cls):
    error = cls("what", subject="it", hint="do this", details={"log_tail": ["a"]})
    for found in (
        errors.from_json(error.to_json()),
        errors.from_json(error.to_json()["error"]),
        pickle.loads(pickle.dumps(error)),
    ):
        assert type(found) is cls
        assert found.to_json() == error.to_json()
        assert found.http_status == cls.http_status
        assert str(found) == "what\ndo this"
    assert cls.__name__ in errors.__doc__
    assert getattr(kale_serve_lab, cls.__name__) is cls


def test_what_a_stranger_sends_is_an_error_too():
    for value in (
        None,
        [],
        "x",
        {},
        {"error": "text"},
        {"error": {"code": 5, "message": None, "details": []}},
        {"error": {"code": "KeyError"}},
    ):
        found = errors.from_json(value)
        assert isinstance(found, errors.KaleServeError)
        assert found.message


def test_each_public_name_is_there_once():
    assert list(kale_serve_lab.__all__) == sorted(set(kale_serve_lab.__all__))
    with pytest.raises(AttributeError):
        kale_serve_lab.nonsense  # noqa: B018


def test_sockets_have_short_private_paths(home):
    for path in (
        paths.daemon_socket(),
        paths.front_socket("default", "iris"),
        paths.front_socket("n" * 63, "x" * 63),
    ):
        assert len(os.fsencode(path)) <= 100
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert paths.data_dir().stat().st_mode & 0o777 == 0o700
    assert paths.front_socket("a", "b") != paths.front_socket("a", "c")


def test_a_long_home_still_has_sockets(home, monkeypatch):
    deep = home / ("d" * 200)
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(deep))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    deep.mkdir()
    found = paths.runtime_dir()
    assert len(os.fsencode(paths.front_socket("a", "b"))) <= 100
    assert str(os.getuid()) in found.name
    (found / "f").rmdir()
    found.rmdir()


def test_a_runtime_directory_of_another_user_is_not_taken(home, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    assert paths.runtime_dir().parent == home


def test_directories_that_are_not_ours_alone_are_refused(home, monkeypatch):
    runtime = paths.runtime_dir()
    runtime.chmod(0o750)
    with pytest.raises(errors.UnsafePath, match="open to other users"):
        paths.runtime_dir()
    runtime.rmdir()
    runtime.symlink_to(home)
    with pytest.raises(errors.UnsafePath, match="not a directory"):
        paths.runtime_dir()
    runtime.unlink()
    data = paths.data_dir()
    data.chmod(0o770)
    with pytest.raises(errors.UnsafePath):
        paths.data_dir()
    data.chmod(0o755)
    assert paths.data_dir().stat().st_mode & 0o777 == 0o700
    (home / "file").write_text("")
    monkeypatch.setenv("KALE_SERVE_DATA_DIR", str(home / "file"))
    with pytest.raises(errors.UnsafePath):
        paths.data_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a directory to another user")
def test_a_directory_of_another_user_is_refused(home):
    runtime = paths.runtime_dir()
    os.chown(runtime, 12345, 12345)
    with pytest.raises(errors.UnsafePath, match="another user"):
        paths.runtime_dir()


def test_the_import_pulls_in_nothing_heavy():
    code = (
        "import sys, kale_serve_lab, kale_serve_lab.endpoint, kale_serve_lab.errors, kale_serve_lab.inference.v2\n"
        "kale_serve_lab.Endpoint, kale_serve_lab.Signature\n"
        "print([name for name in ('numpy', 'pandas', 'jsonschema', 'tornado', 'requests', 'asyncio', 'subprocess') if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
