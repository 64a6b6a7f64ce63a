"""Which cluster is meant, as the user has set it: `cluster.json` in the data directory, the environment, or the pod we run in.

No secret ever stands in it: Secrets and ServiceAccounts are named, not held. Nothing that comes over HTTP gets here.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from kale_serve_lab.errors import InvalidConfig
from kale_serve_lab.paths import data_dir

StoreKind = Literal["s3", "pvc", "snapshot"]
# Whether the bucket stands in the path or in the host's name.
Addressing = Literal["path", "virtual"]
AddressKind = Literal["in-cluster", "external", "api-server"]

FILE = "cluster.json"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([-+].*)?")
_HINT = "Look at it by `kale-serve cluster show`; write it by `kale-serve cluster set …`."


@dataclass(frozen=True)
class StoreSettings:
    """Where models are put for the cluster. Which fields count depends on `kind`.

    s3: `url` (`s3://bucket/prefix`), `endpoint`, `region`, `secret`, `service_account`, `addressing` (None: by path at an
    endpoint that is named, by host name at Amazon's). pvc: `claim`, `mounted` (where the
    volume lies here), `prefix`. snapshot: `claim`, `mounted`, `snapshot_class`, `storage_class`.
    """

    kind: StoreKind
    url: str | None = None
    endpoint: str | None = None
    region: str | None = None
    secret: str | None = None
    service_account: str | None = None
    claim: str | None = None
    mounted: str | None = None
    prefix: str | None = None
    snapshot_class: str | None = None
    storage_class: str | None = None
    addressing: Addressing | None = None


@dataclass(frozen=True)
class Settings:
    """One connection. `kubeconfig` and `context` both None: the ServiceAccount of the pod we run in.

    `kubeconfig` None with a context: `$KUBECONFIG`, else `~/.kube/config`. `context` None with a kubeconfig: its current one.
    `namespace` None: the context's own, or the pod's. `default`: serve() goes there unless told otherwise.
    `audience`: the ingress gateway takes tokens that name it, made for the ServiceAccount `token_account` (None: the pod's own,
    else `default-editor`); without an audience none is sent.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    default: bool = False
    store: StoreSettings | None = None
    image: str | None = None
    kserve_version: str | None = None
    address: AddressKind | None = None
    ca_file: str | None = None
    issuer: str | None = None
    audience: str | None = None
    token_account: str | None = None

    @property
    def in_cluster(self) -> bool:
        """Whether the pod's own ServiceAccount is meant."""
        return self.kubeconfig is None and self.context is None

    def to_json(self) -> dict[str, Any]:
        """What stands in the file."""
        found = asdict(self)
        if self.store is not None:
            found["store"] = {key: value for key, value in asdict(self.store).items() if value is not None}
        return found


def path(folder: Path | None = None) -> Path:
    """The file, whether it is there or not."""
    return (folder or data_dir()) / FILE


def read(folder: Path | None = None) -> Settings | None:
    """What is in the file; None without one. Raises `InvalidConfig` that names the file and the field."""
    file = path(folder)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{file} cannot be read: {error}.", subject=str(file), hint=_HINT) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(
            f"{file} is not JSON: {error}.",
            subject=str(file),
            hint="Mend it, or begin anew: `kale-serve cluster unset`, then `kale-serve cluster set …`.",
        ) from error
    try:
        return from_json(value)
    except InvalidConfig as error:
        raise InvalidConfig(
            f"{file}: {error.message}", subject=str(file), hint=error.hint or _HINT, details=error.details
        ) from error


