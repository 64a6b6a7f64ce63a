"""Format x runtime x protocol: each cell is served by the daemon and asked through `Endpoint`, or says why it is not.

A cell is "served" only where the answer was the model's own; else it holds the sentence with which it was refused or failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kale_serve_lab as ksl
from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.inference import tensors
from kale_serve_lab.jupyter import kernel_path
from kale_serve_lab.serving.runtimes import RUNTIMES

ROOT = Path(__file__).parents[2]
# Kept between runs: making them takes longer than all else.
ENVIRONMENTS = ROOT / ".env-stamps" / "environments"
MODELS = Path(__file__).with_name("models")
SERVED = "served"
# What a user may ask for, and the ways of v2 to send it.
CELLS = ("v1", "v2 JSON", "v2 binary", "grpc-v2", "grpc-v1")
PROTOCOLS = ("v2", "v1", "grpc-v2", "grpc-v1")
# A server that has not loaded such a small model by then never will.
LOAD_SECONDS = 90
# The formats (and what else of a format makes a difference), each with the environment (tests/peers.py) its model is made in; None: our own.
FORMATS: dict[str, str | None] = {
    "sklearn": None,
    "sklearn_frame": None,
    "xgboost": None,
    "xgboost_regressor": None,
    "lightgbm": None,
    "lightgbm_regressor": None,
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "onnx": "onnx",
    "pmml": "pmml",
    "mlflow": "mlflow",
    "python": None,
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A submitted model, rows (an array or a frame), and what the model itself says of them: one array, or several by name."""

    format: str
    id: int
    rows: Any
    answer: dict[str, np.ndarray[Any, Any]]


@dataclass
class Found:
    """What became of a format on a runtime: a text for each of `CELLS`, and the seconds it took."""

    cells: dict[str, str] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    seconds: float = 0.0


