"""What callers ask for, read from JSON and checked before anything is touched. Pure, but for looking at paths."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import InvalidName, InvalidRequest
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.metadata.types import SUBMITTED_TYPES, NewArtifact, Session

MAX_TEXT = 10_000
MAX_JSON_KEYS = 1000
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Nobody's model lies here, and some of it is secret.
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
)
_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True)
class Submission:
    """A checked `POST /api/artifacts`; exactly one of `staging`, `path` and `uri` says where the content is.

    `new.version` is "" where the next one is asked for; uri, digest, size and time come from the store.
    """

    new: NewArtifact
    staging: str | None
    path: Path | None
    uri: str | None
    session: Session | None
    inputs: tuple[int, ...]


def submission(body: Mapping[str, Any], data_dir: Path) -> Submission:
    """Read a submission; raises `InvalidRequest` or `InvalidName` naming the field."""
    kind = text(body, "type") or "kale.Model"
    if kind not in SUBMITTED_TYPES:
        raise _bad("type", f"must be one of {', '.join(SUBMITTED_TYPES)}", kind)
    staging, uri = text(body, "staging"), text(body, "artifact_uri")
    if (staging is None) == (uri is None):
        raise InvalidRequest(
            "Exactly one of `staging` and `artifact_uri` says where the files are.",
            subject=text(body, "name"),
        )
    if staging is not None and not _UUID.fullmatch(staging):
        raise _bad("staging", "must be a UUID", staging)
    path = None
    if uri is not None and not uri.startswith("kale-local://"):
        path, uri = source_path(uri, data_dir), None
    version = text(body, "version") or ""
    if version and not _VERSION.fullmatch(version):
        raise _bad("version", "takes letters, digits and . _ + - only, at most 64", version)
    new = NewArtifact(
        type=kind,
        name=artifact_name(text(body, "name") or ""),
        version=version,
        uri="",
        digest="",
        size=0,
        created_at=0,
        description=text(body, "description"),
        author=text(body, "author"),
        tags=tags(body),
        framework=text(body, "framework"),
        class_name=text(body, "class_name"),
        method=text(body, "method"),
        signature=signature(body),
        environment=mapping(body, "environment") or None,
        executable=flag(body, "executable"),
        properties=mapping(body, "properties"),
    )
    return Submission(new, staging, path, uri, session(body), inputs(body))


def signature(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The signature, checked now rather than when it is served; raises `InvalidSignature`."""
    found = mapping(body, "signature")
    return Signature.from_json(found).to_json() if found else None


def tags(body: Mapping[str, Any]) -> dict[str, str]:
    """The tags, each value as a text of at most 10,000 characters; raises `InvalidRequest`."""
    found: dict[str, str] = {}
    for key, value in mapping(body, "tags").items():
        if not isinstance(value, str | int | float | None):
            raise _bad(f"tags.{str(key)[:100]}", "must be a text or a number", value)
        shown = value if isinstance(value, str) else "" if value is None else str(value)
        if len(key) > MAX_TEXT or len(shown) > MAX_TEXT:
            raise _bad(f"tags.{str(key)[:100]}", f"is longer than {MAX_TEXT} characters", shown)
        found[str(key)] = shown
    return found


def artifact_name(name: str) -> str:
    """A name as it may be given; raises `InvalidName`."""
    problem = None
    if not name.strip() or name != name.strip():
        problem = "is empty or has spaces around it"
    elif len(name) > 128:
        problem = "is longer than 128 characters"
    elif name.isdigit():
        problem = "is a number, which would be taken for an id"
    elif set(name) & set(':/\\#@$;"<>') or name.startswith("."):
        problem = 'starts with a dot or holds one of : / \\ # @ $ ; " < >'
    elif any(unicodedata.category(letter) in _FORBIDDEN_CATEGORIES for letter in name):
        problem = "holds an invisible character"
    if problem:
        raise InvalidName(
            f"The artifact name {name[:200]!r} {problem}.",
            subject=name[:200],
            hint="Use letters, digits, spaces and - _ . for it.",
        )
    return name


def source_path(uri: str, data_dir: Path) -> Path:
    """The file or folder that is to be stored, resolved once; raises `InvalidRequest` where none may lie."""
    hint = "Give the absolute path of the model's file or folder on this machine."
    if _SCHEME.match(uri) or not uri.startswith("/") or uri.startswith("//") or "\0" in uri:
        raise InvalidRequest(f"{uri[:200]!r} is not an absolute path.", subject=uri[:200], hint=hint)
    if ".." in uri.split("/"):
        raise InvalidRequest(f"{uri[:200]!r} goes upwards (`..`).", subject=uri[:200], hint=hint)
    try:
        path = Path(uri)
        # The last part is not followed: what it is, a link too, is told by name when it is read.
        path = path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:
        raise InvalidRequest(
            f"{uri[:200]!r} cannot be read: {error}.", subject=uri[:200], hint=hint
        ) from error
    allowed = [Path(tempfile.gettempdir()).resolve(), Path("/var/tmp"), Path.home().resolve()]  # noqa: S108
    if path.is_relative_to(data_dir) or (
        any(path.is_relative_to(system) for system in (*_SYSTEM, *map(os.path.realpath, _SYSTEM)))
        and not any(path.is_relative_to(root) for root in allowed if str(root) != "/")
    ):
        raise InvalidRequest(f"{path} is no place for a model.", subject=str(path), hint=hint)
    return path


def session(body: Mapping[str, Any]) -> Session | None:
    """The caller's session, None where it says none."""
    found = mapping(body, "session")
    if not found:
        return None
    kind, name = text(found, "kind") or "script", text(found, "name") or "unnamed"
    if kind not in {"notebook", "script", "pipeline"}:
        raise _bad("session.kind", "must be notebook, script or pipeline", kind)
    return Session(kind, name, text(found, "id") or "")


def inputs(body: Mapping[str, Any]) -> tuple[int, ...]:
    """Ids of the artifacts that went into it."""
    found = body.get("inputs") or []
    if not isinstance(found, list) or not all(
        isinstance(one, int) and not isinstance(one, bool) for one in found
    ):
        raise _bad("inputs", "must be a list of artifact ids", found)
    return tuple(dict.fromkeys(found))


def text(body: Mapping[str, Any], key: str) -> str | None:
    """A text of at most 10,000 characters; None where it is missing, null or empty."""
    value = body.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _bad(key, "must be a text", value)
    if len(value) > MAX_TEXT:
        raise _bad(key, f"is longer than {MAX_TEXT} characters", value)
    return value


def flag(body: Mapping[str, Any], key: str) -> bool:
    """A boolean; false where it is missing."""
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise _bad(key, "must be true or false", value)
    return value


def refuse_a_cluster(body: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` where a call wants to choose the cluster, which only its configuration does."""
    for key in ("kubeconfig", "context", "server", "cluster", "exec"):
        if key in body:
            raise InvalidRequest(
                f"{key} cannot be given with a service: a call does not choose the cluster.",
                subject=key,
                hint="`kale-serve cluster set` says which one is meant.",
            )


def mapping(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object; empty where it is missing or null."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_JSON_KEYS:
        raise _bad(key, f"must be an object of at most {MAX_JSON_KEYS} keys", value)
    return value


def number(value: str | None, name: str, default: int, highest: int) -> int:
    """A whole number from a query, from 0 to `highest`."""
    if value is None or value == "":
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise _bad(name, "must be a whole number", value)
    return min(int(value), highest)


def _bad(key: str, what: str, value: Any) -> InvalidRequest:
    return InvalidRequest(f"`{key}` {what}; it is {str(value)[:200]!r}.", subject=key)
