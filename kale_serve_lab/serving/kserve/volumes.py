"""Claims and snapshots as objects: what is asked for, and what an answer means. Pure.

A claim belongs to one component of one service. Before the InferenceService is there nothing can own the claim, so labels
say whose it is: what a crash leaves is found by them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kale_serve_lab.errors import InvalidConfig, InvalidRequest

SNAPSHOT_GROUP = "snapshot.storage.k8s.io"
SNAPSHOT_VERSION = f"{SNAPSHOT_GROUP}/v1"
SERVICE_LABEL = "kale-serve-lab/service"
COMPONENT_LABEL = "kale-serve-lab/component"
DIGEST_LABEL = "kale-serve-lab/digest"
MANAGED = {"app.kubernetes.io/managed-by": "kale-serve-lab"}
ROK_ORIGIN = "rok/origin"
ROK_CLASS = "rok"

_LONGEST_NAME = 63
_LONGEST_LABEL = 63
_GIB = 1 << 30
_QUANTITY = re.compile(
    r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:([eE][-+]?[0-9]+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?"
)
_CLAIM = re.compile(r"pvc://([a-z0-9][a-z0-9.-]*)")
_UNITS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}  # fmt: skip

State = Literal["waiting", "ready", "failed"]


@dataclass(frozen=True)
class Step:
    """How far an object is: `message` is its own word on it, empty where it has said nothing."""

    state: State
    message: str = ""


@dataclass(frozen=True)
class Rok:
    """`rok:<account>:<bucket>:<object>:<version>:/path`: `origin` is what Rok hydrates from, `path` lies inside it."""

    origin: str
    path: str


def is_rok(uri: object) -> bool:
    """Whether it is meant for Rok; `parse_rok` says whether it can be."""
    return isinstance(uri, str) and uri.startswith("rok:")


def parse_rok(uri: str) -> Rok:
    """The parts of a Rok address; raises `InvalidRequest`."""
    parts = uri.split(":", 5)
    path = parts[5] if len(parts) == 6 else ""
    names = parts[1:5]
    folders = [part for part in path.split("/") if part]
    plain = all(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+=~-]*(/[A-Za-z0-9._@+=~-]+)*", name) for name in names
    )
    odd = any(part in {".", ".."} for name in names for part in name.split("/")) or {".", ".."} & set(folders)
    if (
        parts[0] != "rok"
        or len(parts) != 6
        or not plain
        or odd
        or not path.startswith("/")
        or not path.isprintable()
    ):
        raise InvalidRequest(
            f"{uri!r:.200} is no address of Rok.",
            subject="artifact_uri",
            hint="Write rok:<account>:<bucket>:<object>:<version>:/path.",
        )
    return Rok(":".join(parts[:5]), "/".join(folders))


def object_name(service: str, component: str, digest: str) -> str:
    """The name of a component's claim and snapshot for this content: at most 63 letters, two never the same."""
    tail = hashlib.sha256(f"{service}/{component}/{digest}".encode()).hexdigest()[:10]
    head = f"{service}-{component}"[: _LONGEST_NAME - len(tail) - 1].rstrip("-.")
    return f"{head}-{tail}"


def labels(service: str, component: str, digest: str) -> dict[str, str]:
    """Whose it is; a digest is shortened to what a label holds."""
    return {
        **MANAGED,
        SERVICE_LABEL: service[:_LONGEST_LABEL].rstrip("-."),
        COMPONENT_LABEL: component,
        DIGEST_LABEL: digest[:_LONGEST_LABEL],
    }


def snapshot(name: str, claim: str, of: Mapping[str, str], snapshot_class: str | None) -> dict[str, Any]:
    """A VolumeSnapshot of a claim; without a class the driver's default one."""
    spec: dict[str, Any] = {"source": {"persistentVolumeClaimName": claim}}
    if snapshot_class is not None:
        spec["volumeSnapshotClassName"] = snapshot_class
    return {
        "apiVersion": SNAPSHOT_VERSION,
        "kind": "VolumeSnapshot",
        "metadata": {"name": name, "labels": dict(of)},
        "spec": spec,
    }


