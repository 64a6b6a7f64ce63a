from __future__ import annotations

from lightgbm import LGBMRegressor
from reference import submit
from sklearn.datasets import load_diabetes

X, y = load_diabetes(return_X_y=True)
model = LGBMRegressor(n_estimators=8, verbose=-1).fit(X, y)
submit(model, X[:5], model.predict(X[:5]), name="table-lightgbm-regressor")
