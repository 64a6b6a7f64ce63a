"""What preflight says of runtimes, environments, containers and protocols, and which environment a service needs."""

from __future__ import annotations

import pytest

from kale_serve_lab.errors import InvalidConfig, ProgramMissing
from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.need import Interpreter, Need, modules_needed, need_of
from kale_serve_lab.serving.preflight import Around, Prepared, preflight
from kale_serve_lab.serving.runtimes import RUNTIMES, of_container
from kale_serve_lab.serving.serving_runtime import from_yaml
from kale_serve_lab.serving.types import ArtifactRef, InferenceService, ServiceKey

PACKAGES = {"numpy": "2.4.0", "scikit-learn": "1.9.1", "torch": "2.12.0+cpu", "pandas": "3.0.1"}
BY_NAME = {row.name: row for row in RUNTIMES}


def artifact(framework="sklearn", packages=PACKAGES, kind="kale.Model"):
    environment = {"python": "/home/me/bin/python", "python_version": "3.12.4", "packages": packages}
    return ArtifactRef(1, kind, "iris", "1.0", "u", "d", framework, environment=environment)


UNSET = object()


def service(
    framework="sklearn", runtime="kale-built-in", protocol="v2", *, model=UNSET, transformer=None, config=None
):
    model = artifact(framework) if model is UNSET else model
    key, config = ServiceKey("default", "iris"), ServeConfig(**(config or {}))
    return InferenceService(key, 1, model, transformer, config, runtime, protocol, 0, 0)


def findings(asked, **around):
    return {one.code: one for one in preflight(asked, (), Around(**around))}


def test_an_environment_that_is_made_first_is_said_with_its_size():
    asked = service(runtime="kserve-mlserver")
    need = need_of(asked, "predictor", BY_NAME["kserve-mlserver"])
    found = findings(asked, prepared={"predictor": Prepared(need)})["EnvironmentToMake"]
    assert (found.severity, found.field) == ("warning", "environment")
    assert "of about 0.6 GB is made first, for kserve-mlserver · sklearn" in found.message
    ready = findings(asked, prepared={"predictor": Prepared(need, packages={"scikit-learn": "1.9.0"})})
    assert not {"EnvironmentToMake", "VersionSkew"} & ready.keys()


def test_skew_is_said_of_what_is_there_and_of_what_is_certain_to_come():
    there = Prepared(Need("x", ("mlserver==1.7.1",)), packages={"scikit-learn": "1.5.2", "numpy": "2.4.1"})
    found = findings(service(), prepared={"predictor": there})["VersionSkew"]
    assert found.severity == "warning"
    assert found.message == "iris:1.0 was saved with scikit-learn 1.9, the runtime has 1.5."
    torchserve = BY_NAME["kserve-torchserve"]
    asked = service("pytorch", torchserve.name)
    need = need_of(asked, "predictor", torchserve)
    assert need.pins == {"torch": "2.12.0", "numpy": "2.4.0"}
    assert list(need.pins) == ["torch", "numpy"]
    assert (
        "torch 2.12, the runtime has 2.13"
        in findings(asked, prepared={"predictor": Prepared(need)})["VersionSkew"].message
    )


def test_a_missing_program_and_missing_grpc_stop_it():
    refused = ProgramMissing("needs java", subject="java", hint="install it")
    found = findings(service(), prepared={"predictor": Prepared(refused=refused)})["ProgramMissing"]
    assert (found.severity, found.field, found.fix) == ("error", "environment", "install it")
    found = findings(service(protocol="grpc-v2"), prepared={"predictor": Prepared(lacks_grpc=True)})[
        "GrpcMissing"
    ]
    assert (found.severity, found.fix) == (
        "error",
        "Install it there: /home/me/bin/python -m pip install grpcio",
    )


def test_the_artifacts_own_interpreter_serves_unless_it_is_gone_or_lacks_the_format():
    built_in = BY_NAME["kale-built-in"]
    asked = service()
    # joblib is not recorded, so it is looked for.
    assert modules_needed(asked, "predictor", built_in) == ("joblib",)
    assert need_of(asked, "predictor", built_in, Interpreter()) is None
    gone = need_of(asked, "predictor", built_in, Interpreter(there=False))
    assert set(gone.requirements) == {"scikit-learn", "joblib", "torch", "pandas", "numpy", "tornado"}
    assert gone.pins["torch"] == "2.12.0" and next(iter(gone.pins)) == "scikit-learn"
    assert gone.python == "3.12"
    seen = Prepared(gone, own=Interpreter(there=False))
    found = findings(asked, prepared={"predictor": seen})
    assert found["InterpreterGone"].severity == "warning"
    assert "/home/me/bin/python, which is not there any more" in found["InterpreterGone"].message
    onnx = service("onnx")
    own = Interpreter(missing=modules_needed(onnx, "predictor", built_in))
    lacking = need_of(onnx, "predictor", built_in, own)
    assert lacking.requirements[0] == "onnxruntime"
    found = findings(onnx, prepared={"predictor": Prepared(lacking, own=own)})["PackageMissing"]
    assert (found.field, found.fix) == (
        "model",
        "To serve it there: /home/me/bin/python -m pip install onnxruntime",
    )


