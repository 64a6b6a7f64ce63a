"""Refusals as the API server words them: `Status` objects of v1."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818
    """An answer that is a `Status`: raised anywhere below a request, written by the server."""

    def __init__(self, code, reason, message, *, details=None, headers=None, metadata=None):
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.body["reason"] = reason
        if details:
            self.body["details"] = details
        self.body["code"] = code


def _about(resource, name=None, kind=None):
    details = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = kind or resource.plural
    return details


def bad_request(message):
    return Refused(400, "BadRequest", message)


def unauthorized():
    return Refused(401, "Unauthorized", "Unauthorized")


def forbidden(resource, message, name=None):
    about = f' "{name}"' if name else ""
    text = f"{resource.qualified}{about} is forbidden: {message}"
    return Refused(403, "Forbidden", text, details=_about(resource, name))


def not_found(resource, name):
    return Refused(
        404, "NotFound", f'{resource.qualified} "{name}" not found', details=_about(resource, name)
    )


def no_such_page():
    return Refused(404, "NotFound", "the server could not find the requested resource", details={})


def not_allowed():
    return Refused(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
    )


def already_exists(resource, name):
    return Refused(
        409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', details=_about(resource, name)
    )


def conflict(resource, name, message=None):
    message = message or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {message}'
    return Refused(409, "Conflict", text, details=_about(resource, name))


def precondition_failed(resource, name, what, asked, is_):
    tail = ". The object might have been deleted and then recreated" if what == "UID" else ""
    text = (
        f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": '
        f"the {what} in the precondition ({asked}) does not match the {what} in record ({is_}){tail}"
    )
    return Refused(409, "Conflict", text, details=_about(resource, name, resource.kind))


def apply_conflict(causes):
    """Causes: (manager, its apiVersion, path with a dot in front)."""
    noun = "conflict" if len(causes) == 1 else "conflicts"
    if len(causes) == 1:
        manager, version, path = causes[0]
        told = f': conflict with "{manager}" using {version}: {path}'
    else:
        groups = {}
        for manager, version, path in causes:
            groups.setdefault((manager, version), []).append(path)
        told = ": " + "\n".join(
            f'conflicts with "{manager}" using {version}:\n' + "\n".join(f"- {p}" for p in paths)
            for (manager, version), paths in groups.items()
        )
    details = {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": f'conflict with "{manager}" using {version}',
                "field": path,
            }
            for manager, version, path in causes
        ]
    }
    return Refused(409, "Conflict", f"Apply failed with {len(causes)} {noun}{told}", details=details)


def invalid(resource, name, causes):
    """Causes: (reason, field, message)."""
    told = [f"{field}: {message}" for _, field, message in causes]
    text = told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"
    details = _about(resource, name, resource.kind)
    details["causes"] = [{"reason": r, "message": m, "field": f} for r, f, m in causes]
    return Refused(422, "Invalid", f'{resource.qualified_kind} "{name}" is invalid: {text}', details=details)


def expired(message, metadata=None):
    return Refused(410, "Expired", message, metadata=metadata)


def too_many(seconds=1):
    return Refused(
        429,
        "TooManyRequests",
        "Too many requests, please try again later.",
        details={"retryAfterSeconds": seconds},
        headers={"Retry-After": str(seconds)},
    )


def internal(message):
    return Refused(500, "InternalError", f"Internal error occurred: {message}")


def unavailable(message, headers=None):
    return Refused(503, "ServiceUnavailable", message, headers=headers)


def of_code(code, message=None, retry_after=None):
    """A scripted failure."""
    reason = {
        400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
        422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
    }.get(code, "")  # fmt: skip
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if code == 429 and retry_after is None:
        headers = {"Retry-After": "1"}
    return Refused(code, reason, message or f"scripted failure {code}", headers=headers)


def invalid_options(message):
    return Refused(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {message}')
