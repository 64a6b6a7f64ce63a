"""Credentials for a cluster: of the user's own kubeconfig, or of the pod that we run in.

The one place that imports `kubernetes`, and only when a cluster is connected to. What a kubeconfig may do (start its exec
plugin, refresh a login) is done for the file that the user has set by `kale-serve cluster set` or the environment, never
for one that came over HTTP.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.settings import SERVICE_ACCOUNT, Settings, in_pod
from kale_serve_lab.backends.kserve.transport import Connection, Login
from kale_serve_lab.errors import ClusterUnavailable, InvalidConfig, Unauthorized

_SET = "`kale-serve cluster set --context NAME` says which cluster is meant."
# Longer than any word that a person should read; tokens and keys are.
_LOOKS_SECRET = re.compile(r"[A-Za-z0-9+/=_\-.]{48,}")


def connect(settings: Settings, *, account: Path | None = None) -> Cluster:
    """A connection; nothing is asked of the API server yet, but an exec plugin of the kubeconfig may run.

    `account` is the folder of the pod's ServiceAccount. Raises `ClusterUnavailable` (nothing to connect by),
    `InvalidConfig` (a kubeconfig that is wrong) and `Unauthorized` (its login gave no credentials).
    """
    if settings.in_cluster:
        return _of_pod(settings, account or SERVICE_ACCOUNT)
    chosen = _choose(settings)
    namespace = settings.namespace or chosen.namespace or "default"
    return Connection(
        lambda: _load(settings),
        namespace=namespace,
        title=f"{namespace} @ {chosen.context}",
        context=chosen.context,
    )


def contexts(kubeconfig: str | None = None) -> list[str]:
    """The names of a kubeconfig's contexts. Raises `InvalidConfig`."""
    return [str(one.get("name")) for one in _entries(_merged(kubeconfig), "contexts")]


@dataclass(frozen=True)
class _Chosen:
    """What one context of a kubeconfig names; `user` and `cluster` are as in the file."""

    merged: Any
    context: str
    namespace: str | None
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]


