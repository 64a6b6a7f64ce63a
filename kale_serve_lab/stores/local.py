"""The store on this machine: one read-only copy of each file by its sha256, and folders of hard links to them.

    blobs/ab/<sha256>             each distinct file once, 0444
    trees/<digest>/files/…        what an artifact's users see: hard links into blobs/
    trees/<digest>/tree.json      paths, digests and sizes, what `open` verifies against
    records/<key>.json            one manifest an artifact; `.begun` until the artifact is recorded
    tmp/<uuid>/                   being written; whatever is here at the start is a crash's
    seen.sqlite                   the digests of files that have not changed since

An address is `kale-local://sha256/<digest>`, the digest that of the tree.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import ArtifactNotFound, DigestMismatch, InvalidRequest
from kale_serve_lab.stores.digests import StatCache, of_fd, of_tree
from kale_serve_lab.stores.durable import check_room, copy_hashed, sync_folder, told_as_full, write_file
from kale_serve_lab.stores.protocol import Stored
from kale_serve_lab.stores.walk import Found, open_file, walk

SCHEME = "kale-local"
_URI = re.compile(rf"{SCHEME}://sha256/([0-9a-f]{{64}})")
# path, sha256 (None for an empty folder), size
Entry = tuple[str, str | None, int]


class LocalStore:
    """See `protocol.ArtifactStore`. Safe from several threads of one process; only one process writes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs, self._trees = root / "blobs", root / "trees"
        self._records, self._tmp = root / "records", root / "tmp"
        shutil.rmtree(self._tmp, ignore_errors=True)
        for folder in (self._blobs, self._trees, self._records, self._tmp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cache = StatCache(root / "seen.sqlite")

    def put(self, source: Path, *, take: bool = False) -> Stored:
        """Store a file or folder; see the protocol."""
        found = walk(source)
        size = sum(entry.stat.st_size for entry in found if entry.is_file)
        work = self._tmp / uuid.uuid4().hex
        with told_as_full(self._root, size):
            work.mkdir(mode=0o700)
            try:
                entries = [self._enter(entry, work, take=take) for entry in found]
                digest = of_tree(entries)
                stored = Stored(f"{SCHEME}://sha256/{digest}", digest, sum(entry[2] for entry in entries))
                if self._is_whole(digest):
                    return stored
                self._build(work, digest, entries)
            finally:
                _remove_tree(work)
        return stored

    def get(self, uri: str) -> Stored:
        """What is stored at an address; see the protocol."""
        digest = _digest_of(uri)
        return Stored(uri, digest, sum(size for _, _, size in self._entries(digest)))

    def open(self, uri: str) -> Path:
        """The verified folder of the content; see the protocol."""
        digest = _digest_of(uri)
        self._verify(digest, self._entries(digest))
        return self._trees / digest / "files"

    def remove(self, uri: str) -> None:
        """Drop a tree and the blobs that no other tree links to; see the protocol."""
        digest = _digest_of(uri)
        with contextlib.suppress(ArtifactNotFound, DigestMismatch):
            entries = self._entries(digest)
            doomed = self._tmp / uuid.uuid4().hex
            (self._trees / digest).rename(doomed)
            sync_folder(self._trees)
            _remove_tree(doomed)
            for blob in {self._blob(sha) for _, sha, _ in entries if sha}:
                with contextlib.suppress(FileNotFoundError):
                    if blob.stat().st_nlink == 1:
                        blob.unlink()

    def begin(self, key: str, manifest: Mapping[str, Any]) -> None:
        """Note an artifact that is about to be recorded; see the protocol."""
        write_file(self._record(key, ".begun"), json.dumps(manifest).encode())

    def commit(self, key: str, manifest: Mapping[str, Any]) -> None:
        """Make an artifact's manifest count; see the protocol."""
        write_file(self._record(key, ".json"), json.dumps(manifest).encode())
        self._record(key, ".begun").unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Drop an artifact's manifest; see the protocol."""
        for suffix in (".json", ".begun"):
            self._record(key, suffix).unlink(missing_ok=True)

    def manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All committed manifests; one that cannot be read is left out."""
        return self._read_records(".json")

    def begun(self) -> list[tuple[str, dict[str, Any]]]:
        """Manifests that a crash left begun."""
        return list(self._read_records(".begun"))

    def sweep(self, needed: Callable[[list[str]], set[str]]) -> int:
        """Drop what a crash left; see the protocol."""
        digests = [path.name for path in self._trees.iterdir()]
        doomed = set(digests) - needed(digests)
        for digest in doomed:
            self.remove(f"{SCHEME}://sha256/{digest}")
        for blob in self._blobs.glob("*/*"):
            with contextlib.suppress(OSError):
                if blob.lstat().st_nlink == 1:
                    blob.unlink()
                    doomed.add(blob.name)
        return len(doomed)

    def close(self) -> None:
        """Release the cache's file."""
        self._cache.close()

    def _enter(self, found: Found, work: Path, *, take: bool) -> Entry:
        if not found.is_file:
            return found.relative, None, 0
        known = self._cache.get(found.stat)
        if known and self._has_blob(known):
            return found.relative, known, found.stat.st_size
        # The clock is read before the first byte: see digests.SETTLED_NS.
        now = time.time_ns()
        fd = open_file(found.path)
        try:
            before = os.fstat(fd)
            if take and before.st_nlink == 1:
                digest, size, ready = of_fd(fd), before.st_size, work / uuid.uuid4().hex
                os.fsync(fd)
                found.path.rename(ready)
            else:
                check_room(self._root, before.st_size)
                ready = work / uuid.uuid4().hex
                target = os.open(ready, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    digest, size = copy_hashed(fd, target)
                finally:
                    os.close(target)
                after = os.fstat(fd)
                if _unchanged(before, after) and size == before.st_size:
                    self._cache.put(after, digest, read_at=now)
        finally:
            os.close(fd)
        self._keep(ready, digest)
        return found.relative, digest, size

    def _keep(self, ready: Path, digest: str) -> None:
        """Move a finished file into blobs/, unless an undamaged one is there."""
        if not self._has_blob(digest):
            blob = self._blob(digest)
            blob.parent.mkdir(mode=0o700, exist_ok=True)
            ready.chmod(0o444)
            ready.rename(blob)
            sync_folder(blob.parent)
            self._cache.put(blob.stat(), digest)

    def _has_blob(self, digest: str) -> bool:
        try:
            return self._sha256(self._blob(digest)) == digest
        except FileNotFoundError:
            return False

    def _build(self, work: Path, digest: str, entries: list[Entry]) -> None:
        tree = work / "tree"
        files = tree / "files"
        files.mkdir(parents=True, mode=0o700)
        folders = {files}
        for relative, sha, _ in entries:
            path = files / relative
            folder = path.parent if sha else path
            folder.mkdir(parents=True, exist_ok=True)
            while folder not in folders:
                folders.add(folder)
                folder = folder.parent
            if sha:
                self._link(sha, path)
        write_file(tree / "tree.json", json.dumps(entries).encode())
        for folder in folders:
            sync_folder(folder)
            folder.chmod(0o555)
        sync_folder(tree)
        # A damaged tree of this digest stands in the way; healing it means to put the sound one in its place.
        with contextlib.suppress(FileNotFoundError):
            (self._trees / digest).rename(work / "damaged")
        try:
            tree.rename(self._trees / digest)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
        sync_folder(self._trees)

    def _link(self, sha: str, path: Path) -> None:
        blob = self._blob(sha)
        trusted = self._cache.get(blob.stat()) == sha
        try:
            path.hardlink_to(blob)
        except OSError as error:
            # A file may have 65,000 links on ext4 and none on some network homes.
            if error.errno not in {errno.EMLINK, errno.EPERM, errno.ENOTSUP}:
                raise
            shutil.copyfile(blob, path)
            path.chmod(0o444)
            return
        if trusted:
            # Only the count of links changed, which moves ctime.
            self._cache.put(blob.stat(), sha)

    def _is_whole(self, digest: str) -> bool:
        try:
            self._verify(digest, self._entries(digest))
        except (ArtifactNotFound, DigestMismatch):
            return False
        return True

    def _entries(self, digest: str) -> list[Entry]:
        path = self._trees / digest / "tree.json"
        try:
            entries = [(str(name), sha, int(size)) for name, sha, size in json.loads(path.read_bytes())]
        except FileNotFoundError:
            raise ArtifactNotFound(
                f"The store has nothing at {SCHEME}://sha256/{digest}.",
                subject=digest,
                hint="Submit the artifact again.",
            ) from None
        except (ValueError, TypeError, OSError) as error:
            raise _mismatch(digest, path, str(error)) from error
        if of_tree(entries) != digest:
            raise _mismatch(digest, path, "the list of files was changed")
        return entries

    def _verify(self, digest: str, entries: list[Entry]) -> None:
        files = self._trees / digest / "files"
        for relative, sha, size in entries:
            if sha is None:
                continue
            path = files / relative
            try:
                good = path.lstat().st_size == size and self._sha256(path) == sha
            except FileNotFoundError:
                raise _mismatch(digest, path, "the file is missing") from None
            except InvalidRequest as error:
                raise _mismatch(digest, path, error.message) from error
            if not good:
                raise _mismatch(digest, path, "its bytes are not the ones that were submitted")

    def _sha256(self, path: Path) -> str:
        """A stored file's digest, read only when its stat has changed since it was last known."""
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and (known := self._cache.get(found)):
            return known
        now = time.time_ns()
        fd = open_file(path)
        try:
            before = os.fstat(fd)
            digest = of_fd(fd)
            if _unchanged(before, os.fstat(fd)):
                self._cache.put(before, digest, read_at=now)
        finally:
            os.close(fd)
        return digest

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest

    def _record(self, key: str, suffix: str) -> Path:
        # Keys carry names that users chose; a hash of them is a safe file name.
        return self._records / (hashlib.sha256(key.encode()).hexdigest() + suffix)

    def _read_records(self, suffix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted(self._records.glob(f"*{suffix}")):
            with contextlib.suppress(ValueError, OSError):
                manifest = json.loads(path.read_bytes())
                if isinstance(manifest, dict) and isinstance(manifest.get("key"), str):
                    yield manifest["key"], manifest


def _digest_of(uri: str) -> str:
    match = _URI.fullmatch(uri)
    if not match:
        raise InvalidRequest(
            f"{uri!r} is no address of the local store.",
            subject=uri[:200],
            hint=f"Addresses look like {SCHEME}://sha256/<64 hexadecimal digits>.",
        )
    return match[1]


def _mismatch(digest: str, path: Path, what: str) -> DigestMismatch:
    return DigestMismatch(
        f"Stored content {digest[:12]}… is damaged: {path}: {what}.",
        subject=digest,
        hint="Submit the same artifact again: that puts the sound files back.",
    )


def _unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def _remove_tree(path: Path) -> None:
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)  # noqa: PTH101
    shutil.rmtree(path, ignore_errors=True)
