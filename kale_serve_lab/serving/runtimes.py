"""The table of runtimes, and KServe's rule to choose from it: format and protocol match, then priority.

Names, formats, protocols and priorities are those of KServe's own ClusterServingRuntimes (v0.20), so that what is chosen
here is chosen there; the requirements are what the same server needs on this machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kale_serve_lab.errors import UnsupportedModel
from kale_serve_lab.serving.config import PROTOCOLS, variables

BUILT_IN = "kale-built-in"
CUSTOM = "custom"
# Below every other priority stands what is only taken by its name.
_LOCAL_FIRST = 1000
# KServe's own rows, ours or as a cluster has them; the user's and a namespace's come before them.
_LAST = ("table", "cluster")


@dataclass(frozen=True)
class ServedFormat:
    """One format that a runtime serves, and what its environment needs for it beside the runtime's own requirements.

    For the built-in server `requirements` is what the model's own interpreter must have. `programs` must be on PATH. `versions`
    are those of the format that a cluster's ServingRuntime names.
    """

    format: str
    protocols: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    priority: int = 1
    auto_select: bool = True
    programs: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """A kind of model server: what it serves, and how it runs here.

    `adapter` is a module of `model_server/foreign/adapters`, "" the built-in server. `requirements` are those of an
    environment of its own; without any (and without an adapter) the model's own interpreter serves. `python` is what uv
    takes for one ("3.11", ">=3.10,<3.13", a path); None: any 3.11. `programs` must be on PATH. `binary`: takes v2's binary tensors.
    `size`: about how many bytes its environment takes.
    `command` and `env` belong to the adapter `command`; `ignored` are fields of the user's YAML that have no effect here. `source` is "table", "config", the
    path of a user's YAML file, or where a cluster has it: "namespace", "cluster".
    """

    name: str
    formats: tuple[ServedFormat, ...]
    adapter: str
    requirements: tuple[str, ...] = ()
    python: str | None = None
    programs: tuple[str, ...] = ()
    binary: bool = False
    size: int | None = None
    image: str | None = None
    cluster: bool = True
    source: str = "table"
    command: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def _cpu(name: str) -> tuple[str, str]:
    # The usual builds bring half a gigabyte of CUDA; those without it are made for one platform only.
    where = 'sys_platform == "linux" and platform_machine == "x86_64"'
    elsewhere = 'sys_platform != "linux" or platform_machine != "x86_64"'
    return f"{name}-cpu; {where}", f"{name}; {elsewhere}"


def _built_in(name: str, *requirements: str, programs: tuple[str, ...] = ()) -> ServedFormat:
    return ServedFormat(name, ("v1", "v2", "grpc-v2"), requirements, _LOCAL_FIRST, programs=programs)


def _mlserver(name: str, requirement: str, priority: int = 2) -> ServedFormat:
    return ServedFormat(name, ("v2",), (requirement,), priority)


def _kserve(name: str, *requirements: str) -> tuple[ServedFormat, ...]:
    return (ServedFormat(name, ("v1", "v2"), requirements),)


def _triton(name: str, *requirements: str, auto_select: bool = True) -> ServedFormat:
    return ServedFormat(name, ("v2", "grpc-v2"), requirements, auto_select=auto_select)


RUNTIMES: tuple[Runtime, ...] = (
    Runtime(
        name=BUILT_IN,
        formats=(
            _built_in("sklearn", "scikit-learn", "joblib"),
            _built_in("xgboost", *_cpu("xgboost")),
            _built_in("lightgbm", "lightgbm"),
            _built_in("pytorch", "torch"),
            _built_in("tensorflow", *_cpu("tensorflow")),
            _built_in("onnx", "onnxruntime"),
            _built_in("pmml", "jpmml-evaluator[jpype]", programs=("java",)),
            _built_in("mlflow", "mlflow"),
            _built_in("python", "cloudpickle"),
        ),
        adapter="",
        binary=True,
        cluster=False,
    ),
    Runtime(
        name="kserve-mlserver",
        formats=(
            _mlserver("sklearn", "mlserver-sklearn==1.7.1"),
            _mlserver("xgboost", "mlserver-xgboost==1.7.1"),
            _mlserver("lightgbm", "mlserver-lightgbm==1.7.1"),
            _mlserver("mlflow", "mlserver-mlflow==1.7.1", priority=1),
        ),
        adapter="mlserver",
        size=600_000_000,
        # Its worker processes die on start with a newer uvloop.
        requirements=("mlserver==1.7.1", "uvloop<0.22"),
        image="mlserver",
    ),
    Runtime(
        name="kserve-sklearnserver",
        formats=_kserve("sklearn", "scikit-learn", "joblib"),
        adapter="kserve",
        size=600_000_000,
        requirements=("kserve==0.21.0",),
        binary=True,
        image="kserve-sklearnserver",
    ),
    Runtime(
        name="kserve-xgbserver",
        formats=_kserve("xgboost", *_cpu("xgboost")),
        adapter="kserve",
        size=600_000_000,
        requirements=("kserve==0.21.0",),
        binary=True,
        image="kserve-xgbserver",
    ),
    Runtime(
        name="kserve-lgbserver",
        formats=_kserve("lightgbm", "lightgbm", "pandas"),
        adapter="kserve",
        size=600_000_000,
        requirements=("kserve==0.21.0",),
        binary=True,
        image="kserve-lgbserver",
    ),
    Runtime(
        name="kserve-pmmlserver",
        formats=_kserve("pmml", "jpmml-evaluator[py4j]"),
        adapter="kserve",
        size=600_000_000,
        requirements=("kserve==0.21.0",),
        programs=("java",),
        binary=True,
        image="kserve-pmmlserver",
    ),
    Runtime(
        name="kserve-torchserve",
        formats=(ServedFormat("pytorch", ("v1", "v2"), priority=2),),
        adapter="torchserve",
        size=800_000_000,
        # The last release (archived upstream); it declares neither numpy nor pyyaml, and our handler loads modules by value.
        requirements=("torchserve==0.12.0", "torch==2.13.0", "numpy", "pyyaml", "cloudpickle"),
        programs=("java",),
        binary=True,
        image="kserve-torchserve",
        # KServe's TorchServe takes model archives made for it; on a cluster our own image serves PyTorch's files.
        cluster=False,
    ),
    Runtime(
        name="kserve-tritonserver",
        formats=(
            _triton("tensorrt"),
            _triton("tensorflow", "tensorflow-cpu"),
            _triton("onnx", "onnxruntime"),
            _triton("pytorch", "torch==2.13.0", "cloudpickle", auto_select=False),
            _triton("triton"),
            # By its Python backend, here only: KServe's row does not list them.
            _triton("sklearn", "scikit-learn", "joblib", "pandas", auto_select=False),
            _triton("xgboost", "xgboost-cpu", "scikit-learn", "pandas", auto_select=False),
            _triton("lightgbm", "lightgbm", "scikit-learn", "pandas", auto_select=False),
            _triton("python", "cloudpickle", "pandas", auto_select=False),
        ),
        adapter="triton",
        # The last release; it carries Triton 2.51 with one Python backend for each Python from 3.8 to 3.13, and wants numpy < 2.
        requirements=("nvidia-pytriton==0.7.0",),
        binary=True,
        image="kserve-tritonserver",
    ),
    Runtime(
        name="kserve-tensorflow-serving",
        formats=(ServedFormat("tensorflow", ("v1", "grpc-v1"), priority=2),),
        adapter="tensorflow_serving",
        programs=("tensorflow_model_server",),
        image="tensorflow-serving",
    ),
)


def served(runtime: Runtime, model_format: str | None) -> ServedFormat | None:
    """What the runtime says of this format, if it serves it."""
    return next((found for found in runtime.formats if found.format == model_format), None)


def why_not(runtime: Runtime, model_format: str | None, protocol: str) -> str | None:
    """Why the runtime does not serve this, in one sentence; None: it does."""
    if runtime.name == CUSTOM:
        return None
    found = served(runtime, model_format)
    if found is None:
        formats = _all([one.format for one in runtime.formats])
        return f"{runtime.name} serves {formats}, not {model_format or 'a model without a format'}."
    if protocol in found.protocols:
        return None
    spoken = _all(found.protocols)
    only = " only" if len(found.protocols) == 1 else ""
    return f"{runtime.name} speaks {spoken}{only} for {model_format}, not {protocol}."


def select(
    model_format: str | None, protocol: str, name: str | None = None, runtimes: Iterable[Runtime] = RUNTIMES
) -> Runtime:
    """The runtime for a model's format and a protocol: that of this name, else the one of the highest priority.

    A user's own rows come before the table's others, as a namespace's do with KServe. Raises `UnsupportedModel`.
    """
    rows = tuple(runtimes)
    if name is not None:
        return _named(rows, name, model_format, protocol)
    fitting = [
        (one.priority, runtime.source not in _LAST, -place, runtime)
        for place, runtime in enumerate(rows)
        for one in runtime.formats
        if one.format == model_format and protocol in one.protocols and one.auto_select
    ]
    if fitting:
        # The built-in server is first on this machine; then the user's rows, then priority.
        return max(fitting, key=lambda row: (row[0] >= _LOCAL_FIRST, row[1], row[0], row[2]))[3]
    serving = [row for row in rows if served(row, model_format)]
    shown = model_format or "a model without a format"
    if serving:
        spoken = {
            p for row in serving for one in row.formats if one.format == model_format for p in one.protocols
        }
        raise UnsupportedModel(
            f"No runtime serves {shown} over {protocol}.",
            subject=model_format,
            hint=f"Over {_all([p for p in PROTOCOLS if p in spoken])} it is served: ServeConfig(protocol_version=…).",
        )
    known = list(dict.fromkeys(one.format for row in rows for one in row.formats))
    raise UnsupportedModel(
        f"No runtime serves {shown}.",
        subject=model_format,
        hint=f"Formats that can be served: {_all(known)}.",
    )


def _named(rows: tuple[Runtime, ...], name: str, model_format: str | None, protocol: str) -> Runtime:
    runtime = next((row for row in rows if row.name == name), None)
    if runtime is None:
        names = [row.name for row in rows]
        near = difflib.get_close_matches(name, names, n=1) or [one for one in names if name and name in one]
        raise UnsupportedModel(
            f"There is no runtime {name[:100]!r}.",
            subject=name[:100],
            hint=f"Did you mean {near[0]}?" if near else f"Runtimes: {', '.join(names)}.",
        )
    reason = why_not(runtime, model_format, protocol)
    if reason is not None:
        others = [row.name for row in rows if why_not(row, model_format, protocol) is None]
        raise UnsupportedModel(
            reason,
            subject=name,
            hint=f"{model_format} over {protocol} is served by {_all(others)}." if others else None,
        )
    return runtime


def of_container(container: Mapping[str, Any]) -> Runtime:
    """The runtime that is a user's own command (`ServeConfig.predictor.container`, or the transformer's)."""
    command = container.get("command") or []
    return Runtime(
        name=CUSTOM,
        formats=(),
        adapter="command",
        image=container.get("image"),
        source="config",
        command=(*command, *(container.get("args") or [])) if command else (),
        env=variables("container.env", container.get("env")),
    )


def _all(words: Iterable[str]) -> str:
    listed = list(dict.fromkeys(words))
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]])) or "nothing"
