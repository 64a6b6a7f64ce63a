from __future__ import annotations

from reference import submit
from sklearn.datasets import load_diabetes
from xgboost import XGBRegressor

X, y = load_diabetes(return_X_y=True)
model = XGBRegressor(n_estimators=8, max_depth=3).fit(X, y)
submit(model, X[:5], model.predict(X[:5]), name="table-xgboost-regressor")