def _of_pod(settings: Settings, account: Path) -> Connection:
    if not in_pod(account=account):
        raise ClusterUnavailable(
            "No cluster is set, and this is no pod with a ServiceAccount.", subject="cluster", hint=_SET
        )

    def load() -> Login:
        from kubernetes.client import Configuration
        from kubernetes.config import ConfigException
        from kubernetes.config.incluster_config import InClusterConfigLoader

        configuration = Configuration()
        loader: Any = InClusterConfigLoader
        try:
            # Reads the token's file again each minute.
            loader(str(account / "token"), str(account / "ca.crt")).load_and_set(configuration)
        except (ConfigException, OSError) as error:
            raise InvalidConfig(
                f"The pod's ServiceAccount cannot be used: {error}", subject=str(account)
            ) from None
        return _login(configuration, settings, explicit_proxy=False)

    try:
        own = (account / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    namespace = settings.namespace or own or "default"
    return Connection(load, namespace=namespace, title=namespace, context=None)


def _merged(kubeconfig: str | None) -> Any:
    import yaml
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import ENV_KUBECONFIG_PATH_SEPARATOR, KubeConfigMerger

    paths = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    # A path that the user has set is one file, whatever characters it has.
    files = [paths] if kubeconfig else [one for one in paths.split(ENV_KUBECONFIG_PATH_SEPARATOR) if one]
    there = [one for one in files if Path(one).expanduser().is_file()]
    if not there:
        raise InvalidConfig(
            f"The kubeconfig {paths} is not there.",
            subject=paths,
            hint="Give its path: `kale-serve cluster set --kubeconfig PATH --context NAME`.",
        )
    merge: Any = KubeConfigMerger
    try:
        merger = merge(paths)
        if merger.config is None:
            raise ConfigException("it is empty")
        _entries(merger, "contexts")
        _entries(merger, "clusters")
        _entries(merger, "users")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        # The problem's own text quotes the file, which holds keys.
        raise InvalidConfig(f"The kubeconfig {paths} is not YAML{where}.", subject=paths) from None
    except OSError as error:
        raise InvalidConfig(
            f"The kubeconfig {paths} cannot be read: {error.strerror}.", subject=paths
        ) from None
    except (ConfigException, AttributeError, KeyError, TypeError, UnicodeDecodeError):
        raise InvalidConfig(
            f"{paths} is not a kubeconfig: it lacks contexts, clusters or users.", subject=paths
        ) from None
    return merger


def _entries(merger: Any, kind: str) -> list[Mapping[str, Any]]:
    found = []
    for one in merger.config.value[kind]:
        value = one.value
        if not isinstance(value, Mapping):
            raise TypeError(kind)
        found.append(value)
    return found


def _choose(settings: Settings) -> _Chosen:
    merger = _merged(settings.kubeconfig)
    named = {str(one.get("name")): one for one in _entries(merger, "contexts")}
    there = ", ".join(sorted(named)) or "none"
    context = settings.context or merger.config.value.get("current-context")
    if not context:
        raise InvalidConfig(
            "The kubeconfig has no current context.",
            subject="context",
            hint=f"Choose one of: {there}. {_SET}",
        )
    if context not in named:
        raise InvalidConfig(
            f"The kubeconfig has no context {context}.",
            subject="context",
            hint=f"There are: {there}. {_SET}",
            details={"contexts": sorted(named)},
        )
    inner = named[context].get("context")
    inner = inner if isinstance(inner, Mapping) else {}
    clusters = {one.get("name"): one.get("cluster") for one in _entries(merger, "clusters")}
    users = {one.get("name"): one.get("user") for one in _entries(merger, "users")}
    cluster = clusters.get(inner.get("cluster"))
    if not isinstance(cluster, Mapping) or not isinstance(cluster.get("server"), str):
        raise InvalidConfig(
            f"The context {context} names the cluster {inner.get('cluster')}, which the kubeconfig does not have or "
            "which has no server.",
            subject=context,
        )
    user = users.get(inner.get("user"))
    namespace = inner.get("namespace")
    return _Chosen(
        merger,
        str(context),
        namespace if isinstance(namespace, str) and namespace else None,
        cluster,
        user if isinstance(user, Mapping) else {},
    )


def _load(settings: Settings) -> Login:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader

    chosen = _choose(settings)
    _check_server(chosen)
    configuration = Configuration()
    loader: Any = KubeConfigLoader
    # The package writes keys that stand in a kubeconfig into files; they are gone as soon as OpenSSL has read them.
    with tempfile.TemporaryDirectory(prefix="kale-serve-") as folder, _complaints() as said:
        try:
            loader(
                config_dict=chosen.merged.config,
                active_context=chosen.context,
                config_base_path=None,
                config_persister=chosen.merged.save_changes,
                temp_file_path=folder,
            ).load_and_set(configuration)
            login = _login(configuration, settings, explicit_proxy="proxy-url" in chosen.cluster)
        except (ConfigException, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidConfig(
                f"The context {chosen.context} cannot be used: {_shown(error)}",
                subject=chosen.context,
                hint="Check its user and its cluster in the kubeconfig.",
            ) from None
    has_certificate = bool(configuration.cert_file)
    if chosen.user.get("exec") and not has_certificate and login.authorization() is None:
        plugin = chosen.user["exec"]
        command = plugin.get("command") if isinstance(plugin, Mapping) else None
        raise Unauthorized(
            f"{command or 'The exec plugin'}, by which the context {chosen.context} logs in, gave no credentials"
            f"{': ' + said[-1] if said else '.'}",
            subject=chosen.context,
            hint="Log in as for kubectl with this context, then try again.",
        )
    return login


def _check_server(chosen: _Chosen) -> None:
    """No token goes over a connection that anyone may read, unless the kubeconfig itself says so."""
    parts = urlsplit(chosen.cluster["server"])
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidConfig(
            f"The context {chosen.context} has a server that is no URL.", subject=chosen.context
        )
    insecure = chosen.cluster.get("insecure-skip-tls-verify") is True
    if parts.scheme == "http" and not insecure and not _loopback(parts.hostname):
        raise InvalidConfig(
            f"The server of the context {chosen.context} is reached without TLS: {parts.hostname}.",
            subject=chosen.context,
            hint="Set its https address in the kubeconfig. `insecure-skip-tls-verify: true` there allows it as it is.",
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _login(configuration: Any, settings: Settings, *, explicit_proxy: bool) -> Login:
    from kubernetes.client.rest import should_bypass_proxies

    lock = threading.Lock()

    def authorization() -> str | None:
        with lock, _complaints() if configuration.refresh_api_key_hook else nullcontext():
            found = configuration.auth_settings().get("BearerToken", {}).get("value")
        if not found:
            return None
        value = str(found).strip()
        if not value.isprintable():
            raise InvalidConfig(
                "The token of the kubeconfig has characters that no header may have.", subject="token"
            )
        scheme, _, token = value.partition(" ")
        # The package writes it in two ways.
        return f"Bearer {token.strip()}" if scheme.lower() == "bearer" else value

    url = str(configuration.host).rstrip("/")
    parts = urlsplit(url)
    proxy = configuration.proxy
    if proxy and not explicit_proxy and _loopback(parts.hostname or ""):
        proxy = None
    if proxy and should_bypass_proxies(url, configuration.no_proxy or ""):
        proxy = None
    return Login(
        url=url,
        authorization=authorization,
        tls=_tls(configuration, settings) if parts.scheme == "https" else None,
        server_name=configuration.tls_server_name or None,
        proxy=proxy or None,
    )


def _tls(configuration: Any, settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    # As kubectl: the CA of many a cluster lacks what Python 3.13 began to ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.ca_file and not configuration.ssl_ca_cert:
        context.load_verify_locations(cafile=settings.ca_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        # A key with a passphrase is refused; OpenSSL would ask for it on a terminal.
        context.load_cert_chain(configuration.cert_file, configuration.key_file, password=lambda: b"")
    return context


def _shown(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"a certificate or key in it is damaged, or they do not belong together ({error.reason or 'PEM'})."
    return _LOOKS_SECRET.sub("…", f"{error}"[:500]).rstrip(".") + "."


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the package says to the root logger while it loads, kept out of the log: a plugin may say anything there."""
    said: list[str] = []
    thread = threading.get_ident()

    class Heard(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.thread != thread or Path(record.pathname).name != "kube_config.py":
                return True
            said.append(_LOOKS_SECRET.sub("…", record.getMessage()[:500]))
            return False

    root = logging.getLogger()
    heard = Heard()
    # With no handler at all the first message would set one up.
    quiet = logging.NullHandler()
    root.addFilter(heard)
    root.addHandler(quiet)
    try:
        yield said
    finally:
        root.removeHandler(quiet)
        root.removeFilter(heard)
