"""KALE_SERVE_TEST_KUBECONFIG tried: the tests that run on any cluster, against a fake in another process that they take for real."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(960)


@contextlib.contextmanager
def another(kubeconfig, *options):
    """A fake in a process of its own; afterwards `left` are the tests' namespaces that are still there."""
    command = [sys.executable, "-m", "tests.cluster.fake", str(kubeconfig), *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        left = []
        try:
            assert process.stdout.readline() == "ready\n"
            yield left
        finally:
            process.stdin.close()
            left += process.stdout.readline().split()
        assert process.wait(60) == 0


def run(kubeconfig, *arguments):
    """What pytest says, with that cluster; its tests clean up after themselves, so no fixture of ours does."""
    environment = {**os.environ, "KALE_SERVE_TEST_KUBECONFIG": str(kubeconfig)}
    for name in ("KALE_SERVE_TEST_STORE", "KALE_SERVE_TEST_MODEL", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [*command, "-m", "any_cluster", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def test_on_a_cluster_they_pass_or_say_why_not_and_leave_no_namespace(needs_shared, tmp_path):
    with another(tmp_path / "kubeconfig") as left:
        done = run(tmp_path / "kubeconfig", "tests/cluster")
    assert done.returncode == 0, done.stdout
    assert re.search(r"1[0-9] passed", done.stdout), done.stdout
    # The contract needs a store, and nothing else is skipped.
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped
    assert all("KALE_SERVE_TEST_STORE" in line for line in skipped), skipped
    assert left == []


def test_on_a_cluster_without_kserve_they_say_so(needs_shared, tmp_path):
    with another(tmp_path / "kubeconfig", "--without-kserve") as left:
        done = run(tmp_path / "kubeconfig", "tests/cluster/test_any_cluster.py")
    assert done.returncode == 0, done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]
    assert "the cluster has no KServe" in done.stdout
    assert left == []


def test_a_cluster_that_does_not_answer_is_no_reason_to_skip(needs_shared, tmp_path):
    with another(tmp_path / "kubeconfig"):
        pass
    done = run(tmp_path / "kubeconfig", "tests/cluster/test_any_cluster.py", "-k", "version_and_rights")
    assert done.returncode == 1, done.stdout
    assert "1 error" in done.stdout
    assert "Connection refused" in done.stdout


@pytest.mark.parametrize("file", ["test_any_cluster.py", "test_backend.py"])
def test_each_is_marked_so_that_it_is_found(file):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "any_cluster",
        "-p",
        "no:cacheprovider",
    ]
    found = subprocess.run(
        [*command, f"tests/cluster/{file}"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert f"{file}::" in found.stdout, found.stdout
    assert "test_backend_faults" not in found.stdout
