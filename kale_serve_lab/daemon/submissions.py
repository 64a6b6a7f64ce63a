"""A submission's way: claimed from staging, stored, recorded; or nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from kale_serve_lab.daemon.events import EventLog
from kale_serve_lab.daemon.requests import Submission
from kale_serve_lab.daemon.threads import Threads
from kale_serve_lab.errors import ArtifactNotFound, Conflict, DaemonUnavailable, InvalidRequest, VersionExists
from kale_serve_lab.metadata.opening import manifest
from kale_serve_lab.metadata.protocol import MetadataStore
from kale_serve_lab.metadata.types import Artifact, NewArtifact
from kale_serve_lab.metadata.versions import following
from kale_serve_lab.stores.protocol import ArtifactStore, Stored

T = TypeVar("T")

_log = logging.getLogger(__name__)
CLAIMED = ".claimed-"
# A folder that a caller is still writing is minutes old at most; one that is older is what a dead caller left.
STAGING_SECONDS = 3600


class Submissions:
    """Takes artifacts in, and drops what is needed no more."""

    def __init__(
        self, data: Path, store: ArtifactStore, metadata: MetadataStore, threads: Threads, events: EventLog
    ) -> None:
        self._staging = data / "staging"
        self._store, self._metadata = store, metadata
        self._threads, self._events = threads, events
        self._running = 0
        self._under_way: set[asyncio.Task[Any]] = set()
        self._leaving = False
        self._garbage: set[str] = set()
        # Held while content is dropped: no submission may find it whole just before it goes.
        self._gate = asyncio.Lock()

    async def submit(self, asked: Submission) -> tuple[Artifact, bool]:
        """The recorded artifact, and whether it is new."""
        return await self._whole(self._submit(asked))

    async def delete(self, artifact: Artifact) -> None:
        """Drop an artifact; its content goes when no other artifact has it."""
        await self._whole(self._delete(artifact))

    async def finish(self, seconds: float) -> bool:
        """Take nothing more in; whether all that was under way is done within this time."""
        self._leaving = True
        if not self._under_way:
            return True
        _, pending = await asyncio.wait(self._under_way, timeout=seconds)
        return not pending

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, whoever goes meanwhile."""
        if self._leaving:
            work.close()
            raise DaemonUnavailable("The daemon is leaving.", hint="Try again: the next one takes it.")
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _submit(self, asked: Submission) -> tuple[Artifact, bool]:
        async with self._gate:
            self._running += 1
        claimed: Path | None = None
        try:
            if asked.staging is not None:
                claimed = self._claim(asked.staging)
            stored = await self._threads.files(self._stored, asked, claimed)
            artifact, created = await self._threads.metadata(self._record, asked, stored)
            if not created and artifact.uri != stored.uri:
                self._garbage.add(stored.uri)
        finally:
            if claimed is not None:
                await self._threads.files(shutil.rmtree, claimed, True)
            self._running -= 1
            await self._collect()
        if created:
            self._publish(artifact)
        return artifact, created

    async def _delete(self, artifact: Artifact) -> None:
        await self._threads.metadata(self._forget, artifact)
        if artifact.uri:
            self._garbage.add(artifact.uri)
        await self._collect()
        self._publish(dataclasses.replace(artifact, state="DELETED"))

    def _claim(self, staging: str) -> Path:
        # Ours from here on, by a name that the next daemon knows to be a crash's.
        claimed = self._staging / f"{CLAIMED}{staging}"
        try:
            (self._staging / staging).rename(claimed)
        except OSError as error:
            raise InvalidRequest(
                f"There is no staging folder {staging}.",
                subject=staging,
                hint=f"Write the files to {self._staging}/<uuid>/ first; each folder is taken once.",
            ) from error
        return claimed

    def _stored(self, asked: Submission, claimed: Path | None) -> Stored:
        if claimed is not None:
            return self._store.put(claimed, take=True)
        if asked.path is not None:
            return self._store.put(asked.path)
        assert asked.uri is not None
        self._store.open(asked.uri)
        return self._store.get(asked.uri)

    def _record(self, asked: Submission, stored: Stored) -> tuple[Artifact, bool]:
        """Look, decide and write in one turn of the only thread that writes: that is what ends a race well."""
        new = asked.new
        if new.version:
            with contextlib.suppress(ArtifactNotFound):
                there = self._metadata.find(new.name, new.version, new.type)
                if there.digest == stored.digest:
                    return there, False
                self._garbage.add(stored.uri)
                raise _version_exists(there)
        # The same object submitted again is one artifact, whatever was submitted in between.
        elif same := self._metadata.same(new.name, stored.digest, new.type):
            return same, False
        version = new.version or following(self._metadata.versions(new.name, new.type))
        new = dataclasses.replace(
            new, version=version, uri=stored.uri, digest=stored.digest, size=stored.size, created_at=now()
        )
        key = _key(new)
        try:
            self._store.begin(key, {"key": key, **manifest(None, new, asked.session, asked.inputs)})
            artifact = self._metadata.record(new, session=asked.session, inputs=asked.inputs)
        except BaseException:
            self._store.forget(key)
            self._garbage.add(stored.uri)
            raise
        self._store.commit(key, {"key": key, **manifest(artifact.id, new, asked.session, asked.inputs)})
        return artifact, True

    def _forget(self, artifact: Artifact) -> None:
        self._metadata.delete(artifact.id)
        self._store.forget(_key(artifact))

    async def _collect(self) -> None:
        if not self._garbage or self._running:
            return
        async with self._gate:
            if self._running:
                return
            doomed, self._garbage = self._garbage, set()
            digests = {uri: self._store_digest(uri) for uri in doomed}
            needed = await self._threads.metadata(self._metadata.digests, list(digests.values()))
            for uri, digest in digests.items():
                if digest not in needed:
                    await self._threads.files(self._store.remove, uri)

    @staticmethod
    def _store_digest(uri: str) -> str:
        return uri.rpartition("/")[2]

    def _publish(self, artifact: Artifact) -> None:
        self._events.publish(
            {
                "kind": "artifact",
                "name": artifact.name,
                "namespace": None,
                "id": artifact.id,
                "revision": None,
                "state": artifact.state,
                "deleted": artifact.state == "DELETED",
            }
        )


