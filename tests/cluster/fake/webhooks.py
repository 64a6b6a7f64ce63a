"""What KServe's own admission webhooks fill in and refuse."""

from __future__ import annotations

import copy
import re

from .kinds import named
from .statuses import Refused

SERVICES = named("inferenceservices")
MODE = "serving.kserve.io/deploymentMode"
SCALER = "serving.kserve.io/autoscalerClass"
_OLD_NAMES = {"RawDeployment": "Standard", "Serverless": "Knative"}
FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_AUTOSCALERS = ("hpa", "kpa.autoscaling.knative.dev", "external", "keda", "none")


def _denied(which, code, reason, message):
    told = f'admission webhook "inferenceservice.kserve-webhook-server.{which}" denied the request: {message}'
    return Refused(code, reason, told)


def _refuse(message):
    return _denied("validator", 403, "Forbidden", message)


class Webhooks:
    def __init__(self, version, mode="Standard"):
        self.version = tuple(int(p) for p in version.split("."))
        self.mode = mode
        self.enabled = True

    def _modes(self, name):
        """The mode as this version writes it: 0.15 knows the older names only."""
        new = _OLD_NAMES.get(name, name)
        if self.version >= (0, 17):
            return new
        return {v: k for k, v in _OLD_NAMES.items()}.get(new, new)

    def default(self, resource, new, old):
        if not self.enabled or resource is not SERVICES:
            return new
        new = copy.deepcopy(new)
        spec = new.get("spec")
        self._unmarshals(spec)
        predictor = (spec or {}).get("predictor")
        if not predictor:
            raise _denied(
                "defaulter", 500, "InternalError",
                "panic: runtime error: invalid memory address or nil pointer dereference [recovered]",
            )  # fmt: skip
        annotations = dict(new["metadata"].get("annotations") or {})
        mode = annotations.get(MODE)
        live = ((old or {}).get("status") or {}).get("deploymentMode") or (
            ((old or {}).get("metadata") or {}).get("annotations") or {}
        ).get(MODE)
        annotations[MODE] = self._modes(mode or live or self.mode)
        for name in FRAMEWORKS:
            if name in predictor:
                given = predictor.pop(name)
                predictor["model"] = {"modelFormat": {"name": name}, **given}
                break
        for component in (predictor, *(c.get("predictor") or {} for c in spec.get("canary") or ())):
            model = component.get("model")
            if model is not None:
                model.setdefault("name", "")
                model.setdefault("resources", {})
        model = predictor.get("model")
        if model is not None and (model.get("modelFormat") or {}).get("name"):
            annotations["modelFormat"] = model["modelFormat"]["name"]
        new["metadata"]["annotations"] = annotations
        return new

    @staticmethod
    def _unmarshals(spec):
        """Wrong types come to the webhook before they come to the schema: Go's words for them."""
        wanted = {
            "minReplicas": int,
            "maxReplicas": int,
            "timeout": int,
            "containerConcurrency": int,
            "canaryTrafficPercent": int,
        }
        for name, component in (spec or {}).items():
            if not isinstance(component, dict):
                continue
            for key, kind in wanted.items():
                value = component.get(key)
                if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                    got = {str: "string", bool: "bool", float: "number", dict: "object", list: "array"}[
                        type(value)
                    ]
                    raise _denied(
                        "defaulter", 400, "BadRequest",
                        f"json: cannot unmarshal {got} into Go struct field "
                        f"{name.capitalize()}Spec.spec.{name}.{key} of type int32",
                    )  # fmt: skip

    def validate(self, resource, new, old):
        if not self.enabled or resource is not SERVICES:
            return
        name = new["metadata"]["name"]
        if not re.match(_NAME, name):
            raise _refuse(
                f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case alphanumeric '
                'characters or \'-\', and must start with alphabetical character. (e.g. "my-name" or "abc-123", regex used '
                f"for validation is '{_NAME[1:-1]}')"
            )
        spec = new["spec"]
        for component in ("predictor", "transformer", "explainer"):
            if component in spec:
                self._component(component, spec[component])
                self._scaling(new["metadata"].get("annotations") or {}, spec[component])
        scaler = (new["metadata"].get("annotations") or {}).get(SCALER)
        if scaler is not None and scaler not in _AUTOSCALERS:
            raise _refuse(f"[{scaler}] is not a supported autoscaler class type.\n")
        if old is not None:
            before = (old.get("status") or {}).get("deploymentMode")
            mode = new["metadata"]["annotations"].get(MODE)
            if before and mode and self._modes(before) != self._modes(mode):
                raise _refuse(
                    f"update rejected: deploymentMode cannot be changed from '{before}' to '{mode}'"
                )
        self._canaries(spec.get("canary") or ())

    def _component(self, name, spec):
        least, most = spec.get("minReplicas"), spec.get("maxReplicas")
        if least is not None and least < 0:
            raise _refuse("'MinReplicas' cannot be less than 0")
        if most is not None and most < 0:
            raise _refuse("'MaxReplicas' cannot be less than 0")
        if least is not None and most and least > most:
            raise _refuse("'MinReplicas' cannot be greater than MaxReplicas")
        if (spec.get("containerConcurrency") or 0) < 0:
            raise _refuse("Parallelism cannot be less than 0.")
        if (spec.get("model") or {}).get("name"):
            raise _refuse('the InferenceService "model.name" field is not allowed to be set')
        kinds = [k for k in (*FRAMEWORKS, "model", "art") if k in spec]
        custom = bool(spec.get("containers"))
        if name == "predictor":
            if len(kinds) > 1:
                raise _refuse("exactly one of [" + ", ".join(kinds) + "] must be specified in PredictorSpec")
        elif not custom and not kinds:
            raise _refuse(f"exactly one of [Custom] must be specified in {name.capitalize()}Spec")

    def _scaling(self, annotations, spec):
        """The mode's name is compared word for word; whatever is not Standard is held to Knative's metrics."""
        metric = spec.get("scaleMetric")
        if annotations.get(MODE) == self._modes("Standard"):
            allowed = ("cpu", "memory") if annotations.get(SCALER) == "hpa" else None
        elif annotations.get("autoscaling.knative.dev/class") == "hpa.autoscaling.knative.dev":
            allowed = ("cpu", "memory")
        else:
            allowed = ("concurrency", "rps")
            if "deploymentStrategy" in spec:
                raise _refuse("customizing deploymentStrategy is only supported for raw deployment mode")
        if metric is not None and allowed is not None and metric not in allowed:
            raise _refuse(f"[{metric}] is not a supported metric")

    @staticmethod
    def _canaries(canaries):
        total = sum(c.get("trafficPercent") or 0 for c in canaries)
        if total > 100:
            raise _refuse(f"the sum of canary trafficPercent ({total}) must not exceed 100")
