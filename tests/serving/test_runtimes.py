"""The table against KServe's own recordings where they are at hand, selection, honest reasons, and a user's own rows."""

from __future__ import annotations

import pytest

from kale_serve_lab.errors import InvalidConfig, UnsupportedModel
from kale_serve_lab.serving.runtimes import RUNTIMES, of_container, select, served, why_not
from kale_serve_lab.serving.serving_runtime import MAX_BYTES, from_yaml
from kale_serve_lab.serving.skew import skew

OWN = """\
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata:
  name: our-server
  annotations:
    kale-serve.dev/requirements: |
      our-server==1.2
      # what it does not declare
      numpy<3
    kale-serve.dev/programs: java
spec:
  supportedModelFormats:
    - name: fortran
      version: "1"
      autoSelect: true
      priority: 3
    - name: sklearn
      version: "1"
      autoSelect: true
      priority: 5
  protocolVersions: [v2]
  volumes:
    - name: host
      hostPath: {path: /etc}
  containers:
    - name: kserve-container
      image: example.org/ours:1
      command: [python, -m, ours]
      args: ["--http_port=8080", "--model_dir=/mnt/models", "--model_name={{.Name}}"]
      env:
        - {name: MODE, value: fast}
        - name: SECRET
          valueFrom: {secretKeyRef: {name: a, key: b}}
      securityContext: {privileged: true}
    - name: beside
      image: example.org/beside:1
"""


def test_a_users_row_is_read_with_what_it_needs_here_and_what_has_no_effect():
    row = from_yaml(OWN, "/data/runtimes/own.yaml")
    assert (row.name, row.adapter, row.source) == ("our-server", "command", "/data/runtimes/own.yaml")
    assert row.requirements == ("our-server==1.2", "numpy<3")
    assert row.programs == ("java",)
    assert row.command[:3] == ("python", "-m", "ours") and row.command[-1] == "--model_name={{.Name}}"
    assert dict(row.env) == {"MODE": "fast"}
    assert [(one.format, one.protocols, one.priority) for one in row.formats] == [
        ("fortran", ("v2",), 3),
        ("sklearn", ("v2",), 5),
    ]
    assert row.ignored == (
        "spec.volumes", "spec.containers[0].securityContext", "spec.containers[1]",
    )  # fmt: skip
    rows = (*RUNTIMES, row)
    assert select("fortran", "v2", runtimes=rows) is row
    # The model's own interpreter goes first on this machine; the user's row is there by its name.
    assert select("sklearn", "v2", runtimes=rows).name == "kale-built-in"
    assert select("sklearn", "v2", "our-server", rows) is row


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("kind: [", 1, "is no YAML"),
        ("a: &x [1]\nb: *x\n", 2, "aliases"),
        ("a: !!python/object:os.system x", 1, "is no YAML"),
        ("kind: Pod\n", 1, "no ServingRuntime"),
        ("- 1\n", 1, "no ServingRuntime"),
        (OWN.replace("name: our-server\n", "name: Our Server\n"), 4, "metadata.name"),
        (OWN.replace("[v2]", "[v2, v9]"), 21, "'v9'"),
        (OWN.replace("priority: 5", "priority: high"), 20, "priority"),
        (OWN.replace("value: fast", "value: 3"), 31, "no text"),
        (OWN.replace("[python, -m, ours]", "python"), 28, "list of texts"),
        (OWN.replace("our-server==1.2", "--index-url=http://evil"), 6, "no name of a package"),
        (OWN.replace("containers:", "boxes:"), 11, "spec.containers"),
    ],
)
def test_a_broken_file_is_named_with_its_line(text, line, words):
    with pytest.raises(InvalidConfig) as caught:
        from_yaml(text, "/data/runtimes/own.yaml")
    assert words in caught.value.message
    assert caught.value.message.startswith(f"/data/runtimes/own.yaml, line {line},"), caught.value.message


@pytest.mark.parametrize("text", ["", "\0", "x" * (MAX_BYTES + 1), "[" * 5000, "{a: " * 900, "\ud800"])
def test_what_is_no_file_of_ours_is_refused(text):
    with pytest.raises(InvalidConfig, match="own.yaml"):
        from_yaml(text, "own.yaml")


def test_an_image_without_a_command_has_nothing_to_run_here():
    assert from_yaml(OWN.replace("      command: [python, -m, ours]\n", ""), "own.yaml").command == ()
    assert of_container({"image": "x", "args": ["--port=8080"]}).command == ()
    row = of_container(
        {"command": ["python", "server.py"], "args": ["-v"], "env": [{"name": "A", "value": "1"}]}
    )
    assert (row.command, dict(row.env), why_not(row, None, "v1")) == (
        ("python", "server.py", "-v"),
        {"A": "1"},
        None,
    )


@pytest.mark.parametrize(
    ("runtime", "model_format", "protocol", "words"),
    [
        ("kserve-mlserver", "sklearn", "v1", "kserve-mlserver speaks v2 only for sklearn, not v1."),
        ("kserve-sklearnserver", "sklearn", "grpc-v2", "speaks v1 and v2 for sklearn, not grpc-v2."),
        ("kserve-tensorflow-serving", "onnx", "v1", "serves tensorflow, not onnx."),
        ("kale-built-in", "tensorflow", "grpc-v1", "not grpc-v1."),
        ("kale-built-in", None, "v2", "a model without a format."),
    ],
)
def test_a_cell_that_is_empty_says_why(runtime, model_format, protocol, words):
    [row] = [one for one in RUNTIMES if one.name == runtime]
    assert words in why_not(row, model_format, protocol)
    with pytest.raises(UnsupportedModel):
        select(model_format, protocol, runtime)


def test_each_cell_of_the_table_is_selected_by_its_name_and_no_other():
    for row in RUNTIMES:
        for one in row.formats:
            for protocol in ("v1", "v2", "grpc-v1", "grpc-v2"):
                reason = why_not(row, one.format, protocol)
                assert (reason is None) == (protocol in served(row, one.format).protocols)
                if reason is None:
                    assert select(one.format, protocol, row.name) is row


def test_without_a_name_the_built_in_server_and_then_priority_decide():
    assert select("tensorflow", "grpc-v1").name == "kserve-tensorflow-serving"
    assert select("pytorch", "grpc-v2").name == "kale-built-in"
    others = tuple(row for row in RUNTIMES if row.adapter)
    assert select("sklearn", "v2", runtimes=others).name == "kserve-mlserver"
    assert select("sklearn", "v1", runtimes=others).name == "kserve-sklearnserver"
    # Triton does not offer itself for PyTorch.
    assert select("pytorch", "v2", runtimes=others).name == "kserve-torchserve"


def test_a_runtime_that_is_misspelt_is_suggested():
    for given, meant in [("kserve-mlsever", "kserve-mlserver"), ("mlserver", "kserve-mlserver")]:
        with pytest.raises(UnsupportedModel) as caught:
            select("sklearn", "v2", given)
        assert caught.value.hint == f"Did you mean {meant}?"


def test_skew_is_told_in_words_where_major_or_minor_differ():
    saved = {"scikit-learn": "1.9.1", "numpy": "2.4.0", "xgboost": "3.0.1", "joblib": "1.6.0"}
    runtime = {"scikit_learn": "1.5.2", "numpy": "2.4.7", "xgboost-cpu": "2.1.4"}
    assert skew(saved, runtime) == [
        "saved with scikit-learn 1.9, the runtime has 1.5",
        "saved with xgboost 3.0, the runtime has 2.1",
    ]
