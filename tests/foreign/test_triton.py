"""Triton itself, as nvidia-pytriton carries it: models of ours in its Python backend, over HTTP and gRPC."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from kale_serve_lab import Endpoint, Model
from kale_serve_lab.errors import KaleServeError
from kale_serve_lab.inference.signature import Signature, TensorSpec
from kale_serve_lab.model_server.foreign.adapters import triton
from kale_serve_lab.model_server.foreign.leftovers import shared_memory_prefix

sys.path.insert(0, str(Path(__file__).parent))
from serving import ask, pids_of, served, tensor, until_ready_again

sys.path.pop(0)

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
RUNTIME = "kserve-tritonserver"
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame({"depth": [0.0, 1.0, 2.0, 0.5], "width": [1.0, 0.0, 1.0, 3.0]})


@pytest.fixture(scope="module")
def model(frame):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame, ["tench", "perch", "perch", "tench"])


@pytest.fixture(scope="module")
def service(shared_home, frame, model):
    with served(Model(model, name="fish", signature=frame), "fish", runtime=RUNTIME) as found:
        yield found


def test_it_is_the_real_server_and_says_what_it_speaks(service) -> None:
    assert service["runtime"] == RUNTIME
    assert service["protocols"] == ["v2", "grpc-v2"]
    assert service["binary"] is True
    _, child = pids_of(service)
    assert b"bin/tritonserver" in Path(f"/proc/{child}/cmdline").read_bytes()


@pytest.mark.parametrize("protocol", ["v2", "grpc-v2"])
@pytest.mark.parametrize("output", ["predict", "predict_proba"])
def test_predictions_are_the_models_own(service, frame, model, protocol, output) -> None:
    found = Endpoint("fish", protocol_version=protocol).predict(frame, outputs=[output])
    found = found[output] if isinstance(found, dict) else found
    own = getattr(model, output)(frame)
    if output == "predict":
        assert np.ravel(found).tolist() == own.tolist()
    else:
        assert np.allclose(found, own)


def test_metadata_is_the_signatures_and_refusals_are_in_words(service) -> None:
    status, found = ask("fish", path="/v2/models/fish")
    assert status == 200
    assert found["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 2]}]
    status, found = ask("fish", {"inputs": [tensor("input-0", "FP64", [1, 3], [1.0, 2.0, 3.0])]})
    assert status == 400
    assert "unexpected shape" in found["error"]
    status, found = ask("fish", {"inputs": [tensor("input-0", "FP64", [0, 2], [])]})
    assert status == 400
    assert "no rows" in found["error"]
    assert ask("fish", {"instances": [[1.0, 2.0]]}, "/v1/models/fish:predict")[0] == 404


def segments(home: Path) -> set[Path]:
    """The shared memory of servers that are not (any more) among those of this home; other programs have theirs there, too."""
    living = tuple(shared_memory_prefix(work) for work in (home / "data" / "work").iterdir())
    return {path for path in SHARED_MEMORY.glob("kale-serve-*") if not path.name.startswith(living)}


def test_texts_travel_and_two_services_share_nothing_and_leave_nothing(service, shared_home, frame) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    works = shared_home / "data" / "work"
    known, before = set(works.iterdir()), segments(shared_home)
    mixed = pd.DataFrame({"sort": ["a", "b", "a", "ü"], "age": [1.0, 2.0, 3.0, 4.0]})
    steps = make_column_transformer((OneHotEncoder(), ["sort"]), remainder="passthrough")
    model = make_pipeline(steps, LogisticRegression()).fit(mixed, [0, 1, 0, 1])
    with served(Model(model, name="mixed", signature=mixed), "mixed", runtime=RUNTIME) as found:
        for protocol in ("v2", "grpc-v2"):
            answered = Endpoint("mixed", protocol_version=protocol).predict(mixed)
            assert np.ravel(answered).tolist() == model.predict(mixed).tolist()
        shim, child = pids_of(found)
        os.kill(child, signal.SIGKILL)
        until_ready_again("mixed", shim)
        assert np.ravel(Endpoint("mixed").predict(mixed)).tolist() == model.predict(mixed).tolist()
        assert len(np.ravel(Endpoint("fish").predict(frame))) == 4
        prefixes = [shared_memory_prefix(work) for work in set(works.iterdir()) - known]
        assert any(list(SHARED_MEMORY.glob(f"{prefix}*")) for prefix in prefixes)
    assert segments(shared_home) <= before


def test_a_model_without_a_signature_cannot_be_configured(shared_home, frame, model) -> None:
    with (
        pytest.raises(KaleServeError, match="inputs and outputs"),
        served(Model(model, name="bare"), "bare", runtime=RUNTIME),
    ):
        pass


def test_names_and_texts_are_written_as_protobuf_reads_them() -> None:
    signature = Signature(
        layout="tensors",
        inputs=[TensorSpec('a"b\\c', "BYTES", (-1,)), TensorSpec("größe", "FP32", (-1, 3))],
        outputs=[TensorSpec("predict", "INT64", (-1,))],
    )
    text = triton._configuration("fish", "python", signature)
    assert r'name: "a\042b\134c" data_type: TYPE_STRING dims: [ -1 ]' in text
    assert r'name: "gr\303\266\303\237e" data_type: TYPE_FP32 dims: [ -1, 3 ]' in text
    assert "max_batch_size: 0" in text


def test_no_two_servers_have_the_same_names_of_shared_memory(tmp_path) -> None:
    assert shared_memory_prefix(tmp_path / "a") != shared_memory_prefix(tmp_path / "b")
    assert shared_memory_prefix(tmp_path / "a") == shared_memory_prefix(tmp_path / "a")
