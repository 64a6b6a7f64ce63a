"""What an API server refused, as an error of ours. Pure.

Decisions are taken by status, reason, details and causes only. The text of an answer has several forms (schema, strict
decoding, webhooks), so it is quoted, and looked into only to point at a field that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Answer
from kale_serve_lab.errors import (
    ClusterRefused,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    InvalidConfig,
    KaleServeError,
    NameTaken,
    NotFound,
    Unauthorized,
)

_LONGEST = 1000
_UNKNOWN_FIELD = re.compile(r'unknown field "([^"]{1,200})"')
_MANAGER = re.compile(r'conflict with "([^"]{1,128})"')
_READS = frozenset({"get", "list", "watch"})
# Server-side apply makes the object where it is not there, and needs both rights.
_RBAC_VERBS = {"apply": ("create", "patch"), "update": ("update",), "dry-run": ("create", "patch")}


def errors_of(
    answer: Answer,
    verb: str,
    what: str,
    *,
    group: str | None = None,
    resource: str | None = None,
) -> KaleServeError:
    """The error for an answer that is not `ok`.

    `verb` is Kubernetes' own, or `apply`; `what` names the object as `inferenceservice ns/name`, or `inferenceservices ns`
    for many. `group` and `resource` (`pods/log`) name the right where the answer's own details say less.
    """
    status = answer.json if answer.json.get("kind") == "Status" else {}
    details = status.get("details")
    details = details if isinstance(details, Mapping) else {}
    causes = [one for one in details.get("causes") or () if isinstance(one, Mapping)]
    reason = str(status.get("reason") or "")
    quoted = _quote(status, answer)
    doing = f"{verb} {what}"
    facts: dict[str, Any] = {"status": answer.status, "verb": verb}
    if reason:
        facts["reason"] = reason
    if causes:
        facts["causes"] = [
            {key: str(one[key])[:_LONGEST] for key in ("field", "reason", "message") if one.get(key)}
            for one in causes[:50]
        ]

    def error(
        kind: type[KaleServeError], message: str, hint: str | None = None, **more: Any
    ) -> KaleServeError:
        return kind(message, subject=what, hint=hint, details={**facts, **more})

    code = answer.status
    if code == 401:
        return error(
            Unauthorized,
            f"The cluster does not take our credentials ({doing}).",
            "They have expired or were withdrawn. Log in again as for kubectl (same kubeconfig, same context), then "
            "run `kale-serve cluster check`.",
        )
    if code == 403 and status and (resource or details.get("kind")):
        if group is None:
            group = str(details.get("group") or "")
        return _no_right(verb, what, (group, resource or str(details["kind"])), quoted, facts)
    if code == 403 and status and verb not in _READS:
        return error(
            InvalidConfig,
            f"An admission check of the cluster refused to {doing}: {quoted}",
            "Change what it names, then try again.",
        )
    if code == 403:
        return error(
            Forbidden,
            f"Something before the API server refused to {doing}: {quoted}",
            "A proxy or a mesh asks for other credentials than the ones we have. Ask whoever looks after the cluster.",
        )
    if code == 404:
        if status and details.get("name"):
            return error(NotFound, f"{_capital(what)} is not there ({verb}): {quoted}")
        return error(
            NotFound,
            f"The cluster does not know what was asked for ({doing}): {quoted}",
            "Either it is not there, or what defines it is not installed on the cluster. "
            "`kale-serve cluster check` says which.",
        )
    if code == 409 and reason == "AlreadyExists":
        return error(
            NameTaken,
            f"{_capital(what)} is there already.",
            "Choose another name, or remove that object first.",
        )
    if code == 409:
        return _conflict(verb, what, causes, quoted, facts)
    if code == 422 or (code == 400 and status):
        fields = _fields(causes, quoted)
        if fields:
            facts["fields"] = fields
        return error(
            InvalidConfig,
            f"The cluster does not accept {what} ({verb}): {_sentence(causes) or quoted}",
            f"Change {', '.join(fields)}, then try again."
            if fields
            else "Change what it names, then try again.",
        )
    if code == 413:
        return error(InvalidConfig, f"{_capital(what)} is too large for the cluster ({verb}): {quoted}")
    if code == 429:
        return error(
            ClusterUnavailable,
            f"The API server is busy and asked us to wait ({doing}).",
            "Try again in a moment.",
            retry_after=retry_after(answer),
        )
    if code in {502, 503, 504}:
        return error(
            ClusterUnavailable,
            f"The API server cannot answer now ({doing}, HTTP {code}): {quoted}",
            "Try again in a moment.",
        )
    if code >= 500:
        return error(
            ClusterRefused,
            f"The API server failed to {doing}: {quoted}",
            "A webhook of the cluster may be at fault: see `kubectl get pods -n kserve`, and the logs there."
            if verb not in _READS
            else "Try again; if it stays so, ask whoever looks after the cluster.",
        )
    if not status:
        return error(
            ClusterRefused,
            f"What answered is no API server ({doing}, HTTP {code}): {quoted}",
            "A login page or a proxy stands between: check the server's address in the kubeconfig.",
        )
    return error(ClusterRefused, f"The API server refused to {doing} (HTTP {code}): {quoted}")


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asked to wait, by its header or in the Status; None where it named none."""
    details = answer.json.get("details")
    given: Any = answer.headers.get("retry-after")
    if given is None and isinstance(details, Mapping):
        given = details.get("retryAfterSeconds")
    try:
        found = float(given)
    except (TypeError, ValueError):
        return None
    return found if 0 <= found < 86_400 else None


