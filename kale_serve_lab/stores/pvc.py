"""Models on a shared volume that is mounted here: what a claim of the cluster holds, written as files.

Each file is written under a name of its own, synced and renamed; the folder appears whole by one rename, and the manifest
after it. A file that a crash left half is gone on with. Hard links are never made: the volume is another file system.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.errors import (
    Forbidden,
    InvalidConfig,
    KaleServeError,
    LockUnsupported,
    StoreFull,
    UpstreamFailed,
)
from kale_serve_lab.serving.kserve.publishing import Cancelled, Entry, Placed, Tell, View
from kale_serve_lab.stores.durable import sync_folder
from kale_serve_lab.stores.parts import Progress, Source, Stop, is_same, opened, sources
from kale_serve_lab.stores.published import (
    Published,
    PublishedFile,
    check_names,
    damaged,
    is_digest,
    manifest_name,
    prefix_parts,
    read_manifest,
    view_of_manifest,
)

_BLOCK = 1 << 20
_LOCK_SECONDS = 0.1
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# The model server runs as another user.
_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
_MOST_PATH_BYTES = 900


@dataclass(frozen=True)
class PvcSettings:
    """A claim in the service's namespace, where its volume is mounted here, and a folder in it."""

    claim: str
    mounted: Path
    prefix: tuple[str, ...] = ()
    service_account: str | None = None


def pvc_settings(
    claim: str | None, mounted: str | None, prefix: str | None = None, service_account: str | None = None
) -> PvcSettings:
    """Settings of what the user gave. Raises `InvalidConfig` that names the field."""
    for field, value in (("store.claim", claim), ("store.mounted", mounted)):
        if not value:
            raise InvalidConfig(
                f"{field} is missing.",
                subject=field,
                hint="Name the claim, and the path where its volume is mounted here.",
            )
    assert claim and mounted  # noqa: PT018
    if not Path(mounted).is_absolute():
        raise InvalidConfig(f"store.mounted {mounted!r:.200} is no absolute path.", subject="store.mounted")
    return PvcSettings(claim, Path(mounted), prefix_parts("store.prefix", prefix or ""), service_account)


