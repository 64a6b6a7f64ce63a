"""Server-side apply and managedFields."""

from __future__ import annotations

import json

from .fieldsets import decode, encode, item_key, list_keys, paths, spoken, sub_schema
from .statuses import apply_conflict
from .store import now


def apply(live, applied, resource, schema, manager, *, force):
    """The object after an apply, with its managedFields; 409 with the fields that others own and set otherwise."""
    asked = paths(applied, schema)
    entries = list((live or {}).get("metadata", {}).get("managedFields") or ())
    have = paths(live, schema, selves=True) if live else {}
    before = set()
    kept, causes = [], []
    for entry in entries:
        if entry.get("subresource"):
            kept.append((entry, decode(entry["fieldsV1"])))
            continue
        owned = decode(entry["fieldsV1"])
        if (entry["manager"], entry["operation"]) == (manager, "Apply"):
            before = owned
            continue
        taken = set()
        for path, value in asked.items():
            if path in owned and value is not None and have.get(path) != value:
                taken.add(path)
        if taken and not force:
            causes += [(entry["manager"], entry["apiVersion"], spoken(p)) for p in sorted(taken)]
        kept.append((entry, owned - taken))
    if causes:
        raise apply_conflict(causes)
    others = set().union(*(owned for _, owned in kept)) if kept else set()
    result = merge(live or {}, applied, schema)
    for path in sorted(before - set(asked), key=len):
        if not any(o[: len(path)] == path for o in (*others, *asked)):
            result = _without(result, path, schema)
    own = {
        "apiVersion": resource.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(asked),
        "manager": manager,
        "operation": "Apply",
        "time": now(),
    }
    previous = next((e for e in entries if (e["manager"], e["operation"]) == (manager, "Apply")), None)
    if previous and previous["fieldsV1"] == own["fieldsV1"]:
        own["time"] = previous["time"]
    rest = [{**entry, "fieldsV1": encode(owned)} for entry, owned in kept if owned]
    managed = [own, *rest] if previous is None or entries[0] is previous else [*rest, own]
    result["metadata"] = {**result["metadata"], "managedFields": managed}
    return result


def merge(live, applied, schema, path=()):
    """Applied fields over the live ones, lists by their keys."""
    name = path[-1][1] if path else ""
    if isinstance(applied, dict):
        if schema and schema.get("x-kubernetes-map-type") == "atomic":
            return applied
        result = dict(live) if isinstance(live, dict) else {}
        for key, value in applied.items():
            result[key] = merge(result.get(key), value, sub_schema(schema, key), (*path, ("f", key)))
        return result
    if isinstance(applied, list) and isinstance(live, list):
        kind, keys = list_keys(schema, name, path)
        if kind == "set":
            return [*live, *(item for item in applied if item not in live)]
        if kind == "map":
            places = {item_key(item, keys, schema): index for index, item in enumerate(live)}
            result = list(live)
            for item in applied:
                key = item_key(item, keys, schema)
                if key in places:
                    result[places[key]] = merge(
                        live[places[key]], item, (schema or {}).get("items"), (*path, key)
                    )
                else:
                    result.append(item)
            return result
    return applied


def _without(value, path, schema):
    """A copy without what stands at a path."""
    (kind, text), rest = path[0], path[1:]
    if kind == "f":
        if not isinstance(value, dict) or text not in value:
            return value
        result = dict(value)
        if rest:
            result[text] = _without(value[text], rest, sub_schema(schema, text))
            # What is emptied by this goes too; what was empty before stays.
            if value[text] and not result[text] and isinstance(result[text], (dict, list)):
                del result[text]
        else:
            del result[text]
        return result
    if not isinstance(value, list):
        return value
    items = (schema or {}).get("items")
    result = []
    for item in value:
        if kind == "v":
            same = json.dumps(item) == text
        else:
            same = all(item.get(k, v if k == "protocol" else None) == v for k, v in json.loads(text).items())
        if not same:
            result.append(item)
        elif rest:
            result.append(_without(item, rest, items))
    return result


def update(live, new, resource, schema, manager, subresource=None):
    """managedFields after a create, an update or a patch: who changes a field owns it, alone."""
    before = paths(live, schema, selves=True) if live else {}
    after = paths(new, schema, selves=True)
    changed = {p for p, value in after.items() if p not in before or before[p] != value}
    entries = []
    own = None
    for entry in (live or {}).get("metadata", {}).get("managedFields") or ():
        owned = decode(entry["fieldsV1"])
        mine = (entry["manager"], entry["operation"], entry.get("subresource")) == (
            manager,
            "Update",
            subresource,
        )
        left = {p for p in owned if p in after and (mine or p not in changed or after[p] is None)}
        if mine:
            own = (entry, left | changed)
            entries.append(None)
        elif left:
            entries.append(entry if left == owned else {**entry, "fieldsV1": encode(left)})
    if changed and own is None:
        own = ({"apiVersion": resource.api_version, "fieldsType": "FieldsV1"}, changed)
        entries.append(None)
    written = []
    for entry in entries:
        if entry is not None:
            written.append(entry)
        elif own[1]:
            made = {**own[0], "fieldsV1": encode(own[1]), "manager": manager, "operation": "Update"}
            if changed or "time" not in made:
                made["time"] = now()
            if subresource:
                made["subresource"] = subresource
            written.append(made)
    return written
