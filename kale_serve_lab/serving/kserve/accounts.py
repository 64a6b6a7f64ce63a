"""Whether the pods can read the store: KServe takes the key from the Secrets that the pod's ServiceAccount lists. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.kserve.build import ClusterAbout
from kale_serve_lab.serving.kserve.containers import component_of
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.types import InferenceService

DEFAULT = "default"
# It names the Secret to KServe past the ServiceAccount.
SECRET_NAME = "serving.kserve.io/storageSecretName"  # noqa: S105 (the name of an annotation)
_FIELD = "config.service_account"


def accounts(
    service: InferenceService, placed: Mapping[str, Placed], about: ClusterAbout
) -> dict[str, tuple[str, str | None]]:
    """Component -> the store's Secret, and the ServiceAccount that its pods are asked to run as (None: nobody names one)."""
    if SECRET_NAME in (service.config.annotations or {}):
        return {}
    found: dict[str, tuple[str, str | None]] = {}
    for component, one in placed.items():
        if one.secret is None:
            continue
        named = component_of(service.config, component).get("serviceAccountName") or one.service_account
        for default in about.pod_defaults:
            named = named or (default.get("spec") or {}).get("serviceAccountName")
        found[component] = one.secret, named
    return found


def of_accounts(
    service: InferenceService,
    placed: Mapping[str, Placed],
    about: ClusterAbout,
    there: Mapping[str, Mapping[str, Any] | None],
) -> list[Finding]:
    """The findings. `there`: ServiceAccounts of the namespace by name, None for one that is not there; others were not seen."""
    said: dict[str, Finding] = {}
    for secret, named in accounts(service, placed, about).values():
        name = named or DEFAULT
        finding = _unnamed(secret) if named is None else None
        if name in there:
            finding = _seen(name, secret, there[name])
        if finding is not None:
            said[finding.message] = finding
    return list(said.values())


def _seen(name: str, secret: str, account: Mapping[str, Any] | None) -> Finding | None:
    if account is None:
        message = f"There is no ServiceAccount {name} in the namespace, and no pod starts without it."
        return Finding("NoServiceAccount", "error", _FIELD, message, "Make it, or name another one.")
    listed = [one.get("name") for one in account.get("secrets") or () if isinstance(one, Mapping)]
    if secret in listed:
        return None
    message = f"The ServiceAccount {name} does not list the store's Secret {secret}: the model cannot be fetched with it."
    fix = f'kubectl patch serviceaccount {name} -p \'{{"secrets": [{{"name": "{secret}"}}]}}\''
    return Finding("SecretNotListed", "warning", _FIELD, message, fix)


def _unnamed(secret: str) -> Finding:
    message = (
        f"The store's Secret {secret} is named and no ServiceAccount that lists it: KServe would take the pods' own, "
        f"{DEFAULT}, which could not be looked at."
    )
    fix = "kale-serve cluster set --service-account NAME, or ServeConfig(service_account=…)."
    return Finding("NoServiceAccount", "warning", _FIELD, message, fix)
