"""`python -m kale_serve_lab.model_server.check`: loads what was saved as a server would, and predicts its sample.

The framework to be imported meanwhile is the first argument; the spec is JSON on stdin, until EOF; one JSON line on stdout:
`{"outputs": {name: nested list}, "class_name", "declared", "expects"}`, or `{"error": {...}}`. Whatever the model prints
goes to stderr.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.inputs import InputReader
from kale_serve_lab.model_server.outputs import by_name, plain
from kale_serve_lab.model_server.spec import LaunchSpec

# The others follow from these.
_COMPARED = ("predict", "predict_proba")
# More numbers than this say no more.
_MOST_VALUES = 200_000
_CATEGORICAL = ("xgboost", "lightgbm")


def main() -> None:
    """Answer, and end at once: threads that a model left behind must not keep the process."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for framework in sys.argv[1:2]:
        # A package that is missing is told with the model that needs it.
        with contextlib.suppress(ImportError):
            importlib.import_module(loaders.loader(framework).PRELOAD[0])
    value = json.loads(sys.stdin.buffer.read() or b"null")
    if value is None:
        os._exit(0)
    # Whoever asked may be gone by then.
    faulthandler.dump_traceback_later(value["seconds"], exit=True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    spec = spec_of(value)
    try:
        answer = _answer(spec)
    except BaseException as error:  # a model may raise anything, SystemExit included
        import traceback

        traceback.print_exc()
        answer = loaders.load_error(spec, error).to_json()
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    sys.stderr.flush()
    os._exit(0)


def _answer(spec: LaunchSpec) -> dict[str, Any]:
    model, _ = loaders.load(spec)
    methods = {name: getattr(model, name) for name in _COMPARED if callable(getattr(model, name, None))}
    known: dict[str, Any] = {"class_name": type(model).__name__, "declared": None, "expects": None}
    with contextlib.suppress(Exception):  # a property of an odd model is no reason to refuse it
        declared = getattr(model, "declared", None)
        known["declared"] = None if declared is None else declared.to_json()
        known["expects"] = _expects(model)
    try:
        signature = spec.signature
        answered = {} if signature is None else predicted(methods, signature, str(spec.framework))
        return {**known, "outputs": answered}
    except BaseException as error:
        import traceback

        traceback.print_exc()
        return {**known, "predict": f"{type(error).__name__}: {error}"}


def _expects(model: Any) -> list[Any] | None:
    """[the number of columns, their names or null] of a model that takes numbers; None where it may take texts too."""
    own = getattr(model, "booster", model)
    # Steps of their own, or categories: what they take is not told by names.
    if (
        any(hasattr(model, name) for name in ("steps", "best_estimator_", "is_categorical_"))
        or getattr(own, "pandas_categorical", None)
        or "c" in (getattr(own, "feature_types", None) or ())
    ):
        return None
    count = getattr(model, "n_features_in_", None)
    names = getattr(model, "feature_names_in_", None)
    if count is None and callable(getattr(own, "num_feature", None)):
        count, names = own.num_feature(), own.feature_name()
    elif count is None and callable(getattr(own, "num_features", None)):
        count, names = own.num_features(), own.feature_names
    if count is None:
        return None
    listed = None if names is None else [str(name) for name in names]
    # So LightGBM calls the columns of an array.
    made_up = listed == [f"Column_{index}" for index in range(count)]
    return [int(count), None if made_up else listed]


def predicted(
    methods: Mapping[str, Callable[[Any], Any]], signature: Signature, framework: str
) -> dict[str, list[Any]]:
    """The methods' answers for the signature's sample, by the outputs' names on the wire; {} without a sample.

    Each as a list of rows. Raises whatever the model raises.
    """
    from kale_serve_lab.inference import tensors

    rows = signature.input_example
    if not rows:
        return {}
    reader = InputReader(signature, categorical=framework in _CATEGORICAL)
    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method, call in methods.items():
            if method not in _COMPARED:
                continue
            answer = plain(call(reader.rows(rows)))
            for name, array in by_name(method, answer).items():
                bounded = array if array.size <= _MOST_VALUES or array.ndim < 2 else array[:1]
                found[name] = _texts(tensors.from_array(name, bounded).array.tolist())
    return found


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(part) for part in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def spec_of(value: Mapping[str, Any]) -> LaunchSpec:
    """A launch spec of a server that never listens."""
    signature = value.get("signature")
    return LaunchSpec(
        component="predictor",
        service=str(value["name"]),
        namespace="default",
        revision=0,
        nonce="",
        artifact_dir=Path(value["folder"]),
        framework=value.get("framework"),
        class_name=value.get("class_name"),
        signature=None if signature is None else Signature.from_json(signature),
        method=None,
        listen_fd=-1,
        control_fd=-1,
        predictor_socket=None,
        protocol="v2",
        model_name=str(value["name"]),
        max_body_bytes=1 << 30,
    )


if __name__ == "__main__":
    main()
