"""Where files and sockets lie, and that only their owner can reach them.

Sockets have a directory of their own because their paths are short by nature (108 bytes with the kernel, 100 with us),
while a data directory may lie as deep as its owner likes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from kale_serve_lab.errors import UnsafePath

MAX_SOCKET_PATH = 100
# The longest that is appended to the runtime directory: "/f/" + 16 hex + ".sock".
_TAIL = 24


def data_dir() -> Path:
    """The directory of everything that lasts; created 0700.

    `$KALE_SERVE_DATA_DIR`, else `$XDG_DATA_HOME/kale-serve`, else `~/.local/share/kale-serve`.
    Raises `UnsafePath` where it belongs to somebody else or others may write to it.
    """
    own = os.environ.get("KALE_SERVE_DATA_DIR")
    if own:
        path = Path(own).expanduser()
    else:
        home = Path(os.environ.get("XDG_DATA_HOME") or ".")
        path = (home if home.is_absolute() else Path.home() / ".local" / "share") / "kale-serve"
    # Two spellings of one directory have one runtime directory and elect one daemon.
    return _own_folder(path, "data directory", "KALE_SERVE_DATA_DIR")


def runtime_dir() -> Path:
    """The private directory of all sockets; created 0700.

    Raises `UnsafePath` where something else stands in its place, or it is not ours alone.
    """
    data = data_dir()
    key = hashlib.sha256(os.fsencode(data)).hexdigest()[:8]
    path = _runtime_path(key)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsafePath(
            f"The socket directory {path} cannot be made: {error.strerror}.",
            subject=str(path),
            hint="Set XDG_RUNTIME_DIR to a directory that belongs to you.",
        ) from error
    _checked_mode(path, forbidden=0o077)
    return path


def daemon_socket() -> Path:
    """The socket of the daemon's API."""
    return runtime_dir() / "daemon.sock"


def cluster_socket() -> Path:
    """The socket where predictions for services on a cluster arrive, at `/serving/<namespace>/<name>/…`."""
    return runtime_dir() / "kserve.sock"


def front_socket(namespace: str, name: str) -> Path:
    """The socket where predictions for a service arrive, whatever its revision."""
    key = hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:16]
    folder = runtime_dir() / "f"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{key}.sock"


def grpc_socket(namespace: str, name: str) -> Path:
    """The socket where gRPC calls for a service arrive; it stands only where the service offers gRPC."""
    key = hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:16]
    folder = runtime_dir() / "g"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{key}.sock"


def environments_dir() -> Path:
    """Where environments made on demand are kept; created 0700.

    `$KALE_SERVE_ENVIRONMENTS_DIR`, else `$XDG_CACHE_HOME/kale-serve/environments`, else `~/.cache/kale-serve/environments`.
    Raises `UnsafePath` where it belongs to somebody else or others may write to it.
    """
    own = os.environ.get("KALE_SERVE_ENVIRONMENTS_DIR")
    if own:
        path = Path(own).expanduser()
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or ".")
        path = (cache if cache.is_absolute() else Path.home() / ".cache") / "kale-serve" / "environments"
    return _own_folder(path, "environments directory", "KALE_SERVE_ENVIRONMENTS_DIR")


def _own_folder(path: Path, what: str, variable: str) -> Path:
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UnsafePath(
            f"The {what} {path} cannot be made: {error.strerror}.",
            subject=str(path),
            hint=f"Set {variable} to a directory that you can write to.",
        ) from error
    # Resolved, so that two spellings of one directory are one.
    path = path.resolve()
    mode = _checked_mode(path, forbidden=0o022)
    if mode & 0o077:
        path.chmod(0o700)
    return path


def _runtime_path(key: str) -> Path:
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session and _is_ours(session):
        path = Path(session) / f"kale-serve-{key}"
        if _short_enough(path):
            return path
    name = f"kale-serve-{os.getuid()}-{key}"
    path = Path(tempfile.gettempdir()) / name
    return path if _short_enough(path) else Path("/tmp") / name  # noqa: S108 (checked for owner and mode)


def _is_ours(directory: str) -> bool:
    # After `su` the variable still names the other user's directory.
    try:
        found = os.stat(directory)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _short_enough(path: Path) -> bool:
    return len(os.fsencode(path)) + _TAIL <= MAX_SOCKET_PATH


def _checked_mode(path: Path, *, forbidden: int) -> int:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafePath(f"{path} is not a directory.", subject=str(path), hint="Move it away.")
    if found.st_uid != os.getuid():
        raise UnsafePath(
            f"{path} belongs to another user (uid {found.st_uid}).",
            subject=str(path),
            hint="Ask its owner to remove it, or set XDG_RUNTIME_DIR and KALE_SERVE_DATA_DIR to directories of your own.",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        raise UnsafePath(
            f"{path} is open to other users (mode {mode:04o}).",
            subject=str(path),
            hint=f"Look at what is in it; then `chmod 700 {path}`.",
        )
    return mode
