"""Starting one component: what it runs in, the environment that it waits for, and its launch spec."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from kale_serve_lab.backends.local import procs, rows
from kale_serve_lab.backends.local.around import Slot, Surroundings
from kale_serve_lab.backends.local.book import Book
from kale_serve_lab.backends.local.environments import Made
from kale_serve_lab.backends.local.parked import ParkedKey
from kale_serve_lab.backends.local.process import Launch
from kale_serve_lab.backends.local.records import ProcessRecord
from kale_serve_lab.backends.local.slots import Slots
from kale_serve_lab.errors import KaleServeError, UnsupportedModel
from kale_serve_lab.serving.runtimes import BUILT_IN, RUNTIMES, Runtime, of_container, served
from kale_serve_lab.serving.types import ComponentName, InferenceService

MAX_BODY_BYTES = 1 << 30


class Launcher:
    """Starts the components of one service."""

    def __init__(self, book: Book, slots: Slots, around: Surroundings) -> None:
        self._book, self._slots, self._around = book, slots, around
        self._preparing: dict[Slot, asyncio.Task[Made | None]] = {}

    def runtime_of(self, spec: InferenceService, component: ComponentName) -> Runtime:
        """What a component runs in. Raises `UnsupportedModel` where the user's row of that name is gone."""
        container = spec.config.container(component)
        if container is not None:
            return of_container(container)
        name = spec.runtime if component == "predictor" else BUILT_IN
        # The user's files are read only for a name that is not ours.
        known = next((row for row in RUNTIMES if row.name == name), None)
        found = known or rows.read(self._around.runtimes_dir).find(name)
        if found is None:
            raise UnsupportedModel(
                f"There is no runtime {name!r} (any more).",
                subject=spec.key.name,
                hint=f"Put its file back into {self._around.runtimes_dir}, or choose another runtime.",
            )
        return found

    async def prepare(self, slot: Slot, runtime: Runtime) -> Made | None:
        """The environment that the component runs in, made if it must be; None: the artifact's own interpreter serves.

        Raises what `Environments.ensure` raises, and `CancelledError` once `cancel` was called for the revision.
        """
        task = asyncio.get_running_loop().create_task(self._made(slot, runtime))
        self._preparing[slot] = task
        try:
            return await task
        except KaleServeError as error:
            error.details.setdefault("stage", "environment")
            error.details.setdefault("component", slot[1])
            raise
        finally:
            if self._preparing.get(slot) is task:
                del self._preparing[slot]

    def cancel(self, number: int) -> None:
        """Make no environment for this revision any more."""
        for slot in [slot for slot in self._preparing if slot[0] == number]:
            self._preparing.pop(slot).cancel()

    async def _made(self, slot: Slot, runtime: Runtime) -> Made | None:
        number, component = slot
        spec = self._book.record.specs[number]
        environments = self._around.environments
        need = await environments.need_of(spec, component, runtime)
        if need is None:
            return None

        def tell(line: str) -> None:
            # Only one that is being made tells anything: where it is there, there is no such stage.
            self._book.begin(number, "environment")
            self._book.set(slot, phase="preparing", message=line)
            self._book.change(number, environment=line)

        made = await environments.ensure(need, tell)
        self._book.took(number, "environment")
        if made.warnings and number in self._book.record.specs:
            known = self._book.record.warnings.setdefault(number, [])
            known += [warning for warning in made.warnings if warning not in known]
            self._book.change(number, warnings=tuple(known))
        return made

    def launch_of(self, slot: Slot, record: ProcessRecord, runtime: Runtime, made: Made | None) -> Launch:
        """Everything that the process is started from. Raises `FileNotFoundError` for an artifact without a folder."""
        number, component = slot
        spec = self._book.record.specs[number]
        artifact = spec.model if component == "predictor" else spec.transformer
        if artifact is not None and artifact.path is None:
            raise FileNotFoundError(f"the {component}'s artifact has no folder in the store")
        if artifact is None and not runtime.adapter:
            raise FileNotFoundError(f"there is no {component} to be served")
        variables = spec.config.component_env(component)
        predictor: Slot = (number, "predictor")
        listeners = self._slots.listeners[slot]
        launch_spec: dict[str, Any] = {
            "component": component,
            "service": spec.key.name,
            "namespace": spec.key.namespace,
            "revision": number,
            "nonce": record.nonce,
            "artifact_dir": str(artifact.path if artifact is not None else self._slots.work(slot)),
            "framework": artifact.framework if artifact is not None else None,
            "class_name": artifact.class_name if artifact is not None else None,
            "signature": (
                artifact.signature.to_json()
                if artifact is not None and artifact.signature is not None
                else None
            ),
            "method": None,
            "predictor_socket": str(self._slots.path(predictor)) if component == "transformer" else None,
            "predictor_grpc_socket": (
                str(self._slots.path(predictor, "s")) if component == "transformer" else None
            ),
            "protocol": spec.protocol,
            "model_name": spec.key.name,
            "max_body_bytes": MAX_BODY_BYTES,
            "listen_fd": 0,
            "control_fd": 0,
            "grpc_fd": None,
            "grpc_behind": str(self._slots.path(slot, "b")),
            "runtime": None,
        }
        launch = Launch(
            spec=launch_spec,
            python=self._around.python,
            environment=procs.server_environment(self._around.sdk_path, {}),
            listener=listeners.http,
            grpc_listener=listeners.grpc,
            control_path=self._slots.path(slot, "c"),
            log_path=self._book.log_path(component, number),
            parked=None,
        )
        if runtime.adapter:
            launch_spec["runtime"] = self._foreign(slot, runtime, made, dict(runtime.env) | variables)
            return launch
        own = str(made.python) if made is not None else self._own_python(spec, component)
        framework = (spec.model.framework if spec.model else None) or ""
        # A parked interpreter has its environment already; variables of the user's need a fresh one.
        parked: ParkedKey | None = None if variables else (own, framework)
        return replace(
            launch,
            python=own,
            environment=procs.server_environment(self._around.sdk_path, variables),
            parked=parked,
        )

    def _own_python(self, spec: InferenceService, component: ComponentName) -> str:
        artifact = spec.model if component == "predictor" else spec.transformer
        own = artifact.environment.get("python") if artifact is not None else None
        model_python = spec.model.environment.get("python") if spec.model is not None else None
        return str(own or model_python or self._around.python)

    def _foreign(
        self, slot: Slot, runtime: Runtime, made: Made | None, variables: dict[str, str]
    ) -> dict[str, Any]:
        spec = self._book.record.specs[slot[0]]
        found = served(runtime, spec.model.framework if spec.model is not None else None)
        return {
            "name": runtime.name,
            "adapter": runtime.adapter,
            "python": str(made.python) if made is not None else self._own_python(spec, slot[1]),
            "binary": runtime.binary,
            "protocols": list(found.protocols) if found is not None else [],
            "command": list(runtime.command) or None,
            "env": variables,
            "programs": dict(made.programs) if made is not None else {},
            "work": str(self._slots.work(slot)),
            "http_socket": str(self._slots.path(slot, "h")),
        }
