"""What lies in a folder that somebody wants stored: regular files and folders, and nothing else.

Every step is taken from an open directory without following links, so that a link put there in the meantime is refused
like one that was there before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.errors import ArtifactNotFound, InvalidRequest

MAX_FILES = 100_000
MAX_DEPTH = 64
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Found:
    """A regular file or an empty folder, by its path relative to what was given (`/` between parts)."""

    relative: str
    path: Path
    stat: os.stat_result

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not an empty folder."""
        return stat.S_ISREG(self.stat.st_mode)


def walk(source: Path) -> list[Found]:
    """All files and empty folders at `source`, sorted; a single file has its own name as relative path.

    Raises `ArtifactNotFound` when nothing is there, `InvalidRequest` for anything that is neither file nor folder,
    for an empty source, and beyond 100,000 files or 64 levels.
    """
    try:
        top = source.lstat()
    except OSError as error:
        raise ArtifactNotFound(
            f"Nothing can be read at {source}: {error.strerror}.", subject=str(source), hint="Check the path."
        ) from error
    if stat.S_ISREG(top.st_mode):
        return [Found(_text(source.name, source), source, top)]
    if not stat.S_ISDIR(top.st_mode):
        raise _refused(source, top.st_mode)
    found: list[Found] = []
    for entry in _folder(source, "", 0, None):
        found.append(entry)
        if len(found) > MAX_FILES:
            raise InvalidRequest(f"{source} holds more than {MAX_FILES} files.", subject=str(source))
    if not any(entry.is_file for entry in found):
        raise InvalidRequest(
            f"{source} holds no file.",
            subject=str(source),
            hint="Give the folder that the model was saved to.",
        )
    return sorted(found, key=lambda entry: entry.relative)


def open_file(path: Path) -> int:
    """A descriptor to read a regular file, never a link and never blocking on a FIFO that took its place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", subject=str(path)) from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise _refused(path, found.st_mode)
    return fd


def _folder(path: Path, prefix: str, depth: int, parent: int | None) -> Iterator[Found]:
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"{path} lies more than {MAX_DEPTH} folders deep.", subject=str(path))
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path if parent is None else path.name, flags, dir_fd=parent)
    except OSError as error:
        raise InvalidRequest(
            f"The folder {path} cannot be read: {error.strerror}.", subject=str(path)
        ) from error
    try:
        names = sorted(os.listdir(fd))  # noqa: PTH208
        if not names and prefix:
            yield Found(prefix.rstrip("/"), path, os.fstat(fd))
        for name in names:
            relative, child = prefix + _text(name, path), path / name
            with contextlib.suppress(FileNotFoundError):
                entry = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(entry.st_mode):
                    yield from _folder(child, relative + "/", depth + 1, fd)
                elif stat.S_ISREG(entry.st_mode):
                    yield Found(relative, child, entry)
                else:
                    raise _refused(child, entry.st_mode)
    finally:
        os.close(fd)


def _text(name: str, folder: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"A file in {folder} has a name that is not UTF-8: {name!a}.",
            subject=str(folder),
            hint="Rename it.",
        ) from None
    return name


def _refused(path: Path, mode: int) -> InvalidRequest:
    kind = next((text for test, text in _KINDS if test(mode)), "neither file nor folder")
    return InvalidRequest(
        f"{path} is {kind}; only regular files and folders are stored.",
        subject=str(path),
        hint="Put the file itself there, or leave it out.",
    )
