from __future__ import annotations

import pandas as pd
from reference import submit
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rows = pd.DataFrame(
    {"age": [20.5, 31.0, 44.5, 58.0], "visits": [1, 4, 2, 8], "city": ["Riga", "Bari", "Bari", "Riga"]}
)
columns = ColumnTransformer(
    [("text", OneHotEncoder(), ["city"]), ("number", StandardScaler(), ["age", "visits"])]
)
model = make_pipeline(columns, LogisticRegression()).fit(rows, ["no", "yes", "no", "yes"])
submit(model, rows, model.predict(rows), name="table-sklearn-frame")
