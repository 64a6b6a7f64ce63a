"""Fitted models with their signature, written to files as the savers do."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from kale_serve_lab.inference.signature import Signature, TensorSpec

V2 = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "bool": "BOOL",
    "str": "BYTES",
    "category": "BYTES",
    "object": "BYTES",
}


@dataclass
class Case:
    framework: str
    class_name: str
    model: Any  # predicts on `rows`
    rows: Any  # a few rows of the training data, as the user has them
    signature: Signature
    outputs: dict[str, Any]
    about: dict[str, Any]

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the artifact; the part of the launch spec that it decides."""
        folder.mkdir(parents=True)
        (folder / "kale.json").write_text(json.dumps({"framework": self.framework} | self.about))
        if self.framework == "sklearn":
            joblib.dump(self.model, folder / "model.joblib")
        elif self.framework == "xgboost":
            self.model.save_model(folder / "model.ubj")
        else:
            getattr(self.model, "booster_", self.model).save_model(folder / "model.bst")
        return {
            "framework": self.framework,
            "class_name": self.class_name,
            "artifact_dir": str(folder),
            "signature": self.signature.to_json(),
        }


def signature_of(X) -> Signature:
    if isinstance(X, pd.DataFrame):
        specs = [
            TensorSpec(
                name,
                V2[str(dtype)],
                categories=tuple(map(str, dtype.categories)) if hasattr(dtype, "categories") else None,
            )
            for name, dtype in X.dtypes.items()
        ]
        example = [[getattr(value, "item", lambda v=value: v)() for value in X.iloc[0].tolist()]]
        return Signature(layout="columns", named=True, inputs=specs, input_example=example)
    return Signature(
        layout="columns",
        named=False,
        inputs=[TensorSpec(f"x{i}", V2[str(X.dtype)]) for i in range(X.shape[1])],
    )


def case(framework, model, X, *names, about=None, predict=None) -> Case:
    rows = X[:7]
    outputs = (
        {name: getattr(model, name)(rows) for name in names}
        if predict is None
        else {"predict": predict(rows)}
    )
    cls = type(model)
    about = about or {
        "class_name": cls.__name__,
        "module": cls.__module__,
        "classes": model.classes_.tolist() if hasattr(model, "classes_") else None,
        "n_features": X.shape[1],
        "estimator_type": "classifier" if hasattr(model, "classes_") else "regressor",
    }
    return Case(framework, cls.__name__, model, rows, signature_of(X), outputs, about)


def iris():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order], np.array(["setosa", "versicolor", "virginica"])[y[order]]


def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X.iloc[::3], y.iloc[::3]


def mixed():
    rng = np.random.default_rng(1)
    n = 200
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "income": rng.normal(3e4, 1e4, n).astype("float32"),
            "city": rng.choice(["Athens", "Zürich", "東京"], n),
            "member": rng.random(n) < 0.5,
        }
    )
    return X, (X.age + 10 * X.member + rng.normal(0, 5, n) > 55).to_numpy().astype(int)


def sklearn_array_classifier():
    X, _, labels = iris()
    model = LogisticRegression(max_iter=500).fit(X, labels)
    return case("sklearn", model, X, "predict", "predict_proba", "decision_function")


def sklearn_frame_classifier():
    X, y = cancer()
    return case("sklearn", RandomForestClassifier(5, random_state=0).fit(X, y), X, "predict", "predict_proba")


def sklearn_float32_regressor():
    X, y, _ = iris()
    X = X.astype("float32")
    return case(
        "sklearn", RandomForestRegressor(5, random_state=0).fit(X[:, :3], X[:, 3]), X[:, :3], "predict"
    )


def sklearn_two_targets():
    X, y, _ = iris()
    return case("sklearn", LinearRegression().fit(X[:, :2], X[:, 2:]), X[:, :2], "predict")


def sklearn_mixed_pipeline():
    X, y = mixed()
    columns = ColumnTransformer(
        [("city", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), ["age", "income"])]
    )
    return case(
        "sklearn", make_pipeline(columns, LogisticRegression()).fit(X, y), X, "predict", "predict_proba"
    )


def sklearn_multi_output():
    X, y, labels = iris()
    model = RandomForestClassifier(3, random_state=0).fit(X, np.stack([y, y == 1], axis=1).astype(int))
    return case("sklearn", model, X, "predict", about={"classes": None})


