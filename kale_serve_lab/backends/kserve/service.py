"""One service on a cluster: does what `next_step` says, one step after the other, and keeps what it has done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kale_serve_lab.backends.kserve import applying, probing, removing
from kale_serve_lab.backends.kserve import record as records
from kale_serve_lab.backends.kserve.around import Around
from kale_serve_lab.backends.kserve.loop import Loop
from kale_serve_lab.backends.kserve.preparing import object_of
from kale_serve_lab.backends.kserve.record import Record
from kale_serve_lab.backends.kserve.uploading import Upload
from kale_serve_lab.backends.kserve.view import View
from kale_serve_lab.errors import (
    ClusterUnavailable,
    EndpointNotReady,
    KaleServeError,
    NotFound,
    StoreFull,
    Timeout,
    UpstreamFailed,
)
from kale_serve_lab.serving.kserve import marks, plan, pods
from kale_serve_lab.serving.kserve.drift import drift
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.kserve.seen import Probe, Seen
from kale_serve_lab.serving.types import Address, InferenceService, ServiceKey

log = logging.getLogger("kale_serve_lab.backends.kserve")

# What passes by itself; all else waits for whoever asks again.
_PASSING = (ClusterUnavailable, Timeout, UpstreamFailed, EndpointNotReady, StoreFull)
_GONE_SECONDS = 1.0
# Where pods do not say of which revision they are, the failing ones that were there before an apply are taken for the
# former's so long. No event tells that no other pod will come (a quota, a change that leaves the template as it is), so it
# ends by time; controllers need a second or two.
_SETTLING_SECONDS = 20.0


class ClusterService:
    """`changed` is called whenever `seen` may differ; `view` is what the cluster has of it."""

    def __init__(
        self, record: Record, view: View, folder: Path, changed: Callable[[ServiceKey], None]
    ) -> None:
        self.record = record
        self.view = view
        self.gone = asyncio.Event()
        self._folder = folder
        self._changed = changed
        self._around: Around | None = None
        self._loop = Loop(self._step)
        self._upload: Upload | None = None
        self._tries = 0
        self._trouble: KaleServeError | None = None
        self._probe = _probe_of(record.probe)

    @property
    def key(self) -> ServiceKey:
        """Its name."""
        return self.record.service.key

    @property
    def busy(self) -> bool:
        """Whether something is left to do that only we do."""
        progress = self.record.progress
        return progress.deleting or (not progress.failed and progress.adopted != progress.asked)

    def run(self, around: Around) -> None:
        """Begin to act, by this connection."""
        self._around = around
        self._loop.start()

    def told(self) -> None:
        """Something of it has changed on the cluster."""
        self._loop.wake()

    # -- asked from outside

    def ask(self, service: InferenceService, *, overwrite: bool) -> None:
        """Durable when it returns; an older revision than the one asked already changes nothing."""
        if service.revision <= self.record.service.revision and self.record.service != service:
            return
        progress = self.record.progress
        self.record.service = service
        self.record.overwrite = overwrite
        self.record.failed = None
        self.record.progress = replace(progress, asked=service.revision, failed=False, paused=False)
        self._trouble, self._tries = None, 0
        if self._upload is not None:
            self._upload.cancel()
        self._save()
        self._loop.wake(now=True)

    def pause(self, *, paused: bool) -> None:
        """Durable when it returns."""
        if self.record.progress.paused == paused:
            return
        self.record.progress = replace(
            self.record.progress, paused=paused, applied=0, adopted=0, probed=None, failed=False
        )
        self.record.failed, self.record.probe, self._probe = None, None, None
        self._save()
        self._loop.wake(now=True)

    async def delete(self) -> None:
        """Nothing of it is left when this returns. Raises what the API server refuses it by."""
        self.forget_later()
        self._trouble = None
        self._loop.wake(now=True)
        while not self.gone.is_set():
            waiting = asyncio.ensure_future(self.gone.wait())
            try:
                await asyncio.wait_for(waiting, _GONE_SECONDS)
            except asyncio.TimeoutError:
                if self._trouble is not None:
                    # It is remembered, and finished as soon as the cluster lets us.
                    raise self._trouble from None

    def forget_later(self) -> None:
        """Durable when it returns: it is deleted as soon as that can be."""
        if not self.record.progress.deleting:
            self.record.progress = replace(self.record.progress, deleting=True)
            self.record.failed = None
            if self._upload is not None:
                self._upload.cancel()
            self._save()

    async def let_go(self) -> None:
        """Stop acting; what was begun goes on with the next daemon."""
        if self._upload is not None:
            self._upload.cancel()
        await self._loop.close()

    # -- what is seen

    def seen(self, lacks: tuple[str, ...], stale_since: int | None) -> Seen:
        """What is there now."""
        there = self.view.object
        failed = self.record.failed
        progress = self.record.progress
        if failed is None and progress.applied and self.view.listed and not progress.deleting:
            failed = self._elsewhere(there)
        drifted = drift(self.record.applied, there) if self.record.applied and there else ()
        return Seen(
            object=there,
            pods=self.view.pods,
            events=self.view.events,
            logs=self.view.tails,
            lacks=lacks,
            probe=self._probe,
            publishing=self._upload.publishing if self._upload is not None else None,
            failed=failed,
            drift=drifted,
            stale_since=stale_since,
            deleting=progress.deleting,
            now=_now(),
        )

    @property
    def settling(self) -> bool:
        """Whether the pods that are there are still those of an earlier revision."""
        progress = self.record.progress
        if progress.failed or progress.deleting:
            return False
        if progress.applied != progress.asked:
            return bool(progress.applied)
        newest = pods.newest(self.view.pods)
        if any(marks.revision_of(pod) == progress.asked for pod in newest):
            return False
        templates = {pods.template(pod) for pod in newest}
        lately = _now() - self.record.applied_at < _SETTLING_SECONDS * 1000
        return lately and bool(templates) and templates <= set(self.record.replaced)

    def _elsewhere(self, there: dict[str, Any] | None) -> dict[str, Any] | None:
        if there is not None and plan.ours(there, self.record.progress.uid):
            return None
        if self.record.progress.applied != self.record.progress.asked:
            return None
        what = "was deleted" if there is None else "was replaced by another object"
        error = NotFound(
            f"{self.key.name} {what} on the cluster by somebody else.",
            subject=f"inferenceservice {self.key}",
            hint="Serve it again to make it anew, or delete it here too.",
        )
        inner: dict[str, Any] = error.to_json()["error"]
        return inner

    # -- the steps

    async def _step(self) -> float | None:
        around = self._around
        assert around is not None
        step = plan.next_step(self.record.progress, self.view.object, self.view.pods)
        if step == "rest":
            return None
        try:
            wait = await self._do(step, around)
        except KaleServeError as error:
            return self._stumbled(step, error)
        except Exception as error:
            log.exception("%s: the step %s failed.", self.key, step)
            return self._stumbled(step, KaleServeError(f"{self.key.name}: {step} failed ({error!r})."))
        if self._trouble is not None or self._tries:
            self._trouble, self._tries = None, 0
            self._tell()
        return wait

    async def _do(self, step: plan.Step, around: Around) -> float | None:
        revision = self.record.service.revision
        if step == "publish":
            self._upload = Upload(self.record.service, around, self._tell)
            self._tell()
            placed = await self._upload.run()
            self._upload = None
            if placed is not None and not self._superseded(revision):
                self.record.placed = placed
                self._advance(placed=revision)
        elif step == "apply":
            await self._apply(around)
        elif step == "adopt":
            await around.call(partial(self._adopt, around, list(self.record.placed.values())))
            if not self._superseded(revision):
                self._advance(adopted=revision)
        elif step == "probe":
            return await self._try(around)
        elif step == "remove":
            return await self._remove(around)
        elif step == "forget":
            await around.call(partial(around.publishing.prune, around.cluster, self.key, ()))
            records.remove(self._folder, self.key)
            around.ways.forget(self.key)
            self.gone.set()
            self._changed(self.key)
            return None
        return 0.0

    def _adopt(self, around: Around, placed: list[Placed]) -> None:
        sent = self.record.applied or {}
        owner = {**sent, "metadata": {**sent.get("metadata", {}), "uid": self.record.progress.uid}}
        around.publishing.adopt(around.cluster, owner, placed)
        around.publishing.prune(around.cluster, self.key, placed)

    async def _apply(self, around: Around) -> None:
        service, paused = self.record.service, self.record.progress.paused
        made = await around.call(partial(object_of, around, service, self.record.placed))
        wanted = applying.with_stop(made, paused=paused)
        live = await around.call(
            partial(applying.apply, around.cluster, service.key, wanted, overwrite=self.record.overwrite)
        )
        metadata = live.get("metadata") or {}
        self.record.applied = wanted
        self.record.applied_at = _now()
        self.record.replaced = sorted({pods.template(pod) for pod in pods.newest(self.view.pods)})
        asyncio.get_running_loop().call_later(_SETTLING_SECONDS, self._tell)
        self.record.overwrite = False
        if self._probe is not None:
            # What has answered is the former revision, also where only annotations differ and the generation is the same.
            self._keep_probe(replace(self._probe, generation=0))
        self.view.put(live)
        around.ways.forget(self.key)
        # A newer revision may have been asked for meanwhile; this one is there all the same.
        self._advance(
            applied=service.revision if paused == self.record.progress.paused else 0,
            uid=metadata.get("uid"),
            generation=metadata.get("generation"),
            probed=None,
        )

    async def _try(self, around: Around) -> float | None:
        there = self.view.object
        assert there is not None
        service, generation = self.record.service, marks.generation_of(there)
        error, address = await probing.probe(around.ways, service)
        if self._superseded(service.revision):
            return 0.0
        self._probed(error, address, generation)
        if error is None:
            self.record.served = service
            self.record.templates = sorted({pods.template(pod) for pod in pods.newest(self.view.pods)})
            self._advance(probed=generation)
            return 0.0
        self._save()
        self._tries += 1
        return around.backoff[min(self._tries, len(around.backoff)) - 1]

    async def _remove(self, around: Around) -> float | None:
        uid = self.record.progress.uid
        if await around.call(partial(removing.begin, around.cluster, self.key, uid)):
            return _GONE_SECONDS / 4
        self._advance(applied=0, uid=None)
        return 0.0

    def _superseded(self, revision: int) -> bool:
        progress = self.record.progress
        return progress.deleting or progress.asked != revision

    def _probed(self, error: KaleServeError | None, address: Address | None, generation: int) -> None:
        told = None if error is None else error.to_json()["error"]
        self._keep_probe(Probe(error is None, generation, _now(), told, address))

    def _keep_probe(self, probe: Probe) -> None:
        self._probe = probe
        self.record.probe = {
            "ok": probe.ok,
            "generation": probe.generation,
            "at": probe.at,
            "error": probe.error,
            "address": None if probe.address is None else probe.address.to_json(),
        }

    def _stumbled(self, step: plan.Step, error: KaleServeError) -> float | None:
        self._upload = None
        passing = isinstance(error, _PASSING) or step in {"remove", "forget", "adopt"}
        log.warning("%s: %s: %s", self.key, step, error.message)
        self._trouble = error
        if not passing:
            self.record.failed = error.to_json()["error"]
            self._advance(failed=True)
            return None
        backoff = self._around.backoff if self._around is not None else (1.0,)
        self._tries += 1
        self._tell()
        return backoff[min(self._tries, len(backoff)) - 1]

    def _advance(self, **done: Any) -> None:
        self.record.progress = replace(self.record.progress, **done)
        self._save()

    def _save(self) -> None:
        records.write(self._folder, self.record)
        self._tell()

    def _tell(self) -> None:
        self._changed(self.key)


def _probe_of(value: dict[str, Any] | None) -> Probe | None:
    if value is None:
        return None
    address = value.get("address")
    return Probe(
        ok=bool(value["ok"]),
        generation=int(value["generation"]),
        at=int(value["at"]),
        error=value.get("error"),
        address=None if address is None else Address.from_json(address),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
