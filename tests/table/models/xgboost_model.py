from __future__ import annotations

from reference import submit
from sklearn.datasets import load_iris
from xgboost import XGBClassifier

X, y = load_iris(return_X_y=True)
model = XGBClassifier(n_estimators=8, max_depth=3).fit(X, y)
submit(model, X[::30], model.predict(X[::30]), name="table-xgboost")
