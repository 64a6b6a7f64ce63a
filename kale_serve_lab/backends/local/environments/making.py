"""Making one environment: a virtual environment, its packages, and what to do where the pins do not resolve."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kale_serve_lab.backends.local.environments import failures, naming, programs
from kale_serve_lab.backends.local.environments.manifest import python_of
from kale_serve_lab.backends.local.environments.running import Ended, run
from kale_serve_lab.errors import EnvironmentFailed
from kale_serve_lab.serving.need import Need, distribution

DEFAULT_PYTHON = "3.11"
# A gigabyte over a slow line; a server that sends nothing at all is given up by uv itself, and much earlier.
_SECONDS = 3600.0
# Their CPU builds are found by pip where it is configured so (an index, a folder of wheels); uv reads no configuration of pip's.
_BY_PIP = frozenset({"torch"})
_NOT_TOLD = ("+ ", "- ", "Using ", "Creating virtual", "Activate with", "error:", "cause:", "ERROR:", "hint:")
_UV_DEFAULTS = {
    "UV_COMPILE_BYTECODE": "1",
    # A company's own certificates are the system's.
    "UV_SYSTEM_CERTS": "1",
    "UV_HTTP_TIMEOUT": "60",
    "UV_NO_PROGRESS": "1",
    "NO_COLOR": "1",
}
# What would make uv or pip look at another environment than the one that is made.
_NOT_PASSED = (
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT",
    "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "FORCE_COLOR", "CLICOLOR_FORCE",
)  # fmt: skip


@dataclass
class Making:
    """One environment being made in `folder`, under a lock that `hold` stands for."""

    need: Need
    folder: Path
    tell: Callable[[str], None]
    hold: int
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
        self._environment = _UV_DEFAULTS | kept
        self._uv = programs.uv_command()

    async def make(self) -> None:
        """Make it. Raises `EnvironmentFailed`, `StoreFull`."""
        by_pip = [one for one in self.need.requirements if distribution(one) in _BY_PIP]
        await self._venv(seed=bool(by_pip))
        if by_pip:
            await self._install_by_pip(by_pip)
        rest = [one for one in self.need.requirements if one not in by_pip]
        if rest:
            await self._install(rest, by_pip)

    async def _venv(self, *, seed: bool) -> None:
        command = [*self._uv, "venv", "--python", _python(self.need), *(["--seed"] if seed else [])]
        self.tell("Makes a virtual environment.")
        ended = await self._run([*command, str(self.folder)])
        if ended.status:
            raise self._failed(ended)

    async def _install_by_pip(self, requirements: list[str]) -> None:
        pinned = [_with_pin(one, self.need.pins) for one in requirements]
        command = [str(python_of(self.folder)), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
        ended = await self._run([*command, *pinned])
        if ended.status and pinned != requirements and failures.unresolved(ended.lines):
            dropped = [new for new, old in zip(pinned, requirements, strict=True) if new != old]
            self._warn_dropped(dropped)
            ended = await self._run([*command, *requirements])
        if ended.status:
            raise self._failed(ended)

    async def _install(self, requirements: list[str], by_pip: list[str]) -> None:
        there = {distribution(one) for one in by_pip}
        pins = {name: version for name, version in self.need.pins.items() if distribution(name) not in there}
        dropped: list[str] = []
        while True:
            ended = await self._try(requirements, pins)
            if not ended.status:
                break
            conflict = failures.conflicting(ended.lines, pins) if failures.unresolved(ended.lines) else None
            if conflict is None:
                raise self._failed(ended)
            dropped.append(f"{conflict}=={pins.pop(conflict)}")
        if dropped:
            self._warn_dropped(dropped)

    async def _try(self, requirements: list[str], pins: Mapping[str, str]) -> Ended:
        command = [*self._uv, "pip", "install", "--python", str(python_of(self.folder))]
        if pins:
            constraints = self.folder / "pins.txt"
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
            command += ["--constraint", str(constraints)]
        return await self._run([*command, "--", *requirements])

    async def _run(self, command: list[str]) -> Ended:
        def told(line: str) -> None:
            shown = naming.plain(self._masked(line))
            # One line a package would hide what goes on; what fails is told as an error, or goes better without a pin.
            if shown and not shown.startswith(_NOT_TOLD):
                self.tell(shown)

        try:
            ended = await run(
                command, self._environment, told, seconds=_SECONDS, folder=self.folder.parent, hold=self.hold
            )
        except asyncio.TimeoutError as error:
            raise EnvironmentFailed(
                f"The environment for {self.need.label} was not made within {_SECONDS / 60:.0f} minutes.",
                subject=self.need.label,
                hint="Look at the network; the packages that have come are kept for the next try.",
            ) from error
        except OSError as error:
            raise failures.from_os(error, self.need.label, self.folder) from error
        return Ended(ended.status, tuple(map(self._masked, ended.lines)))

    def _masked(self, text: str) -> str:
        return naming.masked(text, os.environ)

    def _failed(self, ended: Ended) -> Exception:
        return failures.from_output(ended, self.need.label, self.folder)

    def _warn_dropped(self, dropped: list[str]) -> None:
        names = ", ".join(dropped)
        self.warnings.append(
            f"{names} cannot be had here: {self.need.label} has other versions than the model was saved with."
        )
        self.tell(self.warnings[-1])


def _python(need: Need) -> str:
    wanted = need.python or DEFAULT_PYTHON
    # Ours is at hand; uv might fetch another one of the same version.
    return sys.executable if re.fullmatch(r"3\.\d+", wanted) and _is_ours(wanted) else wanted


def _is_ours(wanted: str) -> bool:
    return platform.python_version().startswith(f"{wanted}.")


def _with_pin(requirement: str, pins: Mapping[str, str]) -> str:
    if requirement != distribution(requirement):
        return requirement
    version = next((value for name, value in pins.items() if distribution(name) == requirement), None)
    return requirement if version is None else f"{requirement}=={version}"
