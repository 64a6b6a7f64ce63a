"""JSON merge patch (RFC 7396), JSON patch (RFC 6902) and the strategic merge that kinds without a CRD know."""

from __future__ import annotations

import copy

from .statuses import Refused

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath",
    "ports": "containerPort", "ownerReferences": "uid", "secrets": "name", "imagePullSecrets": "name",
}  # fmt: skip


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target, patch, key=None):
    if isinstance(patch, list) and key in MERGE_KEYS:
        return _merge_list(target if isinstance(target, list) else [], patch, MERGE_KEYS[key])
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = strategic(result.get(name), value, name)
    return result


def _merge_list(target, patch, key):
    result = list(target)
    for item in patch:
        index = next((i for i, have in enumerate(result) if have.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if index is not None:
                result.pop(index)
        elif index is None:
            result.append(item)
        else:
            result[index] = strategic(result[index], item)
    return result


def _refuse(message):
    return Refused(
        422, "Invalid", f"the server rejected our request due to an error in our request: {message}"
    )


def _walk(document, pointer):
    parts = [p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:]]
    for part in parts[:-1]:
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _refuse(f"{pointer}: no such path") from None
    return document, parts[-1]


def json_patch(document, operations):
    document = copy.deepcopy(document)
    for given in operations:
        operation, op, pointer = given, given["op"], given["path"]
        if op in ("move", "copy"):
            parent, last = _walk(document, given["from"])
            try:
                value = parent[int(last) if isinstance(parent, list) else last]
            except (KeyError, IndexError):
                raise _refuse(f"{given['from']}: no such path") from None
            if op == "move":
                parent.pop(int(last) if isinstance(parent, list) else last)
            operation, op = {"path": pointer, "value": copy.deepcopy(value)}, "add"
        parent, last = _walk(document, pointer)
        if isinstance(parent, list):
            index = len(parent) if last == "-" else int(last)
            if index > len(parent) or (op != "add" and index >= len(parent)):
                raise _refuse(f"{pointer}: no such index")
            if op == "add":
                parent.insert(index, operation["value"])
            elif op == "remove":
                parent.pop(index)
            elif op == "replace":
                parent[index] = operation["value"]
            elif parent[index] != operation["value"]:
                raise _refuse(f"testing value {pointer} failed")
        elif op == "test":
            if parent.get(last) != operation.get("value"):
                raise _refuse(f"testing value {pointer} failed")
        elif op in ("remove", "replace") and last not in parent:
            raise _refuse(f"{op} operation does not apply: doc is missing key: {pointer}")
        elif op == "remove":
            parent.pop(last)
        else:
            parent[last] = operation["value"]
    return document
