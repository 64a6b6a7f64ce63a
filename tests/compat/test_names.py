"""Kale's names resolve beside kubeflow-kale, in its directory or another, and without it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kale_serve_lab

ROOT = Path(kale_serve_lab.__file__).parent
LINES = """
from kale.serve import serve, Endpoint, ServeConfig
from kale.common.artifacts import Model, Transformer, Dataset
from kale.common import artifacts
from kale.artifacts import Model as Same
from kale import artifacts as there
from kale.ml import Signature
from kale.common.serveutils import serve as old
import kale, kale_serve_lab
assert serve is kale_serve_lab.serve and Endpoint is kale_serve_lab.Endpoint and ServeConfig is kale_serve_lab.ServeConfig
assert Model is Same is kale_serve_lab.Model is artifacts.Model is there.Model
assert Transformer is kale_serve_lab.Transformer and Dataset is kale_serve_lab.Dataset
assert Signature is kale_serve_lab.Signature
print(getattr(kale, "OWNER", None), getattr(kale.common, "OWNER", None))
"""


def run(code, *path):
    setup = f"import sys; sys.path[:0] = {[str(p) for p in path or [ROOT.parent]]!r}\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", setup + code], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def kubeflow_kale(tmp_path):
    """A package that owns kale/__init__.py and kale/common/__init__.py, as kubeflow-kale does."""
    common = tmp_path / "theirs" / "kale" / "common"
    common.mkdir(parents=True)
    (common.parent / "__init__.py").write_text('OWNER = "kubeflow-kale"\n')
    (common / "__init__.py").write_text('OWNER = "kubeflow-kale"\n')
    (common / "utils.py").write_text("")
    return tmp_path / "theirs"


@pytest.fixture
def installed(tmp_path):
    """Our package and the kale files beside it, as the wheel lays them."""
    site = tmp_path / "ours"
    site.mkdir()
    (site / "kale_serve_lab").symlink_to(ROOT)
    shutil.copytree(ROOT / "compat" / "kale", site / "kale", ignore=shutil.ignore_patterns("__pycache__"))
    return site


def test_alone_from_the_wheels_files(installed):
    assert run(LINES, installed) == "None None"


def test_alone_without_the_wheels_files(tmp_path):
    (tmp_path / "kale_serve_lab").symlink_to(ROOT)
    assert run("import kale_serve_lab" + LINES, tmp_path) == "None None"


def test_in_the_directory_of_kubeflow_kale(kubeflow_kale, installed):
    shutil.copytree(kubeflow_kale / "kale", installed / "kale", dirs_exist_ok=True)
    assert run(LINES, installed) == "kubeflow-kale kubeflow-kale"


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_in_another_directory_than_kubeflow_kale(kubeflow_kale, installed, first):
    order = [kubeflow_kale, installed] if first == "theirs" else [installed, kubeflow_kale]
    assert run("import kale_serve_lab" + LINES, *order) == "kubeflow-kale kubeflow-kale"


def test_kubeflow_kale_imported_first(kubeflow_kale, installed):
    assert (
        run("import kale.common.utils\nimport kale_serve_lab" + LINES, kubeflow_kale, installed)
        == "kubeflow-kale kubeflow-kale"
    )


def test_no_other_name_is_touched():
    code = "import kale_serve_lab\ntry:\n    import kale.nothing\nexcept ModuleNotFoundError as e:\n    print(e.name)"
    assert run(code) == "kale.nothing"


def test_the_old_serve_names_the_new_one():
    code = """
import kale_serve_lab, warnings
from kale.common.serveutils import serve
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    try:
        serve()
    except kale_serve_lab.InvalidRequest:
        pass
print(seen[0].category.__name__, "kale_serve_lab import serve" in str(seen[0].message))
"""
    assert run(code) == "DeprecationWarning True"


def test_importing_the_package_loads_nothing_heavy():
    code = """
import kale_serve_lab, sys
print(sorted({name.partition(".")[0] for name in sys.modules} & {"numpy", "pandas", "tornado", "sklearn", "ml_metadata", "asyncio"}))
"""
    assert run(code) == "[]"
