"""The local store: its contract, and what only a store of files can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kale_serve_lab.stores.local import LocalStore
from tests.stores.contract import StoreContract, files_below, model

# Puts a large file and is killed on the way; the parent sees on the pipe when reading has begun.
PUT = """
import sys, threading
from pathlib import Path
from kale_serve_lab.stores import durable, local
real = local.copy_hashed
def slow(source, target):
    real(source, target)
    print("copied", flush=True)
    threading.Event().wait()
local.copy_hashed = slow
local.LocalStore(Path(sys.argv[1])).put(Path(sys.argv[2]))
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, root):
        store = LocalStore(root)
        yield store
        store.close()


def test_equal_files_lie_on_disk_once(root, tmp_path):
    store = LocalStore(root)
    one = store.put(model(tmp_path / "a", x=b"same", y=b"same"))
    two = store.put(model(tmp_path / "b", z=b"same"))
    inodes = {(store.open(one.uri) / name).stat().st_ino for name in "xy"} | {
        (store.open(two.uri) / "z").stat().st_ino
    }
    assert len(inodes) == 1
    store.close()


def test_the_trees_folders_are_read_only(root, tmp_path):
    store = LocalStore(root)
    folder = store.open(store.put(model(tmp_path / "a", sub__x=b"1")).uri)
    assert [oct(p.stat().st_mode & 0o777) for p in (folder, folder / "sub")] == ["0o555", "0o555"]
    store.close()


def test_an_unchanged_file_is_not_read_again_after_a_restart_either(root, tmp_path):
    source = model(tmp_path / "m", big=b"x" * (64 << 20))
    os.utime(source / "big", (1, 1))
    store = LocalStore(root)
    began = time.perf_counter()
    first = store.put(source)
    took = time.perf_counter() - began
    store.close()
    store = LocalStore(root)
    began = time.perf_counter()
    assert store.put(source) == first
    assert time.perf_counter() - began < took / 3
    store.close()


def test_a_file_changed_within_the_clocks_tick_is_read_again(root, tmp_path):
    store = LocalStore(root)
    source = model(tmp_path / "m", a=b"1")
    for _ in range(20):
        first = store.put(source)
        (source / "a").write_bytes(b"2")
        assert store.put(source).uri != first.uri
        (source / "a").write_bytes(b"1")
    store.close()


def test_a_damaged_cache_costs_only_time(root, tmp_path):
    store = LocalStore(root)
    stored = store.put(model(tmp_path / "m"))
    store.close()
    (root / "seen.sqlite").write_bytes(b"no database at all" * 100)
    store = LocalStore(root)
    assert files_below(store.open(stored.uri)) == {"model.joblib": b"weights"}
    store.close()


def test_killed_in_the_middle_nothing_is_there_and_the_next_start_cleans_up(root, tmp_path):
    source = model(tmp_path / "m")
    child = subprocess.Popen(
        [sys.executable, "-c", PUT, str(root), str(source)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout.readline() == b"copied\n"
    assert any((root / "tmp").iterdir())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not any((root / "trees").iterdir())
    store = LocalStore(root)
    assert not any((root / "tmp").iterdir())
    store.put(source)
    store.close()


def test_a_really_full_disk_is_told_and_what_is_there_stays_whole(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    from kale_serve_lab.errors import StoreFull

    try:
        store = LocalStore(disk / "store")
        small = store.put(model(tmp_path / "s"))
        big = disk / "staged"
        model(big, a=b"1" * (3 << 20))
        source = model(tmp_path / "b", **{f"f{i}": os.urandom(400_000) for i in range(10)})
        with pytest.raises(StoreFull, match="are free"):
            store.put(source)
        assert not any((disk / "store" / "tmp").iterdir())
        store.open(small.uri)
        store.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
@pytest.mark.parametrize("size", [0, 1, (8 << 20) + 7])
def test_a_file_of_another_file_system_is_copied_whole(tmp_path, size):
    content = os.urandom(size)
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="ksl-") as file:
        file.write(content)
        file.flush()
        store = LocalStore(tmp_path / "store")
        try:
            stored = store.put(Path(file.name))
            [path] = store.open(stored.uri).iterdir()
            assert path.read_bytes() == content
            assert stored.size == size
        finally:
            store.close()
