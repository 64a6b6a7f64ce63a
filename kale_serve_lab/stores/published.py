"""What stands in a store for a cluster: names, the manifest that says it is whole, and what no service uses. Pure.

    <prefix>/<digest>/<view>/…               the files, as a model server finds them
    <prefix>/<digest>/manifest-<view>.json   written last: it says that the files are whole

KServe downloads all that begins with the text `<prefix>/<digest>/<view>`, so the manifest's name begins with another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kale_serve_lab.errors import DigestMismatch, InvalidConfig, InvalidRequest
from kale_serve_lab.serving.kserve.publishing import View, is_view

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ANY_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PART = re.compile(r"[A-Za-z0-9!_.*'()-]+")
_FORMAT = 1


@dataclass(frozen=True)
class PublishedFile:
    """One file: its path below the view, bytes, sha256, and the store's own `mark` (ETag, inode and times).

    As long as the mark is the same the bytes are; a mark that has changed says only that the file must be read again.
    """

    path: str
    size: int
    sha256: str
    mark: str


@dataclass(frozen=True)
class Published:
    """One view of one artifact that is there whole."""

    digest: str
    view: View
    files: tuple[PublishedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """What the manifest holds."""
        body = {"format": _FORMAT, "digest": self.digest, "view": self.view}
        files = [asdict(file) for file in self.files]
        return json.dumps({**body, "files": files}, ensure_ascii=False, indent=1).encode()


def read_manifest(data: bytes, digest: str, view: View) -> Published | None:
    """The manifest of this view; None for what is none of ours, so that the view is published anew."""
    try:
        value = json.loads(data)
        files = tuple(
            PublishedFile(str(one["path"]), int(one["size"]), str(one["sha256"]), str(one["mark"]))
            for one in value["files"]
        )
        if (value["format"], value["digest"], value["view"]) != (_FORMAT, digest, view):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Published(digest, view, files)


def manifest_name(view: View) -> str:
    """The manifest's name beside the view's folder."""
    return f"manifest-{view}.json"


def view_of_manifest(name: str) -> View | None:
    """The view that a manifest's name speaks of."""
    view = name.removeprefix("manifest-").removesuffix(".json")
    return view if is_view(view) and name == manifest_name(view) else None


def check_names(digest: str, view: View) -> None:
    """Raise `InvalidRequest` for a digest or a view that is none: they become parts of paths."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest(f"{digest!r:.100} is no sha256 digest.", subject="digest")
    if not is_view(view):
        raise InvalidRequest(f"{view!r:.100} is no view of an artifact.", subject="view")


def is_digest(text: str) -> bool:
    """Whether it is a sha256 in hex."""
    return bool(_DIGEST.fullmatch(text))


def check_path(path: str) -> str:
    """A relative path of a file; raises `InvalidRequest` for one that leaves its folder."""
    if any(part in {"", ".", ".."} for part in path.split("/")) or "\0" in path or "\\" in path:
        raise InvalidRequest(
            f"{path!r:.200} is no path inside the model's folder.",
            subject=path[:200],
            hint="Rename the file.",
        )
    return path


def prefix_parts(field: str, prefix: str) -> tuple[str, ...]:
    """The parts of a prefix, of letters that mean themselves in every URI; raises `InvalidConfig`."""
    parts = tuple(prefix.strip("/").split("/")) if prefix.strip("/") else ()
    for part in parts:
        if not _PART.fullmatch(part) or part.strip(".") == "":
            raise InvalidConfig(
                f"{field} has the part {part!r:.100}, which is no plain name.",
                subject=field,
                hint="Use letters, digits, '-', '_' and '.' between single slashes.",
            )
    return parts


def damaged(where: str, paths: Iterable[str]) -> DigestMismatch:
    """The error for files that are not, or no more, what was published."""
    names = sorted(paths)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return DigestMismatch(
        f"What lies at {where} is not what was published: {shown}.",
        subject=where,
        hint="Somebody has changed or removed it there. Serve the model again: what differs is sent anew.",
        details={"files": names[:50]},
    )


def digests_in(value: Any) -> set[str]:
    """Every sha256 that any text of an object names: more than what it uses, never less."""
    if isinstance(value, str):
        return set(_ANY_DIGEST.findall(value))
    if isinstance(value, Mapping):
        return set().union(*(digests_in(one) for pair in value.items() for one in pair))
    if isinstance(value, (list, tuple)):
        return set().union(*(digests_in(one) for one in value))
    return set()


def unused(there: Iterable[Published], objects: Iterable[Any]) -> list[Published]:
    """What no object names, oldest names first: `objects` are all InferenceServices of all namespaces that may use it."""
    needed: set[str] = set().union(*(digests_in(one) for one in objects))
    return sorted((one for one in there if one.digest not in needed), key=lambda one: (one.digest, one.view))
