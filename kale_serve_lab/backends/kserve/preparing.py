"""What a service would be on the cluster, and all that can be said against it before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from kale_serve_lab.backends.kserve import applying, pod_defaults
from kale_serve_lab.backends.kserve.access import Rights
from kale_serve_lab.backends.kserve.around import Around
from kale_serve_lab.backends.kserve.features_read import features
from kale_serve_lab.backends.kserve.resources import SERVICE_ACCOUNTS
from kale_serve_lab.backends.kserve.uploading import parts
from kale_serve_lab.errors import ClusterUnavailable, KaleServeError, NameTaken
from kale_serve_lab.serving.findings import Finding
from kale_serve_lab.serving.kserve import marks
from kale_serve_lab.serving.kserve.accounts import DEFAULT, accounts, of_accounts
from kale_serve_lab.serving.kserve.build import ClusterAbout, build
from kale_serve_lab.serving.kserve.features import mode_of
from kale_serve_lab.serving.kserve.preflight import preflight
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.runtimes import Runtime
from kale_serve_lab.serving.types import ArtifactRef, InferenceService


class Preparing:
    """`rights` are those of the connection."""

    def __init__(self, around: Around, rights: Rights) -> None:
        self._around, self._rights = around, rights

    async def check(self, service: InferenceService, objects: Sequence[Mapping[str, Any]]) -> list[Finding]:
        """Ours first, then what the cluster says: rights, the name, and a dry run of the very object; errors first."""
        try:
            found = await self._around.call(partial(self._check, service, objects))
        except KaleServeError as error:
            found = [_finding(error)]
        return sorted(found, key=lambda one: one.severity)

    async def render(self, service: InferenceService) -> dict[str, Any]:
        """The object that would be sent. Raises `InvalidConfig` where no store is configured."""
        return await self._around.call(
            lambda: object_of(self._around, service, expected(self._around, service))
        )

    def _check(self, service: InferenceService, objects: Sequence[Mapping[str, Any]]) -> list[Finding]:
        around = self._around
        about, runtime = about_of(around, service), runtime_of(around, service)
        rows = around.rows.of(service.key.namespace)
        found = preflight(service, runtime, about, objects, _files(service.model), rows)
        found += self._rights.findings(service.key.namespace)
        live = applying.get(around.cluster, service.key)
        if live is not None and not marks.is_managed(live):
            return [*found, _finding(applying.taken(service.key, live), "name")]
        if any(one.severity == "error" for one in found):
            # The dry run would say the same again, in other words.
            return found
        placed = expected(around, service)
        found += of_accounts(service, placed, about, self._accounts(service, placed, about))
        wanted = object_of(around, service, placed)
        try:
            # What others hold is a question of the real apply: here it is asked whether the cluster takes the object.
            applying.apply(around.cluster, service.key, wanted, overwrite=True, dry_run=True)
        except ClusterUnavailable:
            raise
        except KaleServeError as error:
            fields = error.details.get("fields") or [None]
            found += [_finding(error, field) for field in fields]
        return found

    def _accounts(
        self, service: InferenceService, placed: Mapping[str, Placed], about: ClusterAbout
    ) -> dict[str, Mapping[str, Any] | None]:
        """The ServiceAccounts that the store's key is to come from, as far as we may look; see `of_accounts`."""
        names = {name or DEFAULT for _, name in accounts(service, placed, about).values()}
        found: dict[str, Mapping[str, Any] | None] = {}
        for name in sorted(names):
            answer = self._around.cluster.request("GET", SERVICE_ACCOUNTS.path(service.key.namespace, name))
            if answer.ok or answer.status == 404:
                found[name] = answer.json if answer.ok else None
        return found


def object_of(around: Around, service: InferenceService, placed: Mapping[str, Placed]) -> dict[str, Any]:
    """The InferenceService for the API server. May ask the API server; raises our errors."""
    return build(service, runtime_of(around, service), placed, about_of(around, service))


def about_of(around: Around, service: InferenceService) -> ClusterAbout:
    """What the object depends on of the cluster."""
    defaults = (
        pod_defaults.of_this_pod(around.cluster, service.key.namespace)
        if service.propagate_configurations
        else ()
    )
    return ClusterAbout(
        features=features(around.installed),
        image=around.settings.image,
        namespace=service.key.namespace,
        pod_defaults=defaults,
        modes=around.installed.modes,
        default_mode=mode_of(around.installed.default_mode),
    )


def _files(artifact: ArtifactRef | None) -> list[str] | None:
    """What the artifact consists of; None where it is not on this machine."""
    folder = None if artifact is None else artifact.path
    if folder is None or not folder.is_dir():
        return None
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def expected(around: Around, service: InferenceService) -> dict[str, Placed]:
    """Where the files will be."""
    return {
        component: around.publishing.expected(around.cluster, service, component, artifact)
        for component, artifact in parts(service)
    }


def runtime_of(around: Around, service: InferenceService) -> Runtime | None:
    """The kind of server that the predictor gets; None where the cluster has none of that name. May ask the API server."""
    rows = around.rows.of(service.key.namespace)
    return next((one for one in rows if one.name == service.runtime), None)


def _finding(error: KaleServeError, field: str | None = None) -> Finding:
    code = NameTaken.__name__ if isinstance(error, NameTaken) else error.code
    return Finding(code, "error", field, error.message, error.hint)