def claim_from_snapshot(
    name: str, from_snapshot: str, of: Mapping[str, str], size: int, storage_class: str | None
) -> dict[str, Any]:
    """A claim filled from a snapshot. Its reference has the apiGroup, without which it would be dropped in silence."""
    reference = {"apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": from_snapshot}
    return _claim(name, of, size, storage_class, {"dataSourceRef": reference}, {})


def claim_from_rok(name: str, rok: Rok, of: Mapping[str, str], size: int) -> dict[str, Any]:
    """A claim that Rok fills from what its annotation names."""
    return _claim(name, of, size, ROK_CLASS, {}, {ROK_ORIGIN: rok.origin})


def is_filled_from(claim: Mapping[str, Any], from_snapshot: str) -> bool:
    """Whether the claim that the API server keeps still names the snapshot it is to be filled from."""
    found = (claim.get("spec") or {}).get("dataSourceRef") or {}
    return (found.get("apiGroup"), found.get("kind"), found.get("name")) == (
        SNAPSHOT_GROUP,
        "VolumeSnapshot",
        from_snapshot,
    )


def is_from_rok(claim: Mapping[str, Any], rok: Rok) -> bool:
    """Whether the claim names this origin."""
    return bool((_metadata(claim).get("annotations") or {}).get(ROK_ORIGIN) == rok.origin)


def is_ours(found: Mapping[str, Any], service: str) -> bool:
    """Whether an object is of this service, by its labels."""
    has = _metadata(found).get("labels") or {}
    wanted = labels(service, "", "")
    return all(has.get(key) == wanted[key] for key in (*MANAGED, SERVICE_LABEL))


def is_going(found: Mapping[str, Any]) -> bool:
    """Whether it is being deleted."""
    return bool(_metadata(found).get("deletionTimestamp"))


def snapshot_step(found: Mapping[str, Any]) -> Step:
    """How far a VolumeSnapshot is. An error may pass: the driver tries again."""
    status = found.get("status") or {}
    if status.get("readyToUse") is True:
        return Step("ready")
    message = (status.get("error") or {}).get("message")
    return Step("failed", str(message)) if message else Step("waiting")


def restore_size(found: Mapping[str, Any], source: Mapping[str, Any] | None, least: int) -> int:
    """Bytes that a claim from this snapshot asks for: what the snapshot says, else what its source has; at least `least`."""
    said = (found.get("status") or {}).get("restoreSize")
    if said is None and source is not None:
        said = ((source.get("status") or {}).get("capacity") or {}).get("storage")
        said = said or (((source.get("spec") or {}).get("resources") or {}).get("requests") or {}).get(
            "storage"
        )
    return max(least, bytes_of(said) if said is not None else 0)


def claim_step(found: Mapping[str, Any], *, waits_for_pod: bool) -> Step:
    """How far a claim is. One whose class waits for the first pod is as far as it can be."""
    phase = (found.get("status") or {}).get("phase")
    if phase == "Bound":
        return Step("ready")
    if phase == "Lost":
        return Step("failed", "The volume behind the claim is gone.")
    if waits_for_pod:
        return Step("ready", "It is bound once a pod uses it.")
    return Step("waiting")


