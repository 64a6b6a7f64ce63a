"""Two revisions at once: a share of the traffic in Knative's mode, a list of further predictors in the Standard one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kale_serve_lab.serving.kserve.containers import CONTAINER_FIELDS, MODEL_FIELDS, env_list, merged_env
from kale_serve_lab.serving.kserve.keys import camelled, plain

Given = Mapping[str, Any] | Sequence[Mapping[str, Any]]
# The canaries have a fixed number of replicas, and no share of their own.
_NOT_INHERITED = ("maxReplicas", "scaleTarget", "scaleMetric", "canaryTrafficPercent", "autoScaling", "name")


def entries(given: Given) -> list[dict[str, Any]]:
    """The canaries that ServeConfig names: one, or several in a list."""
    listed = [given] if isinstance(given, Mapping) else list(given)
    found = [camelled(one) for one in listed if isinstance(one, Mapping)]
    # Preflight says what is no object.
    return [one if isinstance(one.get("predictor"), Mapping) else _without(one) for one in found]


def _without(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "predictor"}


def names(given: Given) -> list[str]:
    """What the canaries' predictors are called."""
    return [
        str((entry.get("predictor") or {}).get("name") or entry.get("name") or f"canary-{place}")
        for place, entry in enumerate(entries(given), 1)
    ]


def percent_of(entry: Mapping[str, Any]) -> Any:
    """The share of one, in percent: `traffic_percent`, or `percent`, or Knative's own name; None where none is said."""
    for name in ("trafficPercent", "percent", "canaryTrafficPercent"):
        if name in entry:
            return entry[name]
    return None


def knative_percent(given: Given) -> Any:
    """The share of the newest revision; the one before it has the rest."""
    found = entries(given)
    return percent_of(found[0]) if found else None


def canaries(given: Given, predictor: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`spec.canary[]`: each is the predictor with the fields that differ."""
    found = []
    for name, entry in zip(names(given), entries(given), strict=True):
        base = plain({key: value for key, value in predictor.items() if key not in _NOT_INHERITED})
        own = dict(entry.get("predictor") or {})
        own.pop("name", None)
        found.append({
            "trafficPercent": percent_of(entry),
            "predictor": {"name": name, **_over(base, own)},
        })  # fmt: skip
    return found


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    serving = base["model"] if "model" in base else base["containers"][0]
    if "model" in base:
        # The schema of a canary wants a name, and the webhook one that is empty.
        serving["name"] = ""
    container = own.pop("container", None) or {}
    model = own.pop("model", None) or {}
    uri = own.pop("storageUri", None) or model.pop("storageUri", None)
    for fields in (model, container):
        _into(serving, {key: value for key, value in fields.items() if key != "name"})
    _into(serving, {key: own.pop(key) for key in list(own) if key in CONTAINER_FIELDS | MODEL_FIELDS})
    resources = {key: plain(own.pop(key)) for key in ("requests", "limits") if key in own}
    if resources:
        serving["resources"] = {**serving.get("resources", {}), **resources}
    if uri is not None and "model" in base:
        serving["storageUri"] = uri
    elif uri is not None:
        serving["env"] = merged_env(serving.get("env", []), [{"name": "STORAGE_URI", "value": uri}])
    if "serviceAccount" in own:
        own["serviceAccountName"] = own.pop("serviceAccount")
    return base | own


def _into(serving: dict[str, Any], fields: dict[str, Any]) -> None:
    variables = fields.pop("env", None)
    serving.update(fields)
    if variables is not None:
        serving["env"] = merged_env(serving.get("env", []), env_list(variables))
