"""What PodDefaults add to a service's pods, as Kubeflow's admission webhook adds it to a notebook's. Pure.

Sidecars, commands and arguments are left out: they are a notebook's own, and a model server would not start with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kale_serve_lab.serving.kserve.keys import plain

LEFT_OUT = ("sidecars", "command", "args")
_LISTS_OF_POD = {"volumes": "name", "imagePullSecrets": "name", "initContainers": "name"}
_WORDS = ("serviceAccountName", "automountServiceAccountToken")


def propagate(
    component: dict[str, Any], container: dict[str, Any], pod_defaults: Iterable[Mapping[str, Any]]
) -> None:
    """Add them to a component and the container that serves in it; what is there already wins."""
    for one in pod_defaults:
        spec = plain(one.get("spec") or {})
        _named(container, "env", spec.get("env"), "name")
        _named(container, "volumeMounts", spec.get("volumeMounts"), "mountPath")
        _distinct(container, "envFrom", spec.get("envFrom"))
        _distinct(component, "tolerations", spec.get("tolerations"))
        for name, key in _LISTS_OF_POD.items():
            _named(component, name, spec.get(name), key)
        for name in ("labels", "annotations"):
            if spec.get(name):
                component[name] = spec[name] | component.get(name, {})
        for name in _WORDS:
            if spec.get(name) is not None:
                component.setdefault(name, spec[name])


def _named(into: dict[str, Any], field: str, items: Any, key: str) -> None:
    there = {one.get(key) for one in into.get(field, ())}
    new = [one for one in items or () if one.get(key) not in there]
    if new:
        into[field] = [*into.get(field, ()), *new]


def _distinct(into: dict[str, Any], field: str, items: Any) -> None:
    new = [one for one in items or () if one not in into.get(field, ())]
    if new:
        into[field] = [*into.get(field, ()), *new]