class PvcPublisher:
    """A `Publisher` for a mounted volume. Publishing the same from two places waits for one another by a file's lock."""

    def __init__(self, settings: PvcSettings, *, needs_mount: bool = True) -> None:
        """`needs_mount`: refuse a path that is no mount of its own, where the volume has been taken away."""
        self._settings = settings
        self._needs_mount = needs_mount

    def uri(self, digest: str, view: View) -> str:
        """`pvc://claim/prefix/<digest>/<view>`."""
        check_names(digest, view)
        return "/".join(("pvc:/", self._settings.claim, *self._settings.prefix, digest, view))

    def publish(
        self,
        folder: Path,
        digest: str,
        view: View,
        entries: Sequence[Entry],
        tell: Tell,
        cancelled: Cancelled,
    ) -> Placed:
        """See `Publisher.publish`."""
        uri = self.uri(digest, view)
        stop = Stop(cancelled, uri)
        stop.check()
        self._refuse_unmounted()
        placed = Placed(uri, None, self._settings.service_account)
        known = self._known(digest, view)
        if known is not None and is_same(folder, entries, known) and self._is_untouched(known):
            Progress(known.size, tell).finish()
            return placed
        files = sources(folder, entries, stop, _MOST_PATH_BYTES)
        total = sum(file.size for file in files)
        progress = Progress(total, tell)
        base = self._settings.mounted.joinpath(*self._settings.prefix, digest)
        with self._told(total), _within(self._settings.mounted, base), _locked(base, view, stop):
            rows = self._settle(base, view, digest, files, stop, progress)
            whole = Published(digest, view, rows)
            if whole != self._known(digest, view):
                _write(base / manifest_name(view), whole.to_bytes())
        progress.finish()
        return placed

    def remove(self, digest: str, view: View) -> None:
        """The manifest first, so that nobody takes for whole what is going."""
        check_names(digest, view)
        self._refuse_unmounted()
        base = self._settings.mounted.joinpath(*self._settings.prefix, digest)
        if not base.is_dir():
            return
        with self._told(0), _locked(base, view, Stop(lambda: False, str(base))):
            (base / manifest_name(view)).unlink(missing_ok=True)
            for path in (base / view, _draft(base, view)):
                if path.is_dir():
                    shutil.rmtree(path)
            _drop_halves(base, view)
            _lock_file(base, view).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            base.rmdir()

    def verify(self, digest: str, view: View) -> Published | None:
        """Read all of it back; None when it is not there. Raises `DigestMismatch` that names the files."""
        self._refuse_unmounted()
        known = self._known(digest, view)
        if known is None:
            return None
        top = self._settings.mounted.joinpath(*self._settings.prefix, digest, view)
        bad = [file.path for file in known.files if _sha256(top / file.path) != file.sha256]
        if bad:
            raise damaged(self.uri(digest, view), bad)
        return known

    def published(self) -> list[Published]:
        """All that is there whole."""
        self._refuse_unmounted()
        root = self._settings.mounted.joinpath(*self._settings.prefix)
        names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
        found = (
            self._known(name, view)
            for name in names
            if is_digest(name)
            for view in sorted(
                filter(None, (view_of_manifest(path.name) for path in (root / name).glob("manifest-*.json")))
            )
        )
        return [one for one in found if one is not None]

    def check(self) -> list[str]:
        """Whether the volume is there and can be written; what was found, in sentences. Raises what is not."""
        self._refuse_unmounted()
        top = self._settings.mounted
        free = os.statvfs(top)
        with self._told(0):
            probe = top / f".kale-serve-check-{os.getpid()}"
            _write(probe, b"")
            probe.unlink()
        room = free.f_bavail * free.f_frsize
        return [
            f"{top}, where the claim {self._settings.claim} is mounted, can be written; {room:,} bytes are free."
        ]

    def close(self) -> None:
        """Nothing is held open."""

    def _known(self, digest: str, view: View) -> Published | None:
        path = self._settings.mounted.joinpath(*self._settings.prefix, digest, manifest_name(view))
        try:
            return read_manifest(path.read_bytes(), digest, view)
        except OSError:
            return None

    def _is_untouched(self, known: Published) -> bool:
        """Whether the folder holds these files with the marks that they had when they were published, and nothing else."""
        top = self._settings.mounted.joinpath(*self._settings.prefix, known.digest, known.view)
        there = {path.relative_to(top).as_posix() for path in top.rglob("*") if not path.is_dir()}
        return there == {file.path for file in known.files} and all(
            _mark(top / file.path) == file.mark for file in known.files
        )

    def _settle(
        self, base: Path, view: View, digest: str, files: Sequence[Source], stop: Stop, progress: Progress
    ) -> tuple[PublishedFile, ...]:
        known = self._known(digest, view)
        marks = {file.path: file for file in known.files} if known else {}
        top, draft = base / view, _draft(base, view)
        where = top if top.is_dir() else draft
        if where is draft:
            _make(base, draft)
        missing = []
        for file in files:
            stop.check()
            if _is_whole(where / file.path, file, marks.get(file.path)):
                progress.add(file.size)
            else:
                missing.append(file)
        self._check_room(sum(file.size - _size(_half(where, file)) for file in missing))
        for file in missing:
            self._send(where, file, stop, progress)
        _drop_strangers(where, {file.path for file in files})
        _drop_halves(base, view)
        if where is draft:
            draft.rename(top)
            sync_folder(base)
        return tuple(
            PublishedFile(file.path, file.size, file.sha256, _mark(top / file.path) or "") for file in files
        )

    def _send(self, where: Path, file: Source, stop: Stop, progress: Progress) -> None:
        target, half = where / file.path, _half(where, file)
        _make(where, target.parent)
        fd = os.open(half, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            whole = True
            for part in file.parts:
                stop.check()
                data = file.read(part)
                # What a crash left is gone on with as far as it is right.
                whole = whole and os.pread(fd, part.size, part.start) == data
                if not whole:
                    _pwrite(fd, data, part.start)
                progress.add(part.size)
            os.ftruncate(fd, file.size)
            os.fchmod(fd, _FILE_MODE)
            os.fsync(fd)
        finally:
            os.close(fd)
        if _sha256(half) != file.sha256:
            half.unlink(missing_ok=True)
            raise damaged(str(target), [file.path])
        half.rename(target)
        sync_folder(target.parent)

    def _check_room(self, need: int) -> None:
        found = os.statvfs(self._settings.mounted)
        if need > found.f_bavail * found.f_frsize:
            raise self._full(need)

    def _full(self, need: int) -> KaleServeError:
        top = self._settings.mounted
        found = os.statvfs(top)
        free = found.f_bavail * found.f_frsize
        return StoreFull(
            f"The volume of the claim {self._settings.claim} is full: {need:,} bytes are needed, {free:,} are free.",
            subject=str(top),
            hint="Enlarge the claim, or remove what no service uses: `kale-serve cluster prune`.",
            details={"path": str(top), "need": need, "free": free},
        )

    @contextmanager
    def _told(self, need: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(need) from error
            kind = Forbidden if error.errno in _DENIED else UpstreamFailed
            raise kind(
                f"The volume of the claim {self._settings.claim} cannot be written: {error.strerror} ({error.filename}).",
                subject=str(self._settings.mounted),
                hint="Check that the volume is mounted for writing, and whose files they are.",
            ) from error

    def _refuse_unmounted(self) -> None:
        top = self._settings.mounted
        said = None
        if not top.is_dir():
            said = "is no folder here"
        elif self._needs_mount and not _in_mount(top):
            said = "is no mounted volume: it lies on this machine's own disk"
        elif not os.access(top, os.W_OK | os.X_OK):
            said = "cannot be written"
        if said is not None:
            raise InvalidConfig(
                f"{top}, where the claim {self._settings.claim} should be mounted, {said}.",
                subject="store.mounted",
                hint="Mount the claim into this notebook (or this machine), and give that path to `kale-serve cluster set`.",
            )


def _in_mount(path: Path) -> bool:
    """Whether it lies in a mount other than the root's."""
    return any(one.is_mount() for one in (path.resolve(), *path.resolve().parents) if one != Path(one.anchor))


def _draft(base: Path, view: View) -> Path:
    return base / f".{view}.part"


def _lock_file(base: Path, view: View) -> Path:
    return base / f".{view}.lock"


def _half(where: Path, file: Source) -> Path:
    # A name of one length: the file's own may have all bytes that a name may.
    name = hashlib.sha256(file.path.encode()).hexdigest()[:32]
    view = where.name.removeprefix(".").removesuffix(".part")
    return where.parent / f".half-{view}-{name}"


@contextmanager
def _within(top: Path, base: Path) -> Iterator[None]:
    """The folders down to `base` are there, and are open to the model server's user."""
    _make(top, base)
    yield


def _make(top: Path, folder: Path) -> None:
    """Make the folders below `top` down to `folder`; those that were there keep their mode. Follows no link."""
    at = top
    for part in folder.relative_to(top).parts:
        at /= part
        try:
            at.mkdir()
        except FileExistsError:
            if at.is_symlink() or not at.is_dir():
                raise InvalidConfig(
                    f"{at} is in the way: a folder must stand there.", subject=str(at), hint="Move it away."
                ) from None
        else:
            at.chmod(_FOLDER_MODE)
            sync_folder(at.parent)


@contextmanager
def _locked(base: Path, view: View, stop: Stop) -> Iterator[None]:
    """One publisher at a time for a view, also of other machines where the volume's file system has locks."""
    path = _lock_file(base, view)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _wait_for(fd, path, stop)
            # Whoever removed the view may have removed the file while we waited: then it locks nothing.
            if _is_same(fd, path):
                yield
                return
        finally:
            os.close(fd)


def _wait_for(fd: int, path: Path, stop: Stop) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            stop.check()
            time.sleep(_LOCK_SECONDS)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise LockUnsupported(
                    f"The file system of {path.parent} has no locks.",
                    subject=str(path),
                    hint="Mount the volume with locks (NFS 4, or without nolock), or use a bucket.",
                ) from error
            raise


def _is_same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _is_whole(path: Path, file: Source, known: PublishedFile | None) -> bool:
    mark = _mark(path)
    if mark is None or _size(path) != file.size:
        return False
    if known is not None and (known.mark, known.sha256) == (mark, file.sha256):
        return True
    return _sha256(path) == file.sha256


def _mark(path: Path) -> str | None:
    """Changes when a file does: nobody can set its ctime back. None for what is no file."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    regular = (found.st_mode & 0o170000) == 0o100000
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}" if regular else None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _sha256(path: Path) -> str | None:
    if _mark(path) is None:
        return None
    digest = hashlib.sha256()
    with opened(path) as fd:
        at = 0
        while data := os.pread(fd, _BLOCK, at):
            digest.update(data)
            at += len(data)
    return digest.hexdigest()


def _pwrite(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, at)
        at += count
        view = view[count:]


def _drop_strangers(where: Path, paths: set[str]) -> None:
    """What else lies in the folder would be served with the model."""
    for path in sorted(where.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
        elif path.relative_to(where).as_posix() not in paths:
            path.unlink()


def _drop_halves(base: Path, view: View) -> None:
    for path in base.glob(f".half-{view}-*"):
        path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    """Replace a small file, all or nothing, durably."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _pwrite(fd, data, 0)
        os.fchmod(fd, _FILE_MODE)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.rename(path)
    sync_folder(path.parent)
