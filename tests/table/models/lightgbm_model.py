from __future__ import annotations

from lightgbm import LGBMClassifier
from reference import submit
from sklearn.datasets import load_iris

X, y = load_iris(return_X_y=True)
model = LGBMClassifier(n_estimators=8, verbose=-1).fit(X, y)
submit(model, X[::30], model.predict(X[::30]), name="table-lightgbm")