def recover(data: Path, store: ArtifactStore, metadata: MetadataStore, *, crashed: bool) -> None:
    """Finish or drop what an earlier daemon left in the middle; runs before the first call is taken."""
    staging = data / "staging"
    staging.mkdir(mode=0o700, exist_ok=True)
    for folder in staging.iterdir():
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat(follow_symlinks=False).st_mtime > STAGING_SECONDS
            if folder.name.startswith(CLAIMED) or old:
                shutil.rmtree(folder, ignore_errors=True)
    for key, begun in store.begun():
        try:
            new = NewArtifact(**begun["artifact"])
            there = metadata.find(new.name, new.version, new.type)
        except (ArtifactNotFound, TypeError, KeyError):
            store.forget(key)
            continue
        if there.digest == new.digest:
            store.commit(key, {**begun, "id": there.id})
        else:
            store.forget(key)
    if crashed and (count := store.sweep(metadata.digests)):
        _log.warning("Dropped %d contents that a submission cut short had left.", count)


def check_unused(artifact: Artifact, served: Callable[[str], list[str]]) -> None:
    """Raise `Conflict` while services are made from the artifact."""
    if names := served(artifact.uri):
        raise Conflict(
            f"{artifact.name} {artifact.version} is served by {', '.join(names)}.",
            subject=f"{artifact.name}:{artifact.version}",
            hint="Stop the endpoint first: `kale-serve stop NAME`.",
            details={"services": names},
        )


def _version_exists(there: Artifact) -> VersionExists:
    return VersionExists(
        f"{there.name} {there.version} is there already, with other content.",
        subject=f"{there.name}:{there.version}",
        hint="Give another version, or none to get the next one.",
        details={"id": there.id, "digest": there.digest},
    )


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _key(artifact: NewArtifact) -> str:
    return f"{artifact.type}:{artifact.name}:{artifact.version}"


def lookup(metadata: MetadataStore, text: str, type_name: str | None = None) -> Artifact:
    """By id, `name:version` or `name`; deleted ones by id only."""
    if text.isascii() and text.isdigit():
        return metadata.get(int(text[:20]))
    name, _, version = text.partition(":")
    return metadata.find(name, version or None, type_name)