def xgb_classifier():
    from xgboost import XGBClassifier

    X, y = cancer()
    return case(
        "xgboost", XGBClassifier(n_estimators=5, random_state=0).fit(X, y), X, "predict", "predict_proba"
    )


def xgb_multiclass_array():
    from xgboost import XGBClassifier

    X, y, _ = iris()
    return case("xgboost", XGBClassifier(n_estimators=5).fit(X, y), X, "predict", "predict_proba")


def xgb_regressor():
    from xgboost import XGBRegressor

    X, _, _ = iris()
    return case("xgboost", XGBRegressor(n_estimators=5).fit(X[:, :3], X[:, 3]), X[:, :3], "predict")


def xgb_booster():
    import xgboost

    X, y = cancer()
    model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, y), 5)
    return case(
        "xgboost",
        model,
        X,
        predict=lambda rows: model.predict(xgboost.DMatrix(rows)),
        about={"class_name": "Booster", "module": "xgboost.core", "classes": None, "estimator_type": None},
    )


def lgbm_classifier_labels():
    from lightgbm import LGBMClassifier

    X, _, labels = iris()
    X = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = LGBMClassifier(n_estimators=5, verbose=-1).fit(X, labels)
    return case("lightgbm", model, X, "predict", "predict_proba")


def lgbm_binary():
    from lightgbm import LGBMClassifier

    X, y = cancer()
    X = X.rename(columns=lambda name: name.replace(" ", "_"))
    return case(
        "lightgbm", LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y), X, "predict", "predict_proba"
    )


def lgbm_regressor():
    from lightgbm import LGBMRegressor

    X, _, _ = iris()
    X = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    return case(
        "lightgbm",
        LGBMRegressor(n_estimators=5, verbose=-1).fit(X[["a", "b", "c"]], X.d),
        X[["a", "b", "c"]],
        "predict",
    )


def lgbm_booster():
    import lightgbm

    X, y = cancer()
    X = X.to_numpy()
    model = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, y), 5)
    return case(
        "lightgbm",
        model,
        X,
        "predict",
        about={"class_name": "Booster", "module": "lightgbm.basic", "classes": None, "estimator_type": None},
    )


def categories():
    X, y = mixed()
    # Categories that are numbers travel as texts and must be numbers again for the model.
    year = np.random.default_rng(2).integers(2020, 2024, len(X))
    X = X.assign(city=X.city.astype("category"), year=pd.Series(year).astype("category"))
    y = y ^ (X.city.to_numpy() == "東京") ^ (year == 2021)
    return X, y


def lgbm_own_objective():
    from lightgbm import LGBMClassifier

    def log_loss(y, score):
        p = 1 / (1 + np.exp(-score))
        return p - y, p * (1 - p)

    X, y = cancer()
    X = X.to_numpy()
    model = LGBMClassifier(n_estimators=3, objective=log_loss, verbose=-1).fit(X, y)
    with warnings.catch_warnings():
        # LightGBM says at each call that it gives raw scores, which is what this case is about.
        warnings.filterwarnings("ignore", "Cannot compute class probabilities", UserWarning)
        return case("lightgbm", model, X, "predict")


def lgbm_categories():
    from lightgbm import LGBMClassifier

    X, y = categories()
    model = LGBMClassifier(
        n_estimators=10, min_child_samples=2, min_data_per_group=1, cat_smooth=0, verbose=-1
    ).fit(X, y)
    assert model.feature_importances_[-1], "the model must look at the year"
    return case("lightgbm", model, X, "predict", "predict_proba")


def xgb_categories():
    from xgboost import XGBClassifier

    X, y = categories()
    model = XGBClassifier(n_estimators=5, enable_categorical=True).fit(X, y)
    return case("xgboost", model, X, "predict", "predict_proba")


CASES = [
    sklearn_array_classifier,
    sklearn_frame_classifier,
    sklearn_float32_regressor,
    sklearn_two_targets,
    sklearn_mixed_pipeline,
    sklearn_multi_output,
    xgb_classifier,
    xgb_multiclass_array,
    xgb_regressor,
    xgb_booster,
    lgbm_classifier_labels,
    lgbm_binary,
    lgbm_regressor,
    lgbm_booster,
    lgbm_own_objective,
    lgbm_categories,
    xgb_categories,
]