def test_hostile_records_of_an_environment_become_no_requirements():
    packages = {
        "numpy": "2.4.0",
        "--index-url=x": "1",
        "a b": "1",
        "evil": "1\n--index-url http://x",
        "ok": None,
        "": "1",
    }
    model = artifact(packages=packages)
    asked = service(model=model)
    need = need_of(asked, "predictor", BY_NAME["kale-built-in"], Interpreter(there=False))
    assert set(need.pins) == {"numpy"}
    assert set(need.requirements) == {"scikit-learn", "joblib", "numpy", "tornado"}
    for nothing in ("x", ["numpy"], None, 3):
        asked = service(model=artifact(packages=nothing))
        assert need_of(asked, "predictor", BY_NAME["kale-built-in"], Interpreter(there=False)).pins == {}
        preflight(asked, (), Around(prepared={"predictor": Prepared(packages={"numpy": "1.0"})}))


def test_a_transformer_before_a_foreign_predictor_runs_in_its_own_interpreter():
    transformer = artifact(None, kind="kale.Transformer")
    asked = service(runtime="kserve-mlserver", transformer=transformer)
    assert need_of(asked, "transformer", BY_NAME["kale-built-in"], Interpreter()) is None
    assert need_of(asked, "transformer", BY_NAME["kserve-mlserver"], Interpreter()) is None


def test_a_protocol_or_a_format_that_the_runtime_does_not_serve_is_said_at_its_field():
    asked = service(runtime="kserve-mlserver", protocol="v1", config={"runtime": "kserve-mlserver"})
    found = findings(asked)["UnsupportedModel"]
    assert (found.field, found.message) == (
        "config.protocol_version",
        "kserve-mlserver speaks v2 only for sklearn, not v1.",
    )
    for name, words in (
        ("kserve-torchserve", "serves pytorch, not sklearn"),
        ("kserve-mlservr", "There is no runtime"),
    ):
        found = findings(service(runtime=name, config={"runtime": name}))["UnsupportedModel"]
        assert (found.field, words in found.message) == ("config.runtime", True)


def test_containers_run_by_their_command_and_an_image_alone_does_not():
    command = {"name": "c", "command": ["python", "server.py"], "resources": {}}
    asked = service(model=None, runtime="custom", config={"predictor": {"container": command}})
    found = findings(asked)
    assert not [one for one in found.values() if one.severity == "error"]
    assert found["IgnoredHere"].field == "config.predictor.container.resources"
    assert need_of(asked, "predictor", of_container(command)) is None
    image = service(config={"predictor": {"container": {"image": "example.org/x:1"}}})
    found = findings(image)["NoCommand"]
    assert (found.severity, found.field) == ("error", "config.predictor.container")
    transformer = artifact(kind="kale.Transformer")
    twice = service(transformer=transformer, config={"transformer": {"container": command}})
    assert findings(twice)["InvalidConfig"].field == "config.transformer.container"
    assert twice.components == ("predictor", "transformer")
    assert service().components == ("predictor",)
    assert findings(service(model=None))["InvalidConfig"].field == "model"


@pytest.mark.parametrize(
    ("container", "subject"),
    [
        ("x", "predictor.container"),
        ({"command": "python server.py"}, "predictor.container.command"),
        ({"command": ["python", 3]}, "predictor.container.command"),
        ({"args": {"a": 1}}, "predictor.container.args"),
        ({"image": 3}, "predictor.container.image"),
        ({"command": ["x"], "env": {"A": 1}}, "predictor.container.env.A"),
    ],
)
def test_a_container_that_cannot_be_meant_is_refused_by_name(container, subject):
    with pytest.raises(InvalidConfig) as caught:
        ServeConfig(predictor={"container": container})
    assert caught.value.subject == subject


def test_a_users_row_without_a_command_and_what_it_asks_in_vain_are_said():
    text = (
        "kind: ServingRuntime\nmetadata: {name: ours}\nspec:\n  hostIPC: true\n  protocolVersions: [v2]\n"
        "  supportedModelFormats: [{name: sklearn}]\n  containers: [{image: x}]\n"
    )
    row = from_yaml(text, "/data/ours.yaml")
    asked = service(runtime="ours", config={"runtime": "ours"})
    problem = InvalidConfig("/data/b.yaml, line 3, is no YAML.", hint="Mend it.")
    found = findings(asked, runtimes=(*RUNTIMES, row), problems=(problem,))
    assert (found["NoCommand"].severity, found["NoCommand"].field) == ("error", "config.runtime")
    assert "spec.hostIPC" in found["IgnoredHere"].message
    assert (found["RuntimeUnreadable"].severity, found["RuntimeUnreadable"].message) == (
        "warning",
        problem.message,
    )
