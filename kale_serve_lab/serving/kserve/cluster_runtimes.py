"""The rows to choose from as a cluster has them: its ServingRuntimes and ClusterServingRuntimes, in KServe's own order. Pure.

KServe takes the namespace's before the cluster's; of each, those that serve the format (`autoSelect`) and the protocol, the
highest `priority` first. Without a priority they come last, and then by protocol (v1 first), the youngest, by name. One of the
namespace hides the cluster's of the same name; one that is disabled, or for several models at once, is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kale_serve_lab.serving.config import PROTOCOLS
from kale_serve_lab.serving.kserve.layout import TRITON
from kale_serve_lab.serving.runtimes import BUILT_IN, RUNTIMES, Runtime, ServedFormat

NAMESPACE = "namespace"
CLUSTER = "cluster"
# What these take by themselves is not what we publish: a model archive, a folder with versions, a configuration by hand.
_ONLY_BY_NAME = {
    "kserve-torchserve": frozenset({"pytorch"}),
    "kserve-openvino": frozenset({"onnx", "tensorflow"}),
    TRITON: frozenset({"pytorch"}),
}
_ORDER = {protocol: place for place, protocol in enumerate(("v1", "v2", "grpc-v1", "grpc-v2"), 1)}
_LAST = len(_ORDER) + 1
_CONTAINER = "kserve-container"


def rows_of(
    namespaced: Iterable[Mapping[str, Any]] | None,
    cluster_wide: Iterable[Mapping[str, Any]] | None,
    table: tuple[Runtime, ...] = RUNTIMES,
) -> tuple[Runtime, ...]:
    """The rows for `select`, ours among them.

    Either may be None, where it cannot be read: then the cluster's are taken to be those that KServe ships (`table`).
    """
    hidden: set[str] = set()
    found = _rows(namespaced or (), NAMESPACE, hidden)
    if cluster_wide is None:
        found += [row for row in table if row.cluster and row.name not in hidden]
    else:
        found += _rows(cluster_wide, CLUSTER, hidden)
    return (*found, _ours(found, table))


def _rows(objects: Iterable[Mapping[str, Any]], source: str, hidden: set[str]) -> list[Runtime]:
    """In KServe's order; the names of all of them are added to `hidden`."""
    # Stable sorts, the last key first.
    listed = sorted(objects, key=_name)
    listed.sort(key=lambda one: str(_part(one, "metadata").get("creationTimestamp") or ""), reverse=True)
    listed.sort(key=lambda one: min(map(_order, _protocols(_part(one, "spec"))), default=_LAST))
    rows = [
        _row(one, source) for one in listed if _name(one) not in hidden and not _is_closed(_part(one, "spec"))
    ]
    hidden.update(_name(one) for one in listed)
    return rows


def _is_closed(spec: Mapping[str, Any]) -> bool:
    return spec.get("disabled") is True or spec.get("multiModel") is True


def _row(found: Mapping[str, Any], source: str) -> Runtime:
    name, spec = _name(found), _part(found, "spec")
    protocols = tuple(_protocols(spec)) or PROTOCOLS
    several_nodes = isinstance(spec.get("workerSpec"), Mapping)
    formats: dict[str, ServedFormat] = {}
    for one in spec.get("supportedModelFormats") or ():
        model_format = str(one.get("name"))
        chosen = one.get("autoSelect") is True and not several_nodes
        chosen = chosen and model_format not in _ONLY_BY_NAME.get(name, ())
        version = (str(one["version"]),) if one.get("version") is not None else ()
        there = formats.get(model_format)
        formats[model_format] = (
            # KServe reads the priority off the first of a name.
            ServedFormat(model_format, protocols, (), int(one.get("priority") or 0), chosen, versions=version)
            if there is None
            else replace(there, auto_select=there.auto_select or chosen, versions=(*there.versions, *version))
        )
    containers = spec.get("containers") or ()
    image = next((one.get("image") for one in containers if one.get("name") == _CONTAINER), None)
    return Runtime(name, tuple(formats.values()), adapter="", image=image, source=source)


def _ours(rows: Iterable[Runtime], table: tuple[Runtime, ...]) -> Runtime:
    """Our own server: chosen for what none of them serves, and by its name for every format."""
    chosen = {one.format for row in rows for one in row.formats if one.auto_select}
    own = next(row for row in table if row.name == BUILT_IN)
    formats = tuple(replace(one, priority=0, auto_select=one.format not in chosen) for one in own.formats)
    return replace(own, formats=formats)


def _name(found: Mapping[str, Any]) -> str:
    return str(_part(found, "metadata").get("name") or "")


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, Mapping) else {}


def _protocols(spec: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in spec.get("protocolVersions") or ()]


def _order(protocol: str) -> int:
    return _ORDER.get(protocol, _LAST)