def waits_for_first_pod(storage_class: Mapping[str, Any]) -> bool:
    """Whether claims of this class are bound only when a pod uses them."""
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def default_class(classes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The class of claims that name none: the newest of those that are marked."""
    marked = [
        one
        for one in classes
        if (_metadata(one).get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
        == "true"
    ]
    return max(marked, key=lambda one: str(_metadata(one).get("creationTimestamp") or ""), default=None)


def said_by_events(events: Iterable[Mapping[str, Any]], name: str) -> tuple[bool, str]:
    """Of a claim's events: whether it waits for its first pod, and the newest warning."""
    waits, warned, newest = False, "", ""
    for event in events:
        if (event.get("involvedObject") or {}).get("name") != name:
            continue
        waits = waits or event.get("reason") == "WaitForFirstConsumer"
        at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
        if event.get("type") == "Warning" and at >= newest:
            warned, newest = f"{event.get('reason')}: {event.get('message')}", at
    return waits, warned


def owner(service: str, uid: str) -> dict[str, Any]:
    """What makes an InferenceService the owner: the object goes when it goes."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "name": service,
        "uid": uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


def owned_by(found: Mapping[str, Any], uid: str) -> bool:
    """Whether this very InferenceService, not one of the same name before it, is an owner."""
    return any(one.get("uid") == uid for one in _metadata(found).get("ownerReferences") or ())


def owners_with(found: Mapping[str, Any], service: str, uid: str) -> list[dict[str, Any]]:
    """The owners with this one added; an InferenceService that was there before under the name is dropped."""
    kept = [
        dict(one)
        for one in _metadata(found).get("ownerReferences") or ()
        if (one.get("kind"), one.get("name")) != ("InferenceService", service)
    ]
    return [*kept, owner(service, uid)]


def claims_in(value: Any) -> set[str]:
    """Every claim that any text of an object names as `pvc://claim/…`, and the name of every volume's claim."""
    if isinstance(value, str):
        return set(_CLAIM.findall(value))
    if isinstance(value, Mapping):
        found = set().union(*(claims_in(one) for one in value.values()))
        name = value.get("claimName")
        return found | {name} if isinstance(name, str) else found
    if isinstance(value, (list, tuple)):
        return set().union(*(claims_in(one) for one in value))
    return set()


def leftovers(
    found: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]], before: str
) -> list[str]:
    """Names of our claims and snapshots that none of the namespace's InferenceServices uses.

    Those that nothing owns yet may be about to be used: they are left alone unless made before that time (ISO 8601, UTC).
    """
    there = list(services)
    used = claims_in(there)
    uids = {str(_metadata(one).get("uid")) for one in there}
    names = []
    for one in found:
        metadata = _metadata(one)
        has = metadata.get("labels") or {}
        ours = all(has.get(key) == value for key, value in MANAGED.items()) and SERVICE_LABEL in has
        if not ours or is_going(one) or metadata.get("name") in used:
            continue
        owned = any(str(owner.get("uid")) in uids for owner in metadata.get("ownerReferences") or ())
        if owned or str(metadata.get("creationTimestamp") or "") < before:
            names.append(str(metadata.get("name")))
    return names


def bytes_of(quantity: Any) -> int:
    """Bytes of a quantity such as `1Gi`, `500M` or `1e9`; raises `InvalidConfig`."""
    found = _QUANTITY.fullmatch(str(quantity).strip())
    if found is None:
        raise InvalidConfig(
            f"{quantity!r:.100} is no size.", hint="Write it as Kubernetes does: 500Mi, 10Gi."
        )
    number, exponent, unit = found.groups()
    if exponent is None and "." not in number and isinstance(_UNITS.get(unit or "", 1), int):
        return int(number) * int(_UNITS.get(unit or "", 1))
    whole = float(number + (exponent or "")) * _UNITS.get(unit or "", 1)
    return int(whole) + (whole > int(whole))


def in_gib(size: int) -> str:
    """Bytes as a quantity, rounded up to whole GiB: drivers take no less."""
    return f"{max(1, -(-size // _GIB))}Gi"


def _claim(
    name: str,
    of: Mapping[str, str],
    size: int,
    storage_class: str | None,
    source: Mapping[str, Any],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": dict(of)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": in_gib(size)}},
        **source,
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _metadata(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return found.get("metadata") or {}
