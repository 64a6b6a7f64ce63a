"""LightGBM: `model.bst` (a text model), restored as the scikit-learn class it was, else as a Booster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kale_serve_lab.model_server import loaders

PRELOAD = ("lightgbm", "sklearn", "pandas")

_BY_TYPE = {"classifier": "LGBMClassifier", "regressor": "LGBMRegressor", "ranker": "LGBMRanker"}


def load(folder: Path, about: dict[str, Any]) -> Any:
    """An `LGBMModel` that predicts as the fitted one did, or a `Booster`."""
    path = loaders.one_file(folder, "model.bst", (".bst", ".txt"))
    import lightgbm

    booster = lightgbm.Booster(model_file=path)
    name = about.get("class_name")
    cls = getattr(lightgbm, name, None) if isinstance(name, str) and name.startswith("LGBM") else None
    if cls is None:
        derived = _BY_TYPE.get(str(about.get("estimator_type")))
        cls = getattr(lightgbm, derived) if derived else None
    return booster if cls is None else _fitted(cls(), booster, about)


def _fitted(model: Any, booster: Any, about: dict[str, Any]) -> Any:
    """What `fit` sets and `predict` reads. LightGBM has no way of its own back from a file to its scikit-learn classes."""
    import numpy as np

    model._Booster = booster  # noqa: SLF001
    model._n_features = model._n_features_in = booster.num_feature()  # noqa: SLF001
    model._best_iteration = booster.best_iteration  # noqa: SLF001
    # The file only says that an objective was the user's own; a callable is how LightGBM knows to answer raw scores.
    objective = booster.params.get("objective")
    model._objective = _own_objective if objective in (None, "custom", "none") else objective  # noqa: SLF001
    model.fitted_ = True
    classes = about.get("classes")
    if classes is not None:
        from sklearn.preprocessing import LabelEncoder

        encoder = LabelEncoder()
        encoder.classes_ = np.asarray(classes)
        model._le = encoder  # noqa: SLF001
        model._classes, model._n_classes = encoder.classes_, len(classes)  # noqa: SLF001
    return model


def _own_objective(*_: Any) -> None:
    raise NotImplementedError("the training objective is not part of a saved model")
