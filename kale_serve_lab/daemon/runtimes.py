"""The runtimes and environments of this machine: what a service would run in, what there is, and who uses it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.local import rows
from kale_serve_lab.backends.local.environments import Environments, Info
from kale_serve_lab.backends.local.environments.programs import paths_of, uv_command
from kale_serve_lab.backends.local.rows import Rows
from kale_serve_lab.backends.protocol import Backend
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.errors import Conflict, KaleServeError
from kale_serve_lab.serving.need import GRPC, artifact_of, module_of, programs_of, recorded_packages
from kale_serve_lab.serving.preflight import Around, Prepared
from kale_serve_lab.serving.runtimes import BUILT_IN, Runtime, of_container
from kale_serve_lab.serving.types import ComponentName, InferenceService, ServiceKey


class Runtimes:
    """`folder` holds the user's own ServingRuntimes; it is read at each use."""

    def __init__(self, folder: Path, environments: Environments, backend: Backend, threads: Threads) -> None:
        self._folder, self._environments = folder, environments
        self._backend, self._threads = backend, threads

    async def rows(self) -> Rows:
        """The table with the user's rows."""
        return await self._threads.files(rows.read, self._folder)

    async def around(self, service: InferenceService, table: Rows) -> Around:
        """What preflight is to know of this machine."""
        prepared: dict[ComponentName, Prepared] = {}
        for component in service.components:
            runtime = runtime_of(service, component, table)
            if runtime is not None:
                prepared[component] = await self._prepared(service, component, runtime)
        return Around(table.runtimes, table.problems, prepared)

    async def _prepared(
        self, service: InferenceService, component: ComponentName, runtime: Runtime
    ) -> Prepared:
        own, need = await self._environments.look(service, component, runtime)
        try:
            paths_of(programs_of(service, component, runtime), runtime.name)
            info = await self._threads.files(self._environments.made, need) if need else None
            if need is not None and need.requirements and info is None:
                uv_command()
        except KaleServeError as error:
            return Prepared(need, refused=error)
        if need is not None:
            return Prepared(need, info.packages if info else None, own=None if runtime.adapter else own)
        artifact = artifact_of(service, component)
        python = artifact.environment.get("python") if artifact else None
        if runtime.adapter or artifact is None or not isinstance(python, str):
            return Prepared()
        names = tuple(recorded_packages(artifact))
        packages = await self._threads.files(self._environments.versions, python, names)
        lacks = service.protocol == "grpc-v2" and await self._environments.lacks(python, module_of(GRPC))
        return Prepared(packages=packages, lacks_grpc=lacks)

    async def listing(self) -> dict[str, Any]:
        """All runtimes as `GET /api/runtimes` tells them, and what is wrong with the user's files."""
        table = await self.rows()
        kept = [one for one in await self._threads.files(self._environments.all) if one.complete]
        return {
            "items": [_runtime_json(runtime, kept) for runtime in table.runtimes],
            "problems": [problem.to_json()["error"] for problem in table.problems],
        }

    async def environments(self) -> dict[str, Any]:
        """All environments as `GET /api/environments` tells them."""
        used = await self._used()
        found = await self._threads.files(self._environments.all)
        return {"items": [one.to_json() | {"used_by": sorted(used.get(one.name, ()))} for one in found]}

    async def remove(self, name: str) -> None:
        """Remove an environment. Raises `NotFound`, and `Conflict` while something uses it."""
        users = sorted((await self._used()).get(name, ()))
        if users:
            raise Conflict(
                f"The environment {name} is used by {', '.join(users)}.",
                subject=name,
                hint="Delete the endpoint first, or serve it by another runtime.",
                details={"services": users},
            )
        await self._environments.remove(name)

    async def _used(self) -> dict[str, set[str]]:
        """Environment: names of the services of which a revision, also an older one that still serves, runs in it."""
        table = await self.rows()
        found: dict[str, set[str]] = {}
        for key in self._backend.keys():  # noqa: SIM118 (a backend is no dict)
            for name in await self._names(key, table):
                found.setdefault(name, set()).add(key.name)
        for name, pids in (await self._threads.files(self._environments.running)).items():
            if name not in found:
                found[name] = {f"process {pid}" for pid in pids}
        return found

    async def _names(self, key: ServiceKey, table: Rows) -> set[str]:
        found: set[str | None] = set()
        for service in self._backend.revisions(key):
            for component in service.components:
                runtime = runtime_of(service, component, table)
                if runtime is not None:
                    _, need = await self._environments.look(service, component, runtime)
                    found.add(self._environments.name_of(need) if need else None)
        return {name for name in found if name}


def runtime_of(service: InferenceService, component: ComponentName, table: Rows) -> Runtime | None:
    """What a component runs in; None where the table has no such runtime (any more)."""
    container = service.config.container(component)
    if container is not None:
        return of_container(container)
    return table.find(service.runtime if component == "predictor" else BUILT_IN)


def listed(rows: Iterable[Runtime]) -> dict[str, Any]:
    """The rows of a cluster as `GET /api/runtimes` tells them: nothing has to be made for them here."""
    return {"items": [_row_json(runtime) for runtime in rows], "problems": []}


def _row_json(runtime: Runtime) -> dict[str, Any]:
    return {
        "name": runtime.name,
        "formats": [
            {"format": one.format, "protocols": list(one.protocols), "installed": True}
            for one in runtime.formats
        ],
        "installed": True,
        "size": None,
        "binary": runtime.binary,
        "reason": None,
        "source": runtime.source,
    }


def _runtime_json(runtime: Runtime, kept: list[Info]) -> dict[str, Any]:
    formats = []
    sizes: list[int] = []
    for one in runtime.formats:
        wanted = (*runtime.requirements, *one.requirements) if runtime.adapter else ()
        made = [info for info in kept if wanted and info.requirements == wanted]
        sizes += [info.size for info in made]
        formats.append(
            {"format": one.format, "protocols": list(one.protocols), "installed": not wanted or bool(made)}
        )
    return {
        "name": runtime.name,
        "formats": formats,
        "installed": all(one["installed"] for one in formats) or bool(sizes),
        "size": max(sizes) if sizes else runtime.size,
        "binary": runtime.binary,
        "reason": _reason(runtime, made_first=not sizes),
        "source": runtime.source,
    }


def _reason(runtime: Runtime, *, made_first: bool) -> str | None:
    if runtime.adapter == "command" and not runtime.command:
        return f"{runtime.name} names an image and no command, and an image does not run on this machine."
    try:
        paths_of(runtime.programs, runtime.name)
        if runtime.requirements and made_first:
            uv_command()
    except KaleServeError as error:
        return error.message
    return None
