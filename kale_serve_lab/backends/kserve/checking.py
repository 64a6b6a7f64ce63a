"""Whether services can be served on the cluster: the connection, KServe and our rights there, each in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kale_serve_lab.backends.kserve import features_read
from kale_serve_lab.backends.kserve.access import Checked, Rights, finding, rights_of
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.errors import KaleServeError

State = Literal["ok", "warning", "error", "unknown"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `error`: serving would fail; `warning`: something will lack; `unknown`: tried and seen."""

    what: str
    state: State
    message: str
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"what": self.what, "state": self.state, "message": self.message, "fix": self.fix}


def failed(what: str, error: KaleServeError) -> Check:
    """What an error says, as a check."""
    return Check(what, "error", error.message, error.hint)


def checks(settings: Settings, store: Callable[[Cluster], Iterator[Check]]) -> Iterator[Check]:
    """One after the other; ends where nothing further can be asked. `store` looks at the store by the same connection."""
    try:
        cluster = connect(settings)
    except KaleServeError as error:
        yield failed("connection", error)
        return
    try:
        yield from _asked(cluster, settings)
        yield from store(cluster)
    except KaleServeError as error:
        yield failed("connection", error)
    finally:
        cluster.close()


def _asked(cluster: Cluster, settings: Settings) -> Iterator[Check]:
    # Anybody may ask for this, so it tells whether the server is there at all.
    answer = cluster.request("GET", "/version", timeout=15.0)
    if not answer.ok and answer.status != 403:
        raise errors_of(answer, "get", "the cluster's version")
    version = str(answer.json.get("gitVersion") or "of an unknown version")
    yield Check("connection", "ok", f"Kubernetes {version} answers at {cluster.server}.")
    try:
        installed = features_read.read(cluster, settings)
    except KaleServeError as error:
        yield failed("kserve", error)
    else:
        mode = f", {installed.default_mode} by default" if installed.default_mode else ""
        yield Check(
            "kserve",
            "ok",
            f"KServe {features_read.text(installed.version)} or newer ({' and '.join(installed.modes)}{mode}).",
        )
    namespace = cluster.namespace
    rights = Rights(cluster, rights_of(settings.store, tokens=settings.audience is not None))
    for one in rights.checked(namespace):
        yield _right(one, namespace)


def _right(checked: Checked, namespace: str) -> Check:
    right = checked.right
    what = f"{right.verb} {right.name}"
    if checked.allowed:
        return Check(what, "ok", f"You may {what}.")
    if checked.allowed is None:
        return Check(
            what, "unknown", f"The cluster does not say whether you may {what}: it is tried when needed."
        )
    found = finding(checked, namespace)
    return Check(what, "error" if right.needed else "warning", found.message, found.fix)