def reference(model_format: str, folder: Path) -> Reference:
    """Makes, in the environment of the framework, the format's model, and submits it. Needs a home (see tests/conftest.py)."""
    kernel_path.note_interpreter()
    result = folder / model_format / "result.json"
    result.parent.mkdir(parents=True)
    done = subprocess.run(
        [interpreter(model_format), MODELS / f"{model_format}_model.py", kernel_path.ensure(), result],
        capture_output=True,
        text=True,
        cwd=result.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    if done.returncode:
        raise RuntimeError(f"The model of {model_format} was not submitted: {done.stderr[-4000:]}")
    said = json.loads(result.read_text())
    answer = {name: np.array(values) for name, values in said["answer"].items()}
    rows = np.array(said["rows"], said["dtype"]) if said["dtype"] else pd.DataFrame(said["rows"])
    return Reference(model_format, said["id"], rows, answer)


def interpreter(model_format: str) -> Path:
    """The Python that has the format's framework."""
    peer = FORMATS[model_format]
    if peer is None:
        return Path(sys.executable)
    import importlib.util

    spec = importlib.util.spec_from_file_location("peers", ROOT / "tests" / "peers.py")
    assert spec is not None and spec.loader is not None
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    return peers.python(peer)


def row(model: Reference) -> Iterator[tuple[str, Found]]:
    """The row of one format: each runtime and what became of it there."""
    for runtime in RUNTIMES:
        began = time.monotonic()
        found = _pair(model, runtime.name)
        found.seconds = time.monotonic() - began
        yield runtime.name, found


def _pair(model: Reference, runtime: str) -> Found:
    found = Found()
    asked: list[str] = []
    for protocol in PROTOCOLS:
        refused = refusal(model, runtime, protocol)
        if refused is None:
            asked.append(protocol)
            continue
        for cell in _cells_of(protocol):
            found.cells[cell] = refused.message
        found.codes.add(refused.code)
    name = f"{model.format}-{runtime}".replace("_", "-")
    service: Mapping[str, Any] | None = None
    try:
        for protocol in asked:
            try:
                if service is None or protocol not in service.get("protocols", [service["protocol"]]):
                    ksl.serve(
                        model.id,
                        name=name,
                        serve_config={
                            "runtime": runtime,
                            "protocol_version": protocol,
                            "timeout": LOAD_SECONDS,
                        },
                    )
                    fresh = Client().request("GET", f"/api/services/{name}")
                    _check_server(runtime, fresh)
                    service = fresh
            except (KaleServeError, AssertionError) as error:
                # A server that does not start is not started once more for each further protocol.
                found.codes.add(getattr(error, "code", type(error).__name__))
                failed = asked[asked.index(protocol) :] if service is None else [protocol]
                for one in failed:
                    found.cells.update(dict.fromkeys(_cells_of(one), str(error).partition("\n")[0]))
                if service is None:
                    break
                continue
            for cell in _cells_of(protocol):
                found.cells[cell] = _ask(name, model, cell, service)
    finally:
        if asked:
            _gone(name)
    found.cells = {cell: found.cells[cell] for cell in CELLS}
    return found


def _cells_of(protocol: str) -> tuple[str, ...]:
    return ("v2 JSON", "v2 binary") if protocol == "v2" else (protocol,)


def refusal(model: Reference, runtime: str, protocol: str) -> KaleServeError | None:
    """With what the daemon would refuse to serve it so, before anything is started."""
    body = {
        "name": None,
        "model": model.id,
        "config": {"runtime": runtime, "protocol_version": protocol},
        "dry_run": True,
    }
    try:
        said = Client().request("POST", "/api/services", body)
    except KaleServeError as error:
        return error
    for finding in said["findings"]:
        if finding["severity"] == "error":
            return KaleServeError(finding["message"], code=finding["code"])
    return None


def _check_server(runtime: str, service: Mapping[str, Any]) -> None:
    """No cell is to be won by the built-in server under another's name: a foreign server is a child of the model server."""
    foreign = next(one for one in RUNTIMES if one.name == runtime).adapter != ""
    (pid,) = [
        one["pid"]
        for one in service["components"]
        if (one["component"], one["revision"]) == ("predictor", service["ready_revision"])
    ]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if foreign != bool(children):
        raise AssertionError(f"{runtime} is served by {service['components']} with the children {children}.")


def _ask(name: str, model: Reference, cell: str, service: Mapping[str, Any]) -> str:
    protocol = cell.partition(" ")[0]
    if cell == "v2 binary" and not service.get("binary", True):
        return f"{service['runtime']} does not take v2's binary tensors."
    try:
        with ksl.Endpoint(name, protocol_version=protocol) as endpoint:
            if cell == "v2 JSON":
                listed = endpoint.metadata()["inputs"]
                answered = endpoint.predict(_json_request(model, [one["name"] for one in listed]))
                found: Any = {item["name"]: _array_of(item) for item in answered["outputs"]}
            else:
                found = endpoint.predict(model.rows)
    except Exception as error:
        return error.message if isinstance(error, KaleServeError) else f"{type(error).__name__}: {error}"
    return _difference(model, found) or SERVED


def _json_request(model: Reference, names: Sequence[str]) -> dict[str, Any]:
    """As somebody with curl would write it, who has read the model's metadata."""
    if isinstance(model.rows, pd.DataFrame):
        named = {name: model.rows[name].to_numpy() for name in names}
    else:
        named = dict.fromkeys(names, model.rows)
    made = [tensors.from_array(name, values) for name, values in named.items()]
    return {
        "inputs": [
            {
                "name": one.name,
                "datatype": one.dtype,
                "shape": list(one.shape),
                "data": named[one.name].tolist(),
            }
            for one in made
        ],
        "parameters": {"content_type": "pd"} if len(made) > 1 else {},
    }


def _array_of(item: Mapping[str, Any]) -> Any:
    return np.array(item["data"]).reshape(item["shape"])


def _difference(model: Reference, found: Any) -> str | None:
    expected = model.answer
    if isinstance(found, pd.DataFrame):
        found = {name: found[name].to_numpy() for name in found}
    if not isinstance(found, dict):
        found = {"": found}
    if "" in expected and ("predict" in found or len(found) == 1):
        # A server may send all outputs where none was chosen; the model's own answer is the one named so.
        found = {"": found.get("predict", next(iter(found.values())))}
    for name, wanted in expected.items():
        if name not in found:
            wanted_names = ", ".join(filter(None, expected)) or "one array"
            return f"It answers {', '.join(found)}; the model itself {wanted_names}."
        got = np.asarray(found[name])
        if not _same(got, wanted):
            return f"It answers {_shown(got)}, the model itself {_shown(wanted)}."
    return None


def _same(got: Any, wanted: Any) -> bool:
    if got.shape != wanted.shape and got.shape != (*wanted.shape, 1):
        return False
    got = got.reshape(wanted.shape)
    if wanted.dtype.kind in "biuf" and got.dtype.kind in "biuf":
        return bool(np.allclose(got, wanted, rtol=1e-5, atol=1e-6))
    return got.astype(str).tolist() == wanted.astype(str).tolist()


def _shown(values: Any) -> str:
    first = values.ravel()[:3].tolist()
    if first and isinstance(first[0], dict):
        return f"{', '.join(first[0])} for each row"
    texts = [f"{value:.2g}" if isinstance(value, float) else str(value) for value in first]
    return f"{', '.join(texts)} … of shape {list(values.shape)}"


def _gone(name: str) -> None:
    try:
        Client().request("DELETE", f"/api/services/{name}")
    except KaleServeError as error:
        if error.code != "EndpointNotFound":
            raise
