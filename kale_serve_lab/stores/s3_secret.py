"""What KServe wants to find on the Secret by which the cluster reads the bucket. Pure; the Secret's values are never looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kale_serve_lab.stores.s3_client import S3Settings

_PREFIX = "serving.kserve.io/s3-"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def secret_annotations(settings: S3Settings, *, ca_bundle: str | None = None) -> dict[str, str]:
    """The annotations for this bucket. `ca_bundle` is a path inside KServe's storage initializer."""
    found: dict[str, str] = {}
    if settings.endpoint is not None:
        parts = urlsplit(settings.endpoint)
        # KServe puts the scheme before it.
        found[f"{_PREFIX}endpoint"] = parts.netloc + parts.path.rstrip("/")
        found[f"{_PREFIX}usehttps"] = "1" if parts.scheme == "https" else "0"
    if settings.endpoint is not None or settings.addressing is not None:
        found[f"{_PREFIX}usevirtualbucket"] = "false" if settings.by_path else "true"
    if settings.region is not None:
        found[f"{_PREFIX}region"] = settings.region
    if ca_bundle is not None:
        found[f"{_PREFIX}cabundle"] = ca_bundle
    return found


def secret_findings(secret: Mapping[str, Any], settings: S3Settings) -> list[str]:
    """What a Secret lacks, or has otherwise than this bucket wants it, in sentences; none when all is well."""
    metadata = secret.get("metadata") or {}
    name = metadata.get("name") or settings.secret
    has = {str(key): str(value) for key, value in (metadata.get("annotations") or {}).items()}
    said = []
    for key, wanted in secret_annotations(settings).items():
        there = has.get(key)
        if there is None and key.endswith("usevirtualbucket") and wanted == "false":
            continue
        if there is None and not (key.endswith("usehttps") and wanted == "1"):
            said.append(f'The Secret {name} lacks the annotation {key}: "{wanted}".')
        elif there is not None and _plain(key, there) != _plain(key, wanted):
            said.append(f'The Secret {name} has {key}: "{there}", and the store wants "{wanted}".')
    keys = set(secret.get("data") or ()) | set(secret.get("stringData") or ())
    anonymous = has.get(f"{_PREFIX}useanoncredential", "").lower() == "true"
    role = any(key.startswith("eks.amazonaws.com/") for key in has)
    missing = [key for key in KEYS if key not in keys]
    if missing and not anonymous and not role:
        said.append(f"The Secret {name} lacks {' and '.join(missing)}.")
    return said


def account_findings(account: Mapping[str, Any], settings: S3Settings) -> list[str]:
    """What a ServiceAccount lacks: KServe takes the bucket's key from the Secrets that it lists."""
    listed = [one.get("name") for one in account.get("secrets") or () if isinstance(one, Mapping)]
    if settings.secret is None or settings.secret in listed:
        return []
    name = (account.get("metadata") or {}).get("name") or settings.service_account
    said = (
        f"The ServiceAccount {name} does not list the Secret {settings.secret}: "
        f'`kubectl patch serviceaccount {name} -p \'{{"secrets": [{{"name": "{settings.secret}"}}]}}\'`.'
    )
    return [said]


def _plain(key: str, value: str) -> str:
    if key.endswith("endpoint"):
        return value.removeprefix("https://").removeprefix("http://").rstrip("/").lower()
    return {"true": "1", "false": "0"}.get(value.lower(), value.lower())