def rule(verb: str, group: str, resource: str) -> dict[str, list[str]]:
    """The rule of a Role that allows it."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(_RBAC_VERBS.get(verb, (verb,)))}


def right_hint(verb: str, group: str, resource: str, namespace: str | None) -> str:
    """Where and how to grant a right."""
    wanted = rule(verb, group, resource)
    verbs = ", ".join(wanted["verbs"])
    where = f" in namespace {namespace}" if namespace else ""
    full = f"{resource}.{group}" if group else resource
    option = f" -n {namespace}" if namespace else ""
    kind = "Role" if namespace else "ClusterRole"
    plain, _, sub = full.partition("/")
    asked = full if not sub else f"{plain} --subresource={sub}"
    return (
        f'Ask whoever looks after the cluster for a {kind}, bound to your account{where}: apiGroups ["{group}"], '
        f'resources ["{resource}"], verbs [{verbs}]. '
        f"`kubectl auth can-i {wanted['verbs'][0]} {asked}{option}` shows when it is there."
    )


def _no_right(
    verb: str, what: str, right: tuple[str, str], quoted: str, facts: Mapping[str, Any]
) -> KaleServeError:
    group, resource = right
    namespace = _namespace(what)
    return Forbidden(
        f"You may not {verb} {what}: {quoted}",
        subject=what,
        hint=right_hint(verb, group, resource, namespace),
        details={**facts, "rule": rule(verb, group, resource), "namespace": namespace},
    )


def _conflict(
    verb: str, what: str, causes: list[Mapping[str, Any]], quoted: str, facts: Mapping[str, Any]
) -> KaleServeError:
    owned = [
        {"field": str(one.get("field", "")).lstrip("."), "manager": _manager(str(one.get("message", "")))}
        for one in causes
        if one.get("reason") == "FieldManagerConflict"
    ]
    if not owned:
        return Conflict(
            f"{_capital(what)} has changed meanwhile ({verb}): {quoted}",
            subject=what,
            hint="Look at it again, then repeat what you did.",
            details=facts,
        )
    by: dict[str, list[str]] = {}
    for one in owned:
        by.setdefault(one["manager"] or "somebody else", []).append(str(one["field"]))
    said = "; ".join(f"{manager} has set {', '.join(found)}" for manager, found in by.items())
    return Conflict(
        f"Others have changed {what}: {said[:_LONGEST]}.",
        subject=what,
        hint="Take these values over, or ask for yours by `overwrite=True`.",
        details={**facts, "conflicts": owned},
    )


def _manager(message: str) -> str | None:
    found = _MANAGER.search(message)
    return found.group(1) if found else None


def _fields(causes: Iterable[Mapping[str, Any]], quoted: str) -> list[str]:
    named = [str(one["field"]) for one in causes if one.get("field") not in {None, "", "<nil>"}]
    return list(dict.fromkeys([*named, *_UNKNOWN_FIELD.findall(quoted)]))[:20]


def _sentence(causes: list[Mapping[str, Any]]) -> str:
    found = [f"{one.get('field') or 'it'}: {one['message']}" for one in causes if one.get("message")]
    return ("; ".join(found[:5]) + ("." if found else ""))[:_LONGEST]


def _quote(status: Mapping[str, Any], answer: Answer) -> str:
    text = status.get("message")
    if not isinstance(text, str) or not text:
        if isinstance(answer.body, bytes):
            start = answer.body[:4000].decode(errors="replace")
            text = "a web page" if start.lstrip()[:1] == "<" else start.strip()
        else:
            text = str(answer.json.get("message") or "")
    text = " ".join(text.split())
    return (text[:_LONGEST] or f"HTTP {answer.status}").rstrip(".") + "."


def _namespace(what: str) -> str | None:
    """Of `inferenceservice ns/name` and `inferenceservices ns`."""
    kind, _, name = what.partition(" ")
    return (name.partition("/")[0] or None) if kind else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
