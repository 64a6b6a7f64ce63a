"""Models in a bucket: sent in parts that survive a cut, verified, and said to be whole by a manifest written last.

An object is known by the sha256 that the server keeps, else by its ETag where that is the content's MD5, else it is read
back. Several daemons may send the same at once: they send equal bytes to equal keys, and whoever finds an upload ended
looks whether the object is there.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kale_serve_lab.errors import Cancelled as WasCancelled
from kale_serve_lab.errors import KaleServeError, UpstreamFailed
from kale_serve_lab.serving.kserve.publishing import Cancelled, Entry, Placed, Tell, View
from kale_serve_lab.stores.parts import Part, Progress, Source, Stop, is_same, sources
from kale_serve_lab.stores.published import (
    Published,
    PublishedFile,
    check_names,
    damaged,
    is_digest,
    manifest_name,
    read_manifest,
    view_of_manifest,
)
from kale_serve_lab.stores.s3_calls import Bucket, Head, is_there, part_row
from kale_serve_lab.stores.s3_client import S3Settings

_MOST_KEY_BYTES = 1024
_WORKERS = 4
_TURNS = 3
# An upload that began longer ago is nobody's any more.
ORPHAN_SECONDS = 24 * 3600.0

T = TypeVar("T")


class S3Publisher:
    """A `Publisher` for one bucket. Memory: 4 parts of 8 MiB at a time, whatever the size of a model."""

    def __init__(self, settings: S3Settings, *, attempts: int = 5, workers: int = _WORKERS) -> None:
        self._settings = settings
        self._bucket = Bucket(settings, attempts=attempts)
        self._workers = workers

    def uri(self, digest: str, view: View) -> str:
        """`s3://bucket/prefix/<digest>/<view>`."""
        check_names(digest, view)
        return f"s3://{self._settings.bucket}/{self._base(digest)}{view}"

    def publish(
        self,
        folder: Path,
        digest: str,
        view: View,
        entries: Sequence[Entry],
        tell: Tell,
        cancelled: Cancelled,
    ) -> Placed:
        """See `Publisher.publish`. A cancelled upload's parts are dropped; files that are whole stay."""
        uri = self.uri(digest, view)
        stop = Stop(cancelled, uri)
        stop.check()
        prefix = f"{self._base(digest)}{view}/"
        placed = Placed(uri, self._settings.secret, self._settings.service_account)
        known = self._known(digest, view)
        if known is not None and is_same(folder, entries, known) and self._is_untouched(prefix, known, stop):
            Progress(known.size, tell).finish()
            return placed
        files = sources(folder, entries, stop, _MOST_KEY_BYTES - len(prefix))
        progress = Progress(sum(file.size for file in files), tell)
        marks = {file.path: file for file in known.files} if known else {}
        with ThreadPoolExecutor(self._workers, "publish") as pool:
            there = _all(
                pool, [partial(self._found, prefix, file, marks.get(file.path), stop) for file in files]
            )
            missing = [file for file, mark in zip(files, there, strict=True) if mark is None]
            absent = {file.path for file in missing}
            for file in files:
                if file.path not in absent:
                    progress.add(file.size)
            small = [file for file in missing if len(file.parts) == 1]
            trusted = dict(
                _all(pool, [partial(self._send_small, prefix, file, stop, progress) for file in small])
            )
            for file in missing:
                if len(file.parts) > 1:
                    trusted[file.path] = self._send_large(pool, prefix, file, stop, progress)
            sent = _all(
                pool, [partial(self._sent, prefix, file, trusted[file.path], stop) for file in missing]
            )
        self._refuse_damaged(
            uri, prefix, [file for file, mark in zip(missing, sent, strict=True) if not mark]
        )
        now = dict(zip([file.path for file in missing], sent, strict=True))
        rows = tuple(
            PublishedFile(file.path, file.size, file.sha256, now.get(file.path) or mark or "")
            for file, mark in zip(files, there, strict=True)
        )
        whole = Published(digest, view, rows)
        if whole != known:
            stop.check()
            self._bucket.put(self._manifest_key(digest, view), whole.to_bytes())
            self._drop_strangers(prefix, {prefix + file.path for file in files})
        progress.finish()
        return placed

    def remove(self, digest: str, view: View) -> None:
        """The manifest first, so that nobody takes for whole what is going."""
        check_names(digest, view)
        prefix = f"{self._base(digest)}{view}/"
        self._bucket.delete([self._manifest_key(digest, view)])
        self._bucket.delete(list(self._bucket.keys(prefix)))
        for upload in self._bucket.uploads(prefix):
            self._bucket.abort(upload.key, upload.id)

    def verify(self, digest: str, view: View) -> Published | None:
        """Read all of it back; None when it is not there. Raises `DigestMismatch` that names the files."""
        known = self._known(digest, view)
        if known is None:
            return None
        prefix = f"{self._base(digest)}{view}/"
        bad = []
        for file in known.files:
            head = self._bucket.head(prefix + file.path)
            if (
                head is None
                or head.size != file.size
                or self._bucket.sha256(prefix + file.path) != file.sha256
            ):
                bad.append(file.path)
        if bad:
            raise damaged(self.uri(digest, view), bad)
        return known

    def published(self) -> list[Published]:
        """All that is there whole."""
        found = []
        root = "".join(f"{part}/" for part in self._settings.prefix)
        for digest in self._bucket.folders(root):
            if not is_digest(digest):
                continue
            for key in self._bucket.keys(f"{root}{digest}/manifest-"):
                view = view_of_manifest(key.rpartition("/")[2])
                one = self._known(digest, view) if view is not None else None
                if one is not None:
                    found.append(one)
        return found

    def abort_orphans(self, older_than_seconds: float = ORPHAN_SECONDS) -> int:
        """Drop multipart uploads of ours that began longer ago and never ended; how many."""
        root = "".join(f"{part}/" for part in self._settings.prefix)
        before = time.time() - older_than_seconds
        count = 0
        for upload in self._bucket.uploads(root):
            digest = upload.key[len(root) :].partition("/")[0]
            if is_digest(digest) and upload.begun.timestamp() <= before:
                self._bucket.abort(upload.key, upload.id)
                count += 1
        return count

    def check(self) -> list[str]:
        """Whether the bucket is there, and can be written, read and listed; what was found, in sentences. Raises what is not."""
        name = self._settings.bucket
        self._bucket.call("HeadBucket", "head_bucket")
        key = (
            "".join(f"{part}/" for part in self._settings.prefix)
            + f".kale-serve-check-{secrets.token_hex(8)}"
        )
        data = secrets.token_bytes(16)
        self._bucket.put(key, data)
        try:
            if self._bucket.read(key) != data:
                raise UpstreamFailed(
                    f"The bucket {name} gives back other bytes than it was given.",
                    subject=f"s3://{name}/{key}",
                )
            said = [f"The bucket {name} at {self._bucket.place.server} can be written and read."]
        finally:
            with contextlib.suppress(KaleServeError):
                self._bucket.delete([key])
        if self._bucket.head(key) is not None:
            said.append("Objects cannot be removed from it (s3:DeleteObject): unused models stay.")
        return said

    def close(self) -> None:
        """Let go of connections."""
        self._bucket.close()

    def _base(self, digest: str) -> str:
        return "".join(f"{part}/" for part in (*self._settings.prefix, digest))

    def _manifest_key(self, digest: str, view: View) -> str:
        return self._base(digest) + manifest_name(view)

    def _known(self, digest: str, view: View) -> Published | None:
        data = self._bucket.read(self._manifest_key(digest, view))
        return None if data is None else read_manifest(data, digest, view)

    def _is_untouched(self, prefix: str, known: Published, stop: Stop) -> bool:
        """Whether each file is there with the mark that it had when it was published."""

        def same(file: PublishedFile) -> bool:
            stop.check()
            head = self._bucket.head(prefix + file.path)
            return head is not None and (head.size, head.etag) == (file.size, file.mark)

        with ThreadPoolExecutor(self._workers, "publish") as pool:
            return all(_all(pool, [partial(same, file) for file in known.files]))

    def _found(self, prefix: str, file: Source, known: PublishedFile | None, stop: Stop) -> str | None:
        """The mark of a file that is there whole."""
        stop.check()
        key = prefix + file.path
        head = self._bucket.head(key)
        if head is None or head.size != file.size:
            return None
        if known is not None and (known.mark, known.sha256) == (head.etag, file.sha256):
            return head.etag
        if known is None and head.checksum in {file.checksum, file.composite}:
            return head.etag
        return head.etag if self._bucket.sha256(key) == file.sha256 else None

    def _send_small(self, prefix: str, file: Source, stop: Stop, progress: Progress) -> tuple[str, bool]:
        stop.check()
        same = self._bucket.put(prefix + file.path, file.read(file.parts[0]), file.checksum)
        progress.add(file.size)
        return file.path, same

    def _send_large(
        self, pool: ThreadPoolExecutor, prefix: str, file: Source, stop: Stop, progress: Progress
    ) -> bool:
        key = prefix + file.path
        counted: set[int] = set()

        def count(part: Part) -> None:
            if part.number not in counted:
                counted.add(part.number)
                progress.add(part.size)

        for turn in range(_TURNS):
            stop.check()
            upload, rows = self._begun(key, file)
            for row in rows:
                count(file.parts[row["PartNumber"] - 1])
            try:
                return self._send_parts(pool, key, upload, file, rows, stop, count)
            except WasCancelled:
                with contextlib.suppress(KaleServeError):
                    self._bucket.abort(key, upload)
                raise
            except KaleServeError as error:
                # Another daemon has completed or dropped this upload; some servers say so by hanging up.
                gone = error.details.get("code") == "NoSuchUpload"
                if (gone or isinstance(error, UpstreamFailed)) and self._is_as_long(key, file):
                    return False
                if not gone or turn == _TURNS - 1:
                    raise
        raise AssertionError

    def _is_as_long(self, key: str, file: Source) -> bool:
        """Whether something of a file's size is there; `_sent` reads it."""
        with contextlib.suppress(KaleServeError):
            head = self._bucket.head(key)
            return head is not None and head.size == file.size
        return False

    def _begun(self, key: str, file: Source) -> tuple[str, list[dict[str, Any]]]:
        """The upload that has most of this file, and its parts; a new one without any."""
        best: tuple[str, list[dict[str, Any]]] | None = None
        for upload in self._bucket.uploads(key):
            if upload.key != key:
                continue
            rows = []
            try:
                for listed in self._bucket.parts(upload):
                    number = int(listed["PartNumber"])
                    if number <= len(file.parts) and is_there(file, file.parts[number - 1], listed):
                        rows.append(part_row(file.parts[number - 1], listed))
            except KaleServeError as error:
                if error.details.get("code") == "NoSuchUpload" or error.http_status == 403:
                    continue
                raise
            if best is None or len(rows) > len(best[1]):
                best = upload.id, rows
        return best or (self._bucket.begin(key), [])

    def _send_parts(
        self,
        pool: ThreadPoolExecutor,
        key: str,
        upload: str,
        file: Source,
        rows: list[dict[str, Any]],
        stop: Stop,
        count: Callable[[Part], None],
    ) -> bool:
        have = {row["PartNumber"] for row in rows}

        def send(part: Part) -> tuple[dict[str, Any], bool]:
            stop.check()
            found = self._bucket.send(key, upload, file, part)
            count(part)
            return found

        sent = _all(pool, [partial(send, part) for part in file.parts if part.number not in have])
        stop.check()
        self._bucket.complete(key, upload, [*rows, *(row for row, _ in sent)], file.size)
        return all(same for _, same in sent)

    def _sent(self, prefix: str, file: Source, trusted: bool, stop: Stop) -> str | None:  # noqa: FBT001
        """The mark of a file that was sent, None for one that is not whole. `trusted`: the ETags of its parts are right."""
        stop.check()
        key = prefix + file.path
        head = self._bucket.head(key)
        if head is None or head.size != file.size:
            return None
        if trusted or (_has_own_etag(head) and head.checksum in {file.checksum, file.composite}):
            return head.etag
        return head.etag if self._bucket.sha256(key) == file.sha256 else None

    def _refuse_damaged(self, uri: str, prefix: str, bad: list[Source]) -> None:
        if bad:
            # Else the next call would find them there, with the checksums that were sent along.
            with contextlib.suppress(KaleServeError):
                self._bucket.delete([prefix + file.path for file in bad])
            raise damaged(uri, [file.path for file in bad])

    def _drop_strangers(self, prefix: str, keys: set[str]) -> None:
        """What else lies in the folder would be downloaded with the model; uploads that a crash left cost money."""
        with contextlib.suppress(KaleServeError):
            self._bucket.delete([key for key in self._bucket.keys(prefix) if key not in keys])
        with contextlib.suppress(KaleServeError):
            for upload in self._bucket.uploads(prefix):
                self._bucket.abort(upload.key, upload.id)


def _has_own_etag(head: Head) -> bool:
    """Whether its encryption makes the ETag something else than an MD5, by S3's own documentation."""
    return (head.encrypted or "").lower() not in {"", "aes256"}


def _all(pool: ThreadPoolExecutor, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """All results, in order; at the first failure what has not begun does not begin, and what has is waited for."""
    futures: list[Future[T]] = [pool.submit(task) for task in tasks]
    _, rest = wait(futures, return_when=FIRST_EXCEPTION)
    for future in rest:
        future.cancel()
    wait(futures)
    failed = next((f for f in futures if not f.cancelled() and f.exception() is not None), None)
    if failed is not None:
        failed.result()
    return [future.result() for future in futures]
