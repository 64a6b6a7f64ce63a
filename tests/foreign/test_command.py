"""A user's own command: predictor, transformer before it, and a ServingRuntime's row, through the daemon as users start them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kale_serve_lab import Endpoint, Model, serve
from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError

HERE = Path(__file__).parent
ROW = """
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata:
  name: adder
spec:
  protocolVersions: [v1]
  supportedModelFormats:
  - name: sklearn
  containers:
  - name: kserve-container
    image: example/adder
    command: ["python", "{script}", "/mnt/models/model.joblib"]
    args: ["--http_port=8080"]
    env:
    - name: TOLD
      value: "{told}"
"""


@pytest.fixture(scope="module")
def predictor(shared_home: Path):
    """A predictor's container: a file that is its model, and where it writes what it was told."""
    (shared_home / "model.json").write_text('{"add": 10}')
    return {
        "container": {
            "name": "mine",
            "command": ["python", str(HERE / "own_predictor.py")],
            "args": [str(shared_home / "model.json"), "--http_port=8080"],
            "env": [
                {"name": "TOLD", "value": str(shared_home / "told.json")},
                {"name": "MODE", "value": "$(PORT) of {{.Name}}"},
                {"name": "WHERE", "value": "/mnt/models/x"},
            ],
        }
    }


def delete(name: str) -> None:
    Client().request("DELETE", f"/api/services/{name}")


def test_a_predictor_without_any_model_serves_as_it_would_in_a_container(shared_home, predictor) -> None:
    serve(None, name="adder", serve_config={"predictor": predictor, "protocol_version": "v1"})
    try:
        endpoint = Endpoint("adder")
        assert endpoint.predict({"instances": [[1, 2], [3, 4]]}) == {"predictions": [13, 17]}
        told = json.loads((shared_home / "told.json").read_text())
        port = told["env"]["PORT"]
        assert told["argv"] == [str(shared_home / "model.json"), f"--http_port={port}"]
        assert told["env"]["MODE"] == f"{port} of adder"
        assert told["env"]["PYTHONPATH"] is None
        assert told["env"]["WHERE"].endswith("/x")
        assert not told["env"]["WHERE"].startswith("/mnt")
        # The port answers on this machine's loopback only; and its folder goes with it.
        assert Path(told["cwd"]).is_dir()
    finally:
        delete("adder")
    assert not Path(told["cwd"]).exists()


@pytest.mark.parametrize("by_argument", [False, True])
def test_a_transformer_of_the_users_own_asks_its_predictor(shared_home, predictor, by_argument) -> None:
    command = [sys.executable, str(HERE / "own_transformer.py")]
    if by_argument:
        command += ["--predictor_host", "$(PREDICTOR_HOST)"]
    name = f"doubler-{int(by_argument)}"
    config = {
        "predictor": predictor,
        "transformer": {"container": {"command": command}},
        "protocol_version": "v1",
    }
    serve(None, name=name, serve_config=config)
    try:
        assert Endpoint(name).predict({"instances": [[1, 2]]}) == {"predictions": [16]}
        service = Client().request("GET", f"/api/services/{name}")
        assert {part["component"] for part in service["components"]} == {"predictor", "transformer"}
        kinds = {one["type"]: one["status"] for one in service["conditions"]}
        assert kinds["TransformerReady"] == kinds["PredictorReady"] == kinds["Ready"] == "True"
    finally:
        delete(name)


def test_a_servingruntime_of_the_users_own_is_a_row_of_the_table(shared_home) -> None:
    from sklearn.linear_model import LinearRegression

    folder = shared_home / "data" / "runtimes"
    folder.mkdir(exist_ok=True, parents=True)
    # Its model file is joblib's by name; what is in it is the row's own business.
    script = shared_home / "reader.py"
    script.write_text(
        (HERE / "own_predictor.py")
        .read_text()
        .replace("json.loads(Path(sys.argv[1]).read_text())", "{'add': Path(sys.argv[1]).stat().st_size}")
    )
    (folder / "adder.yaml").write_text(ROW.format(script=script, told=shared_home / "told-row.json"))
    model = Model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="line").submit_artifact()
    serve(model, name="row", serve_config={"runtime": "adder", "protocol_version": "v1"})
    try:
        (answer,) = Endpoint("row").predict({"instances": [[1]]})["predictions"]
        told = json.loads((shared_home / "told-row.json").read_text())
        assert answer == Path(told["argv"][0]).stat().st_size + 1
    finally:
        delete("row")


def test_an_image_without_a_command_is_refused_before_anything_starts(shared_home) -> None:
    with pytest.raises(KaleServeError) as error:
        serve(None, name="image", serve_config={"predictor": {"container": {"image": "example/mine"}}})
    assert "image" in str(error.value)
