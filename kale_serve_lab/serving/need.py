"""Which environment a component of a service needs on this machine, if not the artifact's own interpreter. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kale_serve_lab.serving.runtimes import BUILT_IN, CUSTOM, Runtime, ServedFormat, served
from kale_serve_lab.serving.types import ArtifactRef, ComponentName, InferenceService

GRPC = "grpcio"
# What our own model server needs of whatever interpreter it runs in.
_OURS = ("numpy", "tornado")
_MODULES = {"scikit-learn": "sklearn", "grpcio": "grpc"}
_FRAMEWORKS = {"sklearn": "scikit-learn", "pytorch": "torch", "onnx": "onnxruntime", "python": "cloudpickle"}
# Models of these formats may hold objects of any package.
_ANYTHING = ("mlflow", "python")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!_-]*")


@dataclass(frozen=True)
class Need:
    """An environment as it is asked for; its name is the digest of all of this but the label.

    `pins` are the versions that the artifact was saved with, the most important first: they hold for these distributions
    wherever they come in, and are dropped with a warning where they do not resolve. `python` is what uv takes for one;
    None: any 3.11. `programs` must be on PATH.
    """

    label: str
    requirements: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    programs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """What was seen of an artifact's own interpreter: whether it runs, and which of the asked modules it lacks."""

    there: bool = True
    missing: tuple[str, ...] = ()


def artifact_of(spec: InferenceService, component: ComponentName) -> ArtifactRef | None:
    """The artifact that a component is made from."""
    return spec.model if component == "predictor" else spec.transformer


def programs_of(spec: InferenceService, component: ComponentName, runtime: Runtime) -> tuple[str, ...]:
    """The programs that must be on PATH for a component, whatever its interpreter."""
    if component != "predictor" or runtime.name == CUSTOM:
        return ()
    found = served(runtime, spec.model.framework if spec.model else None)
    return (*runtime.programs, *(found.programs if found else ()))


def modules_needed(spec: InferenceService, component: ComponentName, runtime: Runtime) -> tuple[str, ...]:
    """The modules that the artifact's own interpreter must have for the built-in server, and is not recorded to have."""
    artifact = artifact_of(spec, component)
    if artifact is None or not _in_own_interpreter(component, runtime):
        return ()
    recorded = {_base(name) for name in recorded_packages(artifact)}
    return tuple(
        dict.fromkeys(
            module_of(one) for one in _wanted(spec, component, runtime) if _base(one) not in recorded
        )
    )


def need_of(
    spec: InferenceService, component: ComponentName, runtime: Runtime, own: Interpreter | None = None
) -> Need | None:
    """The environment to be made for a component; None: the artifact's own interpreter serves.

    `own` is what was seen of that interpreter (None: it is taken to have all); `Environments.need_of` looks.
    """
    artifact = artifact_of(spec, component)
    if not _in_own_interpreter(component, runtime):
        found = served(runtime, artifact.framework if artifact else None)
        requirements = (*runtime.requirements, *(found.requirements if found else ()))
        programs = programs_of(spec, component, runtime)
        if not requirements and not programs:
            return None
        return Need(
            label=" · ".join(filter(None, [runtime.name, found.format if found else None])),
            requirements=requirements,
            pins=_pins_of_format(artifact, found, requirements),
            python=runtime.python,
            programs=programs,
        )
    if artifact is None or own is None or (own.there and not own.missing):
        return None
    wanted = _wanted(spec, component, runtime)
    grpc = (GRPC,) if spec.protocol == "grpc-v2" else ()
    named = {_base(one) for one in (*wanted, *_OURS, *grpc)}
    recorded = tuple(name for name in recorded_packages(artifact) if _base(name) not in named)
    requirements = (*wanted, *recorded, *_OURS, *grpc)
    return Need(
        label=f"{artifact.name} {artifact.version}",
        requirements=requirements,
        pins=_pins(artifact, requirements),
        python=_minor(artifact),
        programs=programs_of(spec, component, runtime),
    )


def distribution(requirement: str) -> str:
    """The distribution that a requirement (`scikit-learn[extra]>=1.5`) names, spelt as all tools agree on."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else requirement


def module_of(requirement: str) -> str:
    """The module that a requirement brings."""
    name = _base(requirement)
    return _MODULES.get(name, name.replace("-", "_"))


def _in_own_interpreter(component: ComponentName, runtime: Runtime) -> bool:
    # The predictor's runtime says nothing of a transformer, which runs in our own server unless it is the user's command.
    return runtime.name == BUILT_IN or (component != "predictor" and runtime.name != CUSTOM)


def _wanted(spec: InferenceService, component: ComponentName, runtime: Runtime) -> tuple[str, ...]:
    found = served(runtime, spec.model.framework) if component == "predictor" and spec.model else None
    return found.requirements if found else ()


def recorded_packages(artifact: ArtifactRef) -> dict[str, str]:
    """What is recorded of the artifact's environment; local versions (`2.13.0+cpu`) are those that everybody has."""
    recorded = artifact.environment.get("packages")
    if not isinstance(recorded, Mapping):
        return {}
    plain = {str(name): str(version).partition("+")[0] for name, version in recorded.items()}
    return {
        name: version
        for name, version in plain.items()
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version)
    }


def _pins_of_format(
    artifact: ArtifactRef | None, found: ServedFormat | None, requirements: tuple[str, ...]
) -> dict[str, str]:
    """The pins that decide whether the model loads; more of them would make one environment a notebook."""
    if artifact is None or found is None or not requirements:
        return {}
    deciding = {"numpy", _framework(found.format)}
    return {
        name: version
        for name, version in _pins(artifact, requirements).items()
        if _base(name) in deciding or found.format in _ANYTHING
    }


def _pins(artifact: ArtifactRef | None, requirements: Iterable[str]) -> dict[str, str]:
    packages = recorded_packages(artifact) if artifact else {}
    asked = {distribution(one) for one in requirements}
    # What was saved with xgboost may be loaded with its build for processors only, a distribution of another name.
    pins = {
        f"{name}-cpu" if f"{distribution(name)}-cpu" in asked else name: version
        for name, version in packages.items()
    }
    framework = _framework(artifact.framework) if artifact else None
    return dict(sorted(pins.items(), key=lambda item: _base(item[0]) != framework))


def _framework(model_format: str | None) -> str | None:
    """The distribution that a format's models are loaded with."""
    return _FRAMEWORKS.get(model_format or "", model_format)


def _base(requirement: str) -> str:
    """Builds without CUDA are distributions of other names and the same modules."""
    return distribution(requirement).removesuffix("-cpu")


def _minor(artifact: ArtifactRef) -> str | None:
    version = re.match(r"3\.\d+", str(artifact.environment.get("python_version") or ""))
    return version[0] if version else None
