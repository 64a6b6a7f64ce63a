"""Which versions of a framework KServe's images serve, as their ServingRuntimes say (`supportedModelFormats[].version`). Pure."""

from __future__ import annotations

from kale_serve_lab.serving.need import recorded_packages
from kale_serve_lab.serving.runtimes import Runtime, served
from kale_serve_lab.serving.types import ArtifactRef

# Runtime -> format -> major versions; the same in KServe 0.15 to 0.20. What is not known is not here.
_SERVED: dict[str, dict[str, tuple[str, ...]]] = {
    "kserve-sklearnserver": {"sklearn": ("1",)},
    "kserve-xgbserver": {"xgboost": ("2",)},
    "kserve-lgbserver": {"lightgbm": ("4",)},
    "kserve-mlserver": {
        "sklearn": ("0", "1"),
        "xgboost": ("1", "2"),
        "lightgbm": ("3", "4"),
        "mlflow": ("1", "2"),
    },
    "kserve-tensorflow-serving": {"tensorflow": ("1", "2")},
}
_PACKAGES = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
}


def skewed(model: ArtifactRef, runtime: Runtime) -> list[str]:
    """`saved with xgboost 3.0, kserve-xgbserver serves 2`, for each package whose major version is another one.

    What the cluster's own ServingRuntime lists counts; else what KServe ships.
    """
    row = served(runtime, model.framework)
    listed = row.versions if row is not None else ()
    majors = tuple(dict.fromkeys(one.split(".")[0] for one in listed))
    majors = majors or _SERVED.get(runtime.name, {}).get(model.framework or "", ())
    if not majors:
        return []
    packages = recorded_packages(model)
    return [
        f"saved with {name} {packages[name]}, and {runtime.name} serves {' and '.join(majors)}"
        for name in _PACKAGES.get(model.framework or "", ())
        if name in packages and packages[name].split(".")[0] not in majors
    ]