def write(settings: Settings, folder: Path | None = None) -> Path:
    """Put it into the file (0600) whole or not at all. Raises `InvalidConfig`."""
    checked = from_json(settings.to_json())
    file = path(folder)
    draft = file.with_name(f".{FILE}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(checked.to_json(), out, indent=2, ensure_ascii=False)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InvalidConfig(f"{file} cannot be written: {error.strerror}.", subject=str(file)) from error
    return file


def remove(folder: Path | None = None) -> bool:
    """Forget the connection; whether there was one."""
    try:
        path(folder).unlink()
    except FileNotFoundError:
        return False
    return True


def meant(
    folder: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    account: Path | None = None,
) -> Settings | None:
    """The connection that is meant; None where none is. A kubeconfig that merely exists is not one.

    `KALE_SERVE_KUBECONFIG`, `KALE_SERVE_CONTEXT` and `KALE_SERVE_NAMESPACE` come before the file; without both, in a pod
    that has a ServiceAccount, that one. Raises `InvalidConfig`.
    """
    found = read(folder)
    given = {
        name: environ[variable]
        for name, variable in (
            ("kubeconfig", "KALE_SERVE_KUBECONFIG"),
            ("context", "KALE_SERVE_CONTEXT"),
            ("namespace", "KALE_SERVE_NAMESPACE"),
        )
        if environ.get(variable)
    }
    names_one = found is not None and not found.in_cluster
    names_one = names_one or "kubeconfig" in given or "context" in given
    if not names_one and not in_pod(environ, account):
        return None
    try:
        return from_json({**(found or Settings()).to_json(), **given})
    except InvalidConfig as error:
        raise InvalidConfig(
            f"The environment (KALE_SERVE_…): {error.message}", subject=error.subject, hint=error.hint
        ) from error


def in_pod(environ: Mapping[str, str] = os.environ, account: Path | None = None) -> bool:
    """Whether we run in a pod that has a ServiceAccount's token."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and ((account or SERVICE_ACCOUNT) / "token").is_file()


def from_json(value: Any) -> Settings:
    """Settings of what stands in the file. Raises `InvalidConfig` that names the field."""
    given = _known(value, Settings, "the file")
    store = given.get("store")
    if store is not None:
        given["store"] = _store(store)
    found = Settings(**given)
    if not isinstance(found.default, bool):
        raise _wrong("default", found.default, "true or false")
    for name in ("kubeconfig", "context", "image", "ca_file", "issuer", "audience"):
        _text(name, getattr(found, name))
    _matches("token_account", found.token_account, _OBJECT, "a ServiceAccount's name")
    _matches("namespace", found.namespace, _LABEL, "a namespace: small letters, digits and '-', at most 63")
    _matches("kserve_version", found.kserve_version, _VERSION, "a version such as 0.20")
    if found.address is not None and found.address not in get_args(AddressKind):
        raise _wrong("address", found.address, "in-cluster, external or api-server")
    if found.issuer is not None:
        _http("issuer", found.issuer)
    return replace(
        found,
        kubeconfig=_absolute("kubeconfig", found.kubeconfig),
        ca_file=_absolute("ca_file", found.ca_file),
    )


def _absolute(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    found = Path(value).expanduser()
    if not found.is_absolute():
        raise _wrong(name, value, "an absolute path")
    return str(found)


def _store(value: Any) -> StoreSettings:
    given = _known(value, StoreSettings, "store", "store.")
    kind = given.get("kind")
    if kind not in get_args(StoreKind):
        raise _wrong("store.kind", kind, "s3, pvc or snapshot")
    found = StoreSettings(**given)
    for one in fields(found):
        _text(f"store.{one.name}", getattr(found, one.name))
    for name in ("secret", "service_account", "claim", "snapshot_class", "storage_class"):
        _matches(
            f"store.{name}",
            getattr(found, name),
            _OBJECT,
            "an object's name: small letters, digits, '-', '.'",
        )
    if found.addressing is not None and found.addressing not in get_args(Addressing):
        raise _wrong("store.addressing", found.addressing, "path or virtual")
    if found.kind == "s3":
        _s3(found.url)
        if found.endpoint is not None:
            _http("store.endpoint", found.endpoint)
    else:
        for name in ("claim", "mounted"):
            if getattr(found, name) is None:
                raise _wrong(f"store.{name}", None, f"needed for a store of the kind {found.kind}")
        if not Path(found.mounted or "").is_absolute():
            raise _wrong("store.mounted", found.mounted, "an absolute path: where the volume lies here")
        if found.prefix and (found.prefix.startswith("/") or ".." in found.prefix.split("/")):
            raise _wrong("store.prefix", found.prefix, "a folder inside the volume")
    return found


def _known(value: Any, kind: type, where: str, before: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidConfig(f"{where} is no JSON object.", hint=_HINT)
    names = {one.name for one in fields(kind)}
    for name in value:
        if name not in names:
            raise InvalidConfig(
                f"{before}{name} is not known.",
                subject=f"{before}{name}",
                hint=f"Known are: {', '.join(sorted(names))}.",
            )
    return dict(value)


def _text(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or not value.strip() or not value.isprintable()):
        raise _wrong(name, value, "a text")


def _matches(name: str, value: Any, pattern: re.Pattern[str], what: str) -> None:
    _text(name, value)
    if value is not None and not pattern.fullmatch(value):
        raise _wrong(name, value, what)


def _http(name: str, value: str) -> None:
    parts = _split(name, value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _wrong(name, value, "a URL such as https://minio.example.org:9000")
    if parts.username or parts.password:
        # Not quoted: it holds the password.
        raise InvalidConfig(
            f"{name} has a user or a password in it.",
            subject=name,
            hint="Take them out: credentials come from your own environment, and for the cluster from a Secret.",
        )


def _s3(value: Any) -> None:
    parts = _split("store.url", value or "")
    pieces = parts.path.split("/")
    if (
        parts.scheme != "s3"
        or not _BUCKET.fullmatch(parts.netloc)
        or ".." in pieces
        or parts.query
        or parts.fragment
    ):
        if "@" in parts.netloc:
            raise InvalidConfig(
                "store.url has credentials in it.", subject="store.url", hint="Take them out."
            )
        raise _wrong("store.url", value, "s3://bucket/prefix")


def _split(name: str, value: str) -> Any:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise _wrong(name, value, f"a URL ({error})") from error
    return parts


def _wrong(name: str, value: Any, what: str) -> InvalidConfig:
    shown = "missing" if value is None else json.dumps(value, default=str)[:100]
    return InvalidConfig(f"{name} is {shown}; it must be: {what}.", subject=name, hint=_HINT)
