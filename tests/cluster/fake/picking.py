"""Label and field selectors."""

from __future__ import annotations

import re

from .statuses import bad_request

_TERM = re.compile(r"^([^\s=!()]+)\s*(==|=|!=)\s*(\S*)$")
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_FIELDS = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = (
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
    "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
)  # fmt: skip
_POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP")


def _split(text):
    """Terms of a label selector; a comma in parentheses belongs to its set."""
    depth, start = 0, 0
    for index, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            yield text[start:index].strip()
            start = index + 1
    yield text[start:].strip()


def labels(selector):
    """A predicate of objects."""
    if not selector:
        return lambda _obj: True
    tests = []
    for term in _split(selector):
        if match := _SET.match(term):
            key, how, values = match[1], match[2], {v.strip() for v in match[3].split(",")}
            tests.append((key, values, how == "in"))
        elif match := _TERM.match(term):
            tests.append((match[1], {match[3]}, match[2] != "!="))
        elif re.fullmatch(r"!?[\w./-]+", term):
            tests.append((term.lstrip("!"), None, not term.startswith("!")))
        else:
            raise bad_request(f"unable to parse requirement: found '{term}'")

    def matches(obj):
        have = obj["metadata"].get("labels") or {}
        for key, values, wanted in tests:
            holds = key in have if values is None else have.get(key) in values
            if holds != wanted:
                return False
        return True

    return matches


def fields(selector, resource):
    """A predicate of objects; 400 for a field that this resource cannot be picked by."""
    if not selector:
        return lambda _obj: True
    allowed = _FIELDS + {"events": _EVENT_FIELDS, "pods": _POD_FIELDS}.get(resource.plural, ())
    tests = []
    for term in selector.split(","):
        match = _TERM.match(term.strip())
        if not match:
            raise bad_request(f'invalid selector: "{selector}"; can\'t understand "{term}"')
        if match[1] not in allowed:
            raise bad_request(f"field label not supported: {match[1]}")
        tests.append((match[1].split("."), match[3], match[2] != "!="))

    def matches(obj):
        for path, value, wanted in tests:
            at = obj
            for key in path:
                at = at.get(key) if isinstance(at, dict) else None
            if ((at or "") == value) != wanted:
                return False
        return True

    return matches
