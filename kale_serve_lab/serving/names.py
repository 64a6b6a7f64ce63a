"""Names of services: the rule of KServe's webhook, so that what runs here also runs on a cluster."""

from __future__ import annotations

import re
import unicodedata

from kale_serve_lab.errors import InvalidName

MAX_LABEL = 63
DEFAULT_NAMESPACE = "default"

# A DNS-1035 label: \Z, not $, which would let a newline pass.
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


def check_service_name(name: object, namespace: object = DEFAULT_NAMESPACE) -> str:
    """The name itself. Raises `InvalidName` unless it is a DNS-1035 label and `name-namespace` fits a DNS label."""
    checked_namespace = check_namespace(namespace)
    if not isinstance(name, str) or not _SERVICE.match(name):
        raise InvalidName(
            f"{_shown(name)} cannot be the name of an endpoint: "
            "small letters, digits and hyphens, a letter first, no hyphen last.",
            subject=_shown(name),
            hint=_suggestion(name),
        )
    longest = MAX_LABEL - 1 - len(checked_namespace)
    if len(name) > longest:
        raise InvalidName(
            f"The name {_shown(name)} is {len(name)} characters long; {longest} fit in the namespace {checked_namespace}.",
            subject=_shown(name),
            hint=f"KServe makes the host name from {{name}}-{{namespace}}, which has {MAX_LABEL} characters.",
        )
    return name


def check_namespace(namespace: object) -> str:
    """The namespace itself. Raises `InvalidName` unless it is a DNS-1123 label."""
    if not isinstance(namespace, str) or not _NAMESPACE.match(namespace) or len(namespace) > MAX_LABEL - 2:
        raise InvalidName(
            f"{_shown(namespace)} cannot be a namespace.", subject=_shown(namespace), hint="Use: default"
        )
    return namespace


def derive_service_name(text: str, namespace: str = DEFAULT_NAMESPACE) -> str:
    """The nearest name that passes `check_service_name`: `Breast Cancer (RF)` gives `breast-cancer-rf`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain).lower()
    name = re.sub(r"[^a-z0-9]+", "-", spaced).strip("-")
    if not name:
        name = "model"
    elif not name[0].isalpha():
        name = f"m-{name}"
    return name[: MAX_LABEL - 1 - len(namespace)].rstrip("-")


def _suggestion(name: object) -> str:
    return f"Try {derive_service_name(name)}." if isinstance(name, str) and name else "Try model."


def _shown(name: object) -> str:
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}..."
