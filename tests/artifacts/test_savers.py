"""What a saver writes, the model server's loader reads back, and the answers are the same to the last bit."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.cluster import DBSCAN
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kale_serve_lab
from kale_serve_lab.artifacts import savers
from kale_serve_lab.errors import UnsupportedModel

X = np.random.default_rng(1).random((60, 4))
Y = (X[:, 0] > 0.5).astype(int)

FITTED = {
    "forest": lambda: RandomForestClassifier(n_estimators=3, random_state=0).fit(X, Y),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
    "xgb": lambda: xgboost.XGBClassifier(n_estimators=3).fit(X, Y),
    "booster": lambda: xgboost.train({}, xgboost.DMatrix(X, Y), 3),
    "lgbm": lambda: lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, Y),
}


@pytest.mark.parametrize("kind", FITTED)
def test_the_same_model_has_the_same_bytes(kind, tmp_path):
    model = FITTED[kind]()
    saver = savers.saver(savers.framework_of(model))
    assert saver.problem(model) is None
    digests = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        saved = saver.save(model, folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(saved.files)
        digests.append([hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in saved.files])
    assert digests[0] == digests[1]
    assert saved.executable == (saver.PACKAGE == "sklearn")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (LogisticRegression(), "is not fitted yet"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "is not fitted yet"),
        (xgboost.XGBClassifier(), "is not fitted yet"),
        (lightgbm.LGBMClassifier(), "is not fitted yet"),
        (xgboost.Booster(), "has no boosted rounds yet"),
        (StandardScaler().fit(X), "has no predict method"),
        (DBSCAN().fit(X), "has no predict method"),
    ],
)
def test_what_cannot_predict_is_told_apart(model, says):
    assert savers.saver(savers.framework_of(model)).problem(model) == says


def test_there_is_no_saver_for_what_is_not_known():
    with pytest.raises(UnsupportedModel, match="caffe"):
        savers.saver("caffe")


def test_what_the_notebook_defined_is_stored_by_value(tmp_path):
    """A script whose function is in the model is gone when another process loads the model."""
    script = tmp_path / "script.py"
    script.write_text("""
import sys
from pathlib import Path
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from kale_serve_lab.artifacts import savers

def double(rows):
    return np.asarray(rows) * 2

model = make_pipeline(FunctionTransformer(double), LinearRegression()).fit(np.arange(5.0).reshape(-1, 1), np.arange(5.0) * 3)
print(savers.saver("sklearn").save(model, Path(sys.argv[1])).packages)
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(kale_serve_lab.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, check=True, env=environment
    )
    assert "cloudpickle" in done.stdout
    reader = "import joblib, sys; print(joblib.load(sys.argv[1]).predict([[2.0]])[0])"
    done = subprocess.run(
        [sys.executable, "-c", reader, tmp_path / "model.joblib"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(6)
