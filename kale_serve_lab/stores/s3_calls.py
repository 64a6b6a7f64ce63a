"""The calls to one bucket that publishing makes, each with its errors in our words."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kale_serve_lab.errors import Forbidden, KaleServeError, UpstreamFailed
from kale_serve_lab.stores.parts import Part, Source
from kale_serve_lab.stores.s3_client import S3Settings, make_client
from kale_serve_lab.stores.s3_errors import Place, is_missing, told

_READ = 1 << 20
_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Head:
    """An object that is there: bytes, ETag without its quotes, sha256 where the server keeps one, how it is encrypted."""

    size: int
    etag: str
    checksum: str | None
    encrypted: str | None


@dataclass(frozen=True)
class Upload:
    """A multipart upload that has not ended."""

    key: str
    id: str
    begun: datetime


class Bucket:
    """One bucket. The client is made at the first call."""

    def __init__(self, settings: S3Settings, *, attempts: int = 5) -> None:
        self._settings = settings
        self._attempts = attempts
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def place(self) -> Place:
        """What errors name."""
        endpoint = self._settings.endpoint
        return Place(
            self._settings.bucket, endpoint, self._settings.region, by_name=not self._settings.by_path
        )

    def call(self, call: str, method: str, key: str | None = None, *, need: int = 0, **options: Any) -> Any:
        """One call of the client; raises our errors, `details["code"]` is S3's."""
        place = replace(self.place, need=need)
        if key is not None:
            options["Key"] = key
        try:
            return getattr(self._connected(), method)(Bucket=place.bucket, **options)
        except KaleServeError:
            raise
        except Exception as error:
            raise told(error, place, call, key) from error

    def head(self, key: str) -> Head | None:
        """What is at a key; None for nothing."""
        try:
            found = self.call("HeadObject", "head_object", key, ChecksumMode="ENABLED")
        except KaleServeError as error:
            if error.__cause__ is not None and is_missing(error.__cause__):
                return None
            raise
        encrypted = found.get("SSECustomerAlgorithm") or found.get("ServerSideEncryption")
        return Head(
            int(found["ContentLength"]),
            str(found.get("ETag", "")).strip('"'),
            found.get("ChecksumSHA256"),
            encrypted,
        )

    def read(self, key: str) -> bytes | None:
        """A small object's bytes; None for nothing."""
        try:
            body = self.call("GetObject", "get_object", key)["Body"]
        except KaleServeError as error:
            if error.__cause__ is not None and is_missing(error.__cause__):
                return None
            raise
        with body:
            try:
                return bytes(body.read(_MANIFEST_BYTES))
            except Exception as error:
                raise told(error, self.place, "GetObject", key) from error

    def sha256(self, key: str) -> str:
        """Read an object whole, in constant memory."""
        digest = hashlib.sha256()
        body = self.call("GetObject", "get_object", key)["Body"]
        with body:
            try:
                for block in body.iter_chunks(_READ):
                    digest.update(block)
            except Exception as error:
                raise told(error, self.place, "GetObject", key) from error
        return digest.hexdigest()

    def put(self, key: str, data: bytes, checksum: str | None = None) -> bool:
        """Send an object at once; whether the server's ETag shows that it has these bytes."""
        more = {} if checksum is None else {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
        answer = self.call("PutObject", "put_object", key, need=len(data), Body=data, **more)
        return _same(answer, data)

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with it."""
        more: dict[str, Any] = {}
        while True:
            page = self.call("ListObjectsV2", "list_objects_v2", Prefix=prefix, **more)
            for one in page.get("Contents", ()):
                yield str(one["Key"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def folders(self, prefix: str) -> Iterator[str]:
        """The names between the prefix and the next slash."""
        more: dict[str, Any] = {}
        while True:
            page = self.call("ListObjectsV2", "list_objects_v2", Prefix=prefix, Delimiter="/", **more)
            for one in page.get("CommonPrefixes", ()):
                yield str(one["Prefix"])[len(prefix) :].rstrip("/")
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there are no error."""
        for at in range(0, len(keys), 1000):
            some = keys[at : at + 1000]
            answer = self.call(
                "DeleteObjects",
                "delete_objects",
                Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
            )
            for failed in answer.get("Errors", ()):
                if failed.get("Code") not in {"NoSuchKey", None}:
                    kind = Forbidden if failed.get("Code") == "AccessDenied" else UpstreamFailed
                    raise kind(
                        f"s3://{self.place.bucket}/{failed.get('Key')} cannot be removed: {failed.get('Code')} "
                        f"{failed.get('Message', '')}".rstrip(),
                        subject=f"s3://{self.place.bucket}/{failed.get('Key')}",
                        hint="Removing takes the right s3:DeleteObject.",
                    )

    def uploads(self, prefix: str) -> list[Upload]:
        """Multipart uploads that have not ended, below a prefix; none where listing them is refused or not offered."""
        found: list[Upload] = []
        more: dict[str, Any] = {}
        while True:
            try:
                page = self.call("ListMultipartUploads", "list_multipart_uploads", Prefix=prefix, **more)
            except KaleServeError as error:
                if isinstance(error, Forbidden) or error.details.get("status") in {404, 405, 501}:
                    return []
                raise
            found += [
                Upload(one["Key"], one["UploadId"], one["Initiated"]) for one in page.get("Uploads", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def begin(self, key: str) -> str:
        """Begin a multipart upload."""
        answer = self.call(
            "CreateMultipartUpload", "create_multipart_upload", key, ChecksumAlgorithm="SHA256"
        )
        return str(answer["UploadId"])

    def parts(self, upload: Upload) -> Iterator[Mapping[str, Any]]:
        """The parts that are there; raises with `NoSuchUpload` for one that has ended."""
        more: dict[str, Any] = {}
        while True:
            page = self.call("ListParts", "list_parts", upload.key, UploadId=upload.id, **more)
            yield from page.get("Parts", ())
            if not page.get("IsTruncated"):
                return
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def send(self, key: str, upload: str, source: Source, part: Part) -> tuple[dict[str, Any], bool]:
        """Send one part: what completing wants to hear of it, and whether its ETag shows that it has these bytes."""
        data = source.read(part)
        checksum = _base64(part.sha256)
        answer = self.call(
            "UploadPart",
            "upload_part",
            key,
            need=source.size,
            UploadId=upload,
            PartNumber=part.number,
            Body=data,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
        )
        return part_row(part, answer), _same(answer, data)

    def complete(self, key: str, upload: str, rows: list[dict[str, Any]], need: int) -> None:
        """Make the object of its parts."""
        parts = {"Parts": sorted(rows, key=lambda row: row["PartNumber"])}
        self.call(
            "CompleteMultipartUpload",
            "complete_multipart_upload",
            key,
            need=need,
            UploadId=upload,
            MultipartUpload=parts,
        )

    def abort(self, key: str, upload: str) -> None:
        """Drop the parts of an upload; one that has ended is no error."""
        try:
            self.call("AbortMultipartUpload", "abort_multipart_upload", key, UploadId=upload)
        except KaleServeError as error:
            if error.details.get("code") not in {"NoSuchUpload", "404"}:
                raise

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = make_client(self._settings, attempts=self._attempts)
            return self._client


def part_row(part: Part, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What completing an upload wants to hear of a part; a checksum only where the server keeps one."""
    row: dict[str, Any] = {"PartNumber": part.number, "ETag": answer["ETag"]}
    if answer.get("ChecksumSHA256"):
        row["ChecksumSHA256"] = answer["ChecksumSHA256"]
    return row


def is_there(source: Source, part: Part, listed: Mapping[str, Any]) -> bool:
    """Whether a listed part has this part's bytes, by its checksum, else by its ETag."""
    if int(listed["Size"]) != part.size:
        return False
    if listed.get("ChecksumSHA256"):
        return bool(listed["ChecksumSHA256"] == _base64(part.sha256))
    return _same(listed, source.read(part))


def _same(answer: Mapping[str, Any], data: bytes) -> bool:
    return str(answer.get("ETag", "")).strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest()


def _base64(digest: bytes) -> str:
    import base64

    return base64.b64encode(digest).decode()
