from __future__ import annotations

import mlflow.sklearn
from reference import WORK, submit
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(X, y)
mlflow.sklearn.save_model(model, WORK / "saved")
submit(None, X[::30], model.predict(X[::30]), name="table-mlflow", artifact_uri=str(WORK / "saved"))
