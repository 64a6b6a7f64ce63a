"""A kernel in whose environment nothing of ours is installed: found, submitted, and served by its own interpreter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn

import kale_serve_lab as ksl
from kale_serve_lab.client import Client
from kale_serve_lab.jupyter import kernel_path

# What the extension runs in the kernel: the folder on the path, then one call into our package.
CODE = """
import importlib.util, json, sys
assert importlib.util.find_spec("kale_serve_lab") is None
sys.path.append(sys.argv[1])
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X_train, y_train = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500)
model.fit(X_train, y_train)
found = __import__("kale_serve_lab.notebook", fromlist=["_"]).find_models("model.fit(X_train, y_train)")._repr_json_()
done = __import__("kale_serve_lab.notebook", fromlist=["_"]).submit("model", name="foreign")._repr_json_()
print(json.dumps({"found": found, "done": done, "answer": model.predict(X_train[:5]).tolist(), "rows": X_train[:5].tolist()}))
"""


@pytest.fixture(scope="module")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        pytest.skip("uv is needed to make another environment")
    python = tmp_path_factory.mktemp("foreign") / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(python.parents[1])], check=True)
    needed = ["ipykernel", f"scikit-learn=={sklearn.__version__}"]
    subprocess.run(
        [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), *needed], check=True
    )
    return python


def test_a_model_of_a_foreign_kernel_is_served_by_that_kernels_interpreter(home, foreign_python):
    kernel_path.note_interpreter()
    ran = subprocess.run(
        [str(foreign_python), "-c", CODE, str(kernel_path.ensure())],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    (found,) = said["found"]["models"]
    assert (found["variable"], found["in_cell"], found["sample"]["variable"]) == ("model", True, "X_train")
    artifact = said["done"]["artifact"]
    assert artifact["environment"]["python"] == str(foreign_python)
    ksl.serve(artifact["id"], name="foreign")
    with ksl.Endpoint("foreign") as endpoint:
        assert endpoint.predict(said["rows"]) == said["answer"]
    (component,) = Client().request("GET", "/api/services/foreign")["components"]
    command = Path(f"/proc/{component['pid']}/cmdline").read_bytes().split(b"\0")
    assert command[0].decode() == str(foreign_python)
