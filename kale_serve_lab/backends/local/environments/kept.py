"""The environments of this machine: made where one is asked for that is not there, listed, removed."""

from __future__ import annotations

import asyncio
import functools
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kale_serve_lab.backends.local import procs
from kale_serve_lab.backends.local.environments import failures, lock, look, manifest, naming, programs
from kale_serve_lab.backends.local.environments.making import Making
from kale_serve_lab.backends.local.environments.manifest import Info
from kale_serve_lab.errors import Conflict, EnvironmentFailed, NotFound
from kale_serve_lab.serving import need as needs
from kale_serve_lab.serving.need import Interpreter, Need
from kale_serve_lab.serving.runtimes import Runtime
from kale_serve_lab.serving.types import ComponentName, InferenceService

T = TypeVar("T")
PLATFORM = f"{sys.platform}-{platform.machine()}"
# Below it nothing is begun; most environments take some hundreds of megabytes.
MIN_FREE_BYTES = 1 << 30
_PARKED = "kale_serve_lab.model_server.parked"


@dataclass(frozen=True)
class Made:
    """An environment to be used now; `programs` are the paths of those that were asked for."""

    python: Path
    packages: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    programs: dict[str, str] = field(default_factory=dict)
    name: str | None = None


class Environments:
    """The environments below `folder`. To be used in one event loop; other processes may use the same folder."""

    def __init__(self, folder: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self.folder = folder
        self._min_free = min_free_bytes
        self._latest: dict[str, str] = {}
        self._interpreters = look.Interpreters()

    async def need_of(
        self, spec: InferenceService, component: ComponentName, runtime: Runtime
    ) -> Need | None:
        """`need.need_of` with a look at the artifact's own interpreter."""
        return (await self.look(spec, component, runtime))[1]

    async def look(
        self, spec: InferenceService, component: ComponentName, runtime: Runtime
    ) -> tuple[Interpreter, Need | None]:
        """What was seen of the artifact's own interpreter (ours where it names none), and what follows from it."""
        artifact = needs.artifact_of(spec, component)
        recorded = artifact.environment.get("python") if artifact else None
        python = recorded if isinstance(recorded, str) and recorded else sys.executable
        modules = needs.modules_needed(spec, component, runtime)
        own = await _in_thread(self._interpreters.look, python, modules)
        return own, needs.need_of(spec, component, runtime, own)

    async def lacks(self, python: str, module: str) -> bool:
        """Whether an interpreter that is there has no such top-level module."""
        return bool((await _in_thread(self._interpreters.look, python, (module,))).missing)

    def versions(self, python: str, distributions: tuple[str, ...]) -> dict[str, str]:
        """The versions of these distributions beside an interpreter, as far as they are seen without starting it."""
        return look.versions(python, distributions)

    def name_of(self, need: Need) -> str | None:
        """What the environment is called; None where none is to be made."""
        return naming.name_of(need, PLATFORM) if need.requirements else None

    def made(self, need: Need) -> Info | None:
        """The environment, if it is there already."""
        name = self.name_of(need)
        return manifest.read(self.folder / name) if name else None

    async def ensure(self, need: Need, tell: Callable[[str], None]) -> Made:
        """The environment, made if it is not there; `tell` is given one line of progress after the other.

        Raises `EnvironmentFailed`, `ProgramMissing`, `StoreFull`, `LockUnsupported`. Cancelling it ends what it has begun.
        """
        found = programs.paths_of(need.programs, need.label)
        name = self.name_of(need)
        if name is None:
            return Made(Path(sys.executable), {}, programs=found)
        folder = self.folder / name
        info = await _in_thread(manifest.read, folder)
        if info is None:
            info = await self._make(folder, need, tell)
        return Made(manifest.python_of(folder), info.packages, list(info.warnings), found, name)

    async def _make(self, folder: Path, need: Need, tell: Callable[[str], None]) -> Info:
        def told(line: str) -> None:
            self._latest[folder.name] = line
            tell(line)

        def waiting() -> None:
            tell(self._latest.get(folder.name, "Waits for another daemon that makes it."))

        async with lock.held(self._lock(folder.name), waiting) as descriptor:
            info = await _in_thread(manifest.read, folder)
            if info is not None:
                return info
            try:
                await _in_thread(_clear, folder)
                if shutil.disk_usage(self.folder).free < self._min_free:
                    raise failures.full(need.label, folder, self._min_free)
                making = Making(need, folder, told, descriptor)
                await making.make()
                told("Writes it down.")
                return await _in_thread(manifest.write, folder, need, making.warnings)
            except OSError as error:
                raise failures.from_os(error, need.label, folder) from error
            finally:
                self._latest.pop(folder.name, None)

    def all(self) -> list[Info]:
        """All that lies there, by name; also what is being made and what was left half-made."""
        found = []
        for folder in sorted(self.folder.iterdir() if self.folder.exists() else []):
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                found.append(manifest.read(folder) or manifest.half_made(folder))
        return found

    def running(self) -> dict[str, list[int]]:
        """Environment: processes of ours that run in it, whoever started them; one that is only parked does not count."""
        found: dict[str, list[int]] = {}
        for pid, command in procs.commands():
            path = Path(command[0])
            if self.folder in path.parents and _PARKED not in command:
                found.setdefault(path.relative_to(self.folder).parts[0], []).append(pid)
        return found

    async def remove(self, name: str) -> None:
        """Remove one. Raises `NotFound`, and `Conflict` while it is being made."""
        folder = self.folder / name
        known = name and "/" not in name and not name.startswith(".") and folder.is_dir()
        if not known or folder.is_symlink():
            raise NotFound(
                f"There is no environment {name[:100]!r}.",
                subject=name[:100],
                hint="`kale-serve environments` shows those that are there.",
            )
        if lock.is_held(self._lock(name)):
            raise Conflict(
                f"The environment {name} is just being made.", subject=name, hint="Wait until it is there."
            )
        async with lock.held(self._lock(name), lambda: None):
            await _in_thread(_clear, folder)

    def _lock(self, name: str) -> Path:
        return self.folder / f".{name}.lock"


def _clear(folder: Path) -> None:
    # First what says that it is whole, so that nobody begins to use what is being removed.
    (folder / manifest.NAME).unlink(missing_ok=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise EnvironmentFailed(f"{folder} cannot be removed: {error}.", subject=str(folder)) from error


async def _in_thread(call: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(call, *args))
