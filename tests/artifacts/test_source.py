"""Whose code a model is made of: what no server has goes along, and what it imports is known with its version."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kale_serve_lab.artifacts import environment, savers, source
from kale_serve_lab.artifacts.savers import python

HELPERS = """
import joblib
from inner import shift

FACTOR = 3

class Base:
    def predict(self, rows):
        return shift(rows) * FACTOR
"""
SCRIPT = '''
import json, sys
from pathlib import Path
import numpy as np
import helpers
from kale_serve_lab.artifacts import savers, source

WORDS = ["a"]

def double(rows):
    import pandas as pd
    return np.asarray(pd.DataFrame(rows)) * 2 + len(WORDS)

class Mine(helpers.Base):
    """Mine."""
    def predict(self, rows):
        return super().predict(double(rows))

folder = Path(sys.argv[1])
saved = savers.saver("python").save(Mine(), folder)
print(json.dumps({"files": saved.files, "packages": saved.packages, "answer": Mine().predict([[1.0]]).tolist()}))
'''


def test_a_script_and_the_modules_beside_it_go_along_by_value(tmp_path):
    beside, artifact = tmp_path / "beside", tmp_path / "artifact"
    beside.mkdir()
    artifact.mkdir()
    (beside / "helpers.py").write_text(HELPERS)
    (beside / "inner.py").write_text("def shift(rows):\n    return rows + 1\n")
    (beside / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, beside / "script.py", artifact], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said["files"]) == {
        "model.pkl",
        "requirements.txt",
        "source/helpers.py",
        "source/inner.py",
        "source/notebook.py",
    }
    assert {"cloudpickle", "joblib", "numpy", "pandas"} <= set(said["packages"])
    text = (artifact / "source" / "notebook.py").read_text()
    assert "class Mine(helpers.Base):" in text
    assert "def double(rows):" in text
    assert (artifact / "source" / "helpers.py").read_text() == HELPERS
    pinned = (artifact / "requirements.txt").read_text().splitlines()
    assert f"joblib=={metadata.version('joblib')}" in pinned
    # Where nothing of it can be imported.
    reader = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).predict([[1.0]]).tolist())"
    done = subprocess.run(
        [sys.executable, "-c", reader, artifact / "model.pkl"],
        capture_output=True,
        text=True,
        cwd="/",
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == said["answer"] == [[12.0]]


def test_installed_and_standard_modules_are_nobodys_own(monkeypatch, tmp_path):
    import kale_serve_lab  # noqa: F401 (installed as editable)

    for name in ("json", "sys", "numpy", "sklearn.linear_model", "kale_serve_lab.errors", "nothing_such"):
        assert not source.is_own(name), name
    assert source.is_own("__main__")
    (tmp_path / "found_by_variable.py").write_text("x = 1\n")
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "__init__.py").write_text("from . import part\n")
    (tmp_path / "package_of_mine" / "part.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import found_by_variable  # noqa: F401
    import package_of_mine.part  # noqa: F401

    try:
        assert source.is_own("found_by_variable")
        assert source.is_own("package_of_mine.part")
        assert {module.__name__ for module in source.own_modules()} >= {
            "found_by_variable",
            "package_of_mine",
        }
        # A fresh interpreter finds what the variable says.
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        assert not source.is_own("found_by_variable")
        assert not source.is_own("package_of_mine.part")
    finally:
        for name in ("found_by_variable", "package_of_mine", "package_of_mine.part"):
            sys.modules.pop(name)


def test_the_packages_of_all_steps_are_recorded():
    lightgbm = pytest.importorskip("lightgbm")
    model = make_pipeline(
        make_column_transformer((StandardScaler(), [0, 1])), lightgbm.LGBMRegressor(verbose=-1)
    )
    model.fit(np.random.default_rng(0).random((20, 2)), np.arange(20.0))
    packages = environment.environment(("joblib",), source.packages_of(model))["packages"]
    assert packages["lightgbm"] == metadata.version("lightgbm")
    assert packages["scikit-learn"] == metadata.version("scikit-learn")
    assert packages["numpy"]
    assert packages["joblib"]
    assert "json" not in source.packages_of(model)


def test_a_version_that_no_index_has_loses_its_label(monkeypatch):
    monkeypatch.setattr(environment, "_version", lambda name: "2.13.0+cpu" if name == "torch" else None)
    assert environment.requirements({"torch"}) == "torch==2.13.0\n"


def test_distributions_go_by_the_names_that_an_index_has():
    found = environment.distributions({"sklearn", "dateutil", "xgboost", "IPython"})
    assert set(found) == {"scikit-learn", "python-dateutil", "xgboost", "ipython"}


class Predicts:
    def predict(self, rows):
        return rows


class ByMeta(type):
    @property
    def __module__(cls):
        raise AssertionError("a metaclass was asked")


class Fluent(metaclass=ByMeta):
    @property
    def predict(self):
        raise AssertionError("a property was asked")


def test_any_class_with_predict_is_a_model_and_nothing_else_is():
    import unittest.mock

    from kale_serve_lab import Endpoint

    class Static:
        predict = staticmethod(lambda rows: rows)

    class Value:
        predict = 3

    for model in (Predicts(), Static(), type("Derived", (Predicts,), {})()):
        assert savers.framework_of(model) == "python", model
    for other in (
        Predicts,
        Value(),
        Fluent(),
        Endpoint.__new__(Endpoint),
        lambda rows: rows,
        sys,
        unittest.mock.Mock(),
        np.zeros(3),
        None,
    ):
        assert savers.framework_of(other) is None, type(other)
    assert savers.framework_of(LinearRegression()) == "sklearn"


def test_a_function_answers_as_predict_when_it_is_given():
    def double(rows):
        return np.asarray(rows) * 2

    assert python.is_function(double)
    assert not python.is_function(np.mean)
    assert not python.is_function(Predicts().predict)
    assert savers.methods(double)["predict"]([1]).tolist() == [2]
