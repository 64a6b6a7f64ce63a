from __future__ import annotations

import onnxruntime
from reference import submit
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

X, y = load_iris(return_X_y=True)
X = X.astype("float32")
trained = LogisticRegression(max_iter=500).fit(X, y)
model = to_onnx(trained, X[:1], options={"zipmap": False})
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
answer = dict(zip(names, session.run(None, {session.get_inputs()[0].name: X[::30]}), strict=True))
submit(model, X[::30], answer, name="table-onnx")
