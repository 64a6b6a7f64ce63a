"""Finds the daemon, or starts it detached in the interpreter that can run it, and agrees with it on the version.

The daemon elects itself by its own lock; the lock here only keeps ten callers at once from starting ten interpreters.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.client import answers
from kale_serve_lab.client.connection import UnixConnection
from kale_serve_lab.client.version import PROTOCOL, is_older, own_version
from kale_serve_lab.errors import (
    DaemonMissingDependency,
    DaemonUnavailable,
    KaleServeError,
    LockUnsupported,
    UpstreamFailed,
    from_json,
)

START_SECONDS = 60
STOP_SECONDS = 20
LOG_TAIL_LINES = 20
# Not resolved: where our package is a link in a folder of its own, what lies beside its target is another environment's.
_ROOT = Path(__file__).absolute().parents[2]


def ensure_daemon() -> dict[str, Any]:
    """What the running daemon says of itself (`GET /api/version`), after starting it where it does not run.

    An older daemon is asked to stop and replaced (endpoints go on and are adopted). Raises `DaemonUnavailable`,
    `DaemonMissingDependency` or `LockUnsupported`, whose details hold the tail of the daemon's log.
    """
    about = running()
    if about is not None and not _to_be_replaced(about):
        return _agreed(about)
    with _one_at_a_time():
        about = running()
        if about is not None and _to_be_replaced(about):
            _replace(about)
            _start(Path(sys.executable))
            return _agreed(_answering())
        if about is None:
            _start(interpreter())
            about = _answering()
            if _to_be_replaced(about):
                # The noted interpreter holds an older package than this caller.
                _replace(about)
                _start(Path(sys.executable))
                about = _answering()
        return _agreed(about)


def running() -> dict[str, Any] | None:
    """What the daemon says of itself, None where none runs. Raises `DaemonUnavailable` where it does not answer."""
    try:
        about = _call("GET", "/api/version")
        if not isinstance(about.get("protocol"), int):
            raise UpstreamFailed("it does not say which protocol it speaks")
        return about
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
        # Refused: the socket's file outlived its daemon. Reset: it was leaving just now.
        return None
    except (OSError, http.client.HTTPException, UpstreamFailed) as error:
        said = error.message if isinstance(error, UpstreamFailed) else str(error)
        raise DaemonUnavailable(
            f"What listens on the Kale Serve daemon's socket does not answer as the daemon would: {said[:300].rstrip('.')}.",
            subject=str(paths.daemon_socket()),
            hint="Stop it with `kale-serve stop`, or end the process named in daemon.json of the data directory.",
        ) from error


def interpreter() -> Path:
    """The Python to run the daemon with: the one that was noted in the data directory, else this one.

    Raises `DaemonMissingDependency` where it is this one and ml-metadata is not installed in it.
    """
    noted = paths.data_dir() / "interpreter"
    with contextlib.suppress(OSError, ValueError):
        path = Path(noted.read_text().strip())
        if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
            return path
    if not _can_run_daemon():
        raise DaemonMissingDependency(
            f"The Kale Serve daemon needs the package ml-metadata, which {sys.executable} does not have.",
            subject=sys.executable,
            hint="Install it there: `pip install kale-serve-lab`. Or open JupyterLab with the extension once: it notes its own interpreter.",
        )
    return Path(sys.executable)


def _can_run_daemon() -> bool:
    return bool(sys.executable) and all(
        importlib.util.find_spec(name) is not None for name in ("ml_metadata", "tornado")
    )


def _to_be_replaced(about: dict[str, Any]) -> bool:
    # Without the daemon's packages here, an older daemon that speaks our protocol is better than none.
    return is_older(str(about.get("version")), own_version()) and _can_run_daemon()


def _agreed(about: dict[str, Any]) -> dict[str, Any]:
    if about.get("protocol") != PROTOCOL:
        raise DaemonUnavailable(
            f"The Kale Serve daemon {about.get('version')} speaks protocol {about.get('protocol')}, "
            f"this package ({own_version()}) speaks {PROTOCOL}.",
            subject=str(about.get("python")),
            hint=f"Bring kale-serve-lab in {sys.executable} and in {about.get('python')} to one version.",
        )
    return about


def _answering() -> dict[str, Any]:
    about = running()
    if about is None:
        raise _failure("it left as soon as it was ready", _log_path(), 0)
    return about


def _call(method: str, path: str, body: Any = None) -> dict[str, Any]:
    with closing(UnixConnection(paths.daemon_socket(), 10)) as connection:
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else answers.encode(body), headers)
        with closing(connection.getresponse()) as response:
            value = answers.decode(response.status, response.read(), f"{method} {path}")
            return value if isinstance(value, dict) else {}


def _replace(about: dict[str, Any]) -> None:
    pid = about.get("pid")
    with contextlib.suppress(OSError, http.client.HTTPException):
        _call("POST", "/api/stop", {"services": False})
    deadline = time.monotonic() + STOP_SECONDS
    # It is not our child, so that there is nothing to wait on but its going.
    while time.monotonic() < deadline:
        if not isinstance(pid, int) or not _alive(pid):
            return
        time.sleep(0.02)
    raise DaemonUnavailable(
        f"The Kale Serve daemon {about.get('version')} (pid {pid}) was asked to make place for {own_version()} and did not leave "
        f"in {STOP_SECONDS} s.",
        subject=str(pid),
        hint=f"End it: `kill {pid}`. Endpoints go on answering.",
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie has given its locks and sockets back.
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    path = paths.data_dir() / "start.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            raise LockUnsupported(
                f"The file system of {path.parent} has no file locks ({error.strerror}), so two daemons could damage its database.",
                subject=str(path.parent),
                hint="Set KALE_SERVE_DATA_DIR to a directory on a local disk.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def _log_path() -> Path:
    folder = paths.data_dir() / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "daemon.log"


def _start(python: Path) -> None:
    log_path = _log_path()
    read_end, write_end = os.pipe()
    try:
        with open(log_path, "ab", opener=_private) as log:
            began_at = log.tell()
            command = [str(python), "-m", "kale_serve_lab.daemon", "--ready-fd", str(write_end)]
            try:
                # Through a shell that leaves at once: the daemon is nobody's child, hence no zombie in a notebook that
                # outlives it, and it ignores the terminal's interrupt.
                subprocess.run(
                    ["/bin/sh", "-c", '"$@" &', "kale-serve", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[write_end],
                    start_new_session=True,
                    cwd=paths.data_dir(),
                    env=_environment(python),
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise _failure(f"{python} could not be run ({error})", log_path, began_at) from error
        os.close(write_end)
        write_end = -1
        answer = _read_line(read_end)
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    if answer is None:
        raise _failure(f"it was not ready within {START_SECONDS} s", log_path, began_at)
    try:
        told = json.loads(answer)
    except ValueError:
        raise _failure("it ended before it was ready", log_path, began_at) from None
    if not told.get("ok"):
        failure = from_json(told)
        failure.details.setdefault("log_tail", _tail(log_path, began_at))
        raise failure


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _environment(python: Path) -> dict[str, str]:
    environment = dict(os.environ)
    # Would double the import time of the daemon and of every model server that it starts.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if python == Path(sys.executable):
        # A kernel that has our package only by an entry on its sys.path hands that entry down.
        found = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
        if _only_on_path():
            environment["PYTHONPATH"] = os.pathsep.join([*found, str(_ROOT)])
    else:
        # Another environment's packages are none of its own.
        environment.pop("PYTHONPATH", None)
        environment.pop("PYTHONHOME", None)
    return environment


def _only_on_path() -> bool:
    """Whether a fresh interpreter would not find our package by itself."""
    import sysconfig

    return _ROOT.resolve() not in {
        Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")
    }


def _read_line(descriptor: int) -> bytes | None:
    """The first line, what came before the end, or None when the time is over."""
    deadline = time.monotonic() + START_SECONDS
    found = b""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP)
    while b"\n" not in found:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return None
        part = os.read(descriptor, 4096)
        if not part:
            break
        found += part
    return found


def _failure(why: str, log_path: Path, began_at: int) -> KaleServeError:
    tail = _tail(log_path, began_at)
    last = f": {tail[-1]}" if tail else ""
    missing = "No module named 'ml_metadata'" in last
    cls = DaemonMissingDependency if missing else DaemonUnavailable
    return cls(
        f"The Kale Serve daemon could not start: {why}{last}",
        subject=str(log_path),
        hint="Install ml-metadata in its interpreter: `pip install kale-serve-lab`."
        if missing
        else f"Its log is {log_path}.",
        details={"log_tail": tail},
    )


def _tail(log_path: Path, began_at: int) -> list[str]:
    try:
        with log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(began_at if began_at <= end else 0, end - 16_384))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-LOG_TAIL_LINES:]
