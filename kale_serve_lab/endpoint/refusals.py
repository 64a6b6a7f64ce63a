"""What a server's refusal means to the caller: a typed error, never a parsed HTML page."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from kale_serve_lab import errors
from kale_serve_lab.endpoint.http1 import Response
from kale_serve_lab.inference import statuses, strict_json

_LOGIN_HINT = (
    'This is what a login page does. Give Endpoint(..., token="...") with a token for programs, or the address of the model '
    "server itself; a browser's address does not serve programs."
)

# What the login pages of clusters are called: Dex, oauth2-proxy, OIDC's authservice, Keycloak.
_LOGIN_PATHS: Final = (
    "/dex/",
    "/oauth2/",
    "/login",
    "/authservice/",
    "/openid-connect/",
    "/realms/",
    "/auth",
)
_GATEWAY_HINT: Final = (
    "The cluster's gateway wants its users to log in. Have a token made for it: kale-serve cluster set --audience "
    "istio-ingressgateway.istio-system.svc.cluster.local; or go past it: kale-serve cluster set --address in-cluster."
)
_MESH_HINT: Final = (
    "The service mesh lets only some callers in: ask for an AuthorizationPolicy of the namespace that allows you, "
    "or use the API server's way: kale-serve cluster set --address api-server."
)


def check(response: Response, name: str) -> None:
    """Returns for a 2xx answer that may hold a prediction; raises a typed error for all else."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= response.status < 400:
        target = statuses.bounded(response.headers.get("location", "nowhere"))
        raise errors.Unauthorized(
            f"{name}: the server redirects to {target}; redirects are not followed.",
            subject=name,
            hint=_LOGIN_HINT,
        )
    if kind in ("text/html", "application/xhtml+xml"):
        cls = statuses.class_of(response.status)
        raise (cls or (errors.Unauthorized if response.status < 300 else errors.UpstreamFailed))(
            f"{name}: a web page came in place of a prediction (status {response.status}).",
            subject=name,
            hint=(statuses.hint_of(cls) if response.status >= 400 else None) or _LOGIN_HINT,
        )
    if response.status < 300:
        return
    start = bytes(response.body[:4096])
    if _is_status(start):
        raise _of_api_server(response.status, start.decode("utf-8", "replace"), name)
    raise statuses.of_http(response.status, response.body, name)


def is_mute(response: Response) -> bool:
    """Whether TorchServe said this: it has no such path, which says nothing of the model."""
    return response.status == 404 and b'"ResourceNotFoundException"' in bytes(response.body[:1000])


def of_way(status: int, headers: Mapping[str, str], start: bytes, name: str) -> errors.KaleServeError | None:
    """What stands between us and a service on a cluster says no; None where the service itself has answered.

    `start`: the body's first bytes. `headers` have lower-case names.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= status < 400:
        target = statuses.bounded(headers.get("location", "nowhere"))
        login = any(path in target.lower() for path in _LOGIN_PATHS)
        return (errors.Unauthorized if login else errors.UpstreamFailed)(
            f"{name}: the cluster's gateway redirects to {'its login page, ' if login else ''}{target}; redirects are not followed.",
            subject=name,
            hint=_GATEWAY_HINT if login else "Does the service's address begin with https?",
        )
    if kind in ("text/html", "application/xhtml+xml"):
        return (errors.Unauthorized if status in (200, 401) else errors.UpstreamFailed)(
            f"{name}: a web page came in place of a prediction (status {status}).",
            subject=name,
            hint=_GATEWAY_HINT,
        )
    told = start.decode("utf-8", "replace")
    if _is_status(start):
        return _of_api_server(status, told, name)
    if status == 401 and "json" not in kind:
        said = statuses.bounded(headers.get("www-authenticate") or told.strip(), 120)
        return errors.Unauthorized(
            f"{name}: the cluster's gateway wants a token it knows ({said or 'it does not say which'}).",
            subject=name,
            hint=_GATEWAY_HINT,
        )
    if status == 403 and ("RBAC: access denied" in told or "json" not in kind):
        return errors.Forbidden(
            f"{name}: the cluster's gateway refused: {statuses.bounded(told.strip(), 120) or 'it does not say why'}.",
            subject=name,
            hint=_MESH_HINT,
        )
    if "json" in kind or kind == "application/octet-stream" or 200 <= status < 300:
        return None
    if status in (404, 502, 503, 504):
        said = statuses.bounded(told.strip(), 120)
        return errors.EndpointNotReady(
            f"{name}: the cluster's gateway has nobody to pass this on to (status {status}{': ' + said if said else ''}).",
            subject=name,
            hint="Is the service ready, and is this its address? Its state says why it is not.",
        )
    return None


def _is_status(start: bytes) -> bool:
    """Whether this is Kubernetes' Status: the API server speaks, not the server behind it."""
    return all(word in start for word in (b'"kind"', b'"Status"', b'"apiVersion"'))


def _of_api_server(status: int, told: str, name: str) -> errors.KaleServeError:
    said = ""
    with contextlib.suppress(errors.InvalidInput, AttributeError):
        said = statuses.bounded(str(strict_json.loads(told.encode()).get("message") or ""))
    if status == 403:
        return errors.Forbidden(
            f"{name}: the API server does not let you predict through it: {said}.",
            subject=name,
            hint='Ask for the rule: apiGroups [""], resources ["services/proxy"], verbs ["get", "create"].',
        )
    if status == 401:
        return errors.Unauthorized(
            f"{name}: the API server does not know the credentials.",
            subject=name,
            hint="Log in to the cluster again; kale-serve cluster check tells whether it works.",
        )
    if status in (404, 500, 502, 503, 504):
        return errors.EndpointNotReady(
            f"{name}: the API server reaches no server of it: {said or status}.",
            subject=name,
            hint="Its pods are not ready, or its Service is not there yet: its state says why.",
        )
    return errors.UpstreamFailed(f"{name}: the API server answered {status}: {said}.", subject=name)
