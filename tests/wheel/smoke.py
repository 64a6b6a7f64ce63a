"""Run by scripts/wheel.sh in a clean environment that holds the wheel and no Node: the whole way once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

assert shutil.which("node") is None, "this environment was to have no Node"

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from kale_serve_lab import Endpoint, Model, serve
from kale_serve_lab.client import Client

features, target = load_breast_cancer(return_X_y=True, as_frame=True)
model = RandomForestClassifier(n_estimators=5, random_state=0).fit(features, target)

try:
    artifact = Model(model=model, name="smoke", signature=features).submit_artifact()
    isvc = serve(artifact.id)
    answer = Endpoint(isvc.name).predict(features.head(7))
    assert list(answer.iloc[:, 0]) == list(model.predict(features.head(7)))
    from kale.serve import Endpoint as KaleEndpoint

    assert KaleEndpoint is Endpoint
    isvc.delete()
finally:
    Client().request("POST", "/api/stop", {"services": True})


def listing(*command: str) -> str:
    """What a Jupyter command prints, on both of its streams."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


assert "kale-serve-lab" in listing("jupyter", "labextension", "list")
assert "kale_serve_lab" in listing("jupyter", "server", "extension", "list")
print(json.dumps({"served": True}))
