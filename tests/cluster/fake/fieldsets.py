"""Which fields a manager owns: sets of paths, and the `fieldsV1` they are written as.

A path is a tuple of `("f", name)`, `("k", key values as JSON)` for items of a list with keys, `("v", value as JSON)` for
members of a set.
"""

from __future__ import annotations

import json

# For kinds without a schema at hand: the lists that are merged by keys.
KEYS = {
    "containers": ("name",), "initContainers": ("name",), "env": ("name",), "volumes": ("name",),
    "volumeMounts": ("mountPath",), "ports": ("containerPort", "protocol"), "ownerReferences": ("uid",), "secrets": ("name",),
    "imagePullSecrets": ("name",), "conditions": ("type",),
}  # fmt: skip
SETS = ("finalizers",)
ATOMIC_MAPS = (
    "selector",
    "nodeAffinity",
    "dataSource",
    "dataSourceRef",
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
)
IGNORED = (
    ("f", "apiVersion"), ("f", "kind"), ("f", "metadata", "name"), ("f", "metadata", "namespace"),
    ("f", "metadata", "creationTimestamp"), ("f", "metadata", "generation"), ("f", "metadata", "managedFields"),
    ("f", "metadata", "resourceVersion"), ("f", "metadata", "uid"), ("f", "metadata", "selfLink"),
    ("f", "metadata", "deletionTimestamp"), ("f", "metadata", "deletionGracePeriodSeconds"), ("f", "metadata", "generateName"),
)  # fmt: skip
_IGNORED = {tuple(("f", name) for name in row[1:]) for row in IGNORED}


def sub_schema(schema, name):
    """Schema of a property; None where the schema says nothing of it."""
    if not schema:
        return None
    found = (schema.get("properties") or {}).get(name)
    if found is None and isinstance(schema.get("additionalProperties"), dict):
        found = schema["additionalProperties"]
    return found


def list_keys(schema, name, path):
    """("map", keys), ("set", ()) or ("atomic", ())."""
    if schema and path and path[0] == ("f", "spec"):
        kind = schema.get("x-kubernetes-list-type", "atomic")
        if kind == "map":
            return "map", tuple(schema["x-kubernetes-list-map-keys"])
        return kind, ()
    if name in KEYS:
        return "map", KEYS[name]
    return ("set", ()) if name in SETS else ("atomic", ())


def item_key(item, keys, schema):
    """The key part of a list's item; keys that are not said take their default."""
    found = {}
    for key in keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = ((sub_schema((schema or {}).get("items"), key)) or {}).get("default")
            if value is None and key == "protocol":
                value = "TCP"
        if value is not None:
            found[key] = value
    return ("k", json.dumps(dict(sorted(found.items())), separators=(",", ":")))


def is_struct(schema, path):
    """Whether a mapping's own presence is not owned by anyone: its schema names its properties."""
    if len(path) < 2:
        return True
    return schema is not None and "properties" in schema


def paths(obj, schema=None, *, selves=False):
    """The fields that an object sets: {path: value}. `selves` adds maps and keyed lists themselves (as an update does)."""
    found = {}
    _collect(obj, schema, (), found, selves=selves)
    return found


def _collect(value, schema, path, found, *, selves):
    if path in _IGNORED:
        return
    name = path[-1][1] if path else ""
    if isinstance(value, dict):
        atomic = schema.get("x-kubernetes-map-type") == "atomic" if schema else name in ATOMIC_MAPS
        if path and (not value or atomic):
            found[path] = value
            return
        if selves and path and not is_struct(schema, path):
            found[path] = None
        for key, inner in value.items():
            _collect(inner, sub_schema(schema, key), (*path, ("f", key)), found, selves=selves)
        return
    if isinstance(value, list):
        kind, keys = list_keys(schema, name, path)
        if kind == "atomic" or not value:
            found[path] = value
            return
        if selves:
            found[path] = None
        for item in value:
            if kind == "set":
                found[(*path, ("v", json.dumps(item)))] = item
                continue
            here = (*path, item_key(item, keys, schema))
            found[here] = None
            _collect(item, (schema or {}).get("items"), here, found, selves=selves)
        return
    found[path] = value


def encode(owned):
    """`fieldsV1` of a set of paths."""
    tree = {}
    for path in sorted(owned):
        at = tree
        for kind, text in path:
            at = at.setdefault(f"{kind}:{text}", {})
        at[""] = True

    def write(node):
        told = {}
        inner = {k: v for k, v in node.items() if k}
        if "" in node and inner:
            told["."] = {}
        for key, child in inner.items():
            told[key] = write(child)
        return told

    return write(tree)


def decode(fields):
    found = set()

    def read(node, path):
        inner = {k: v for k, v in node.items() if k != "."}
        if path and ("." in node or not inner):
            found.add(path)
        for key, child in inner.items():
            read(child, (*path, (key[0], key[2:])))

    read(fields, ())
    return found


def spoken(path):
    """A path as conflicts name it: `.spec.predictor.model.storageUri`, `.spec.env[name="A"].value`."""
    told = ""
    for kind, text in path:
        if kind == "f":
            told += f".{text}"
        elif kind == "v":
            told += f"[={text}]"
        else:
            told += "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(text).items()) + "]"
    return told
