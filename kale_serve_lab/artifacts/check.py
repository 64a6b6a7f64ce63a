"""What was saved is loaded back in a process of its own, and must answer as the object itself does."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kale_serve_lab import paths
from kale_serve_lab.artifacts import source
from kale_serve_lab.errors import KaleServeError, SaveFailed, from_json
from kale_serve_lab.inference.signature import Signature

# TensorFlow's import alone may take a quarter of it on a busy machine; and as long again for each GB.
SECONDS = 120.0
_SECONDS_A_BYTE = SECONDS / 1e9
_LOG_LINES = 30
_SHOWN = 60
# Of an output's largest number. A fresh process may sum in another order: it has other threads, a file has other kernels.
_TOLERANCE = 1e-5
_TOLERANCE_FP16 = 1e-2

_NOT_ALONE = "It must not depend on what only this notebook has: open files, changed modules, variables."

Methods = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True)
class Checked:
    """`said` is for people: "loaded, and 5 rows predicted as before". The rest is what the loaded model knows of itself.

    `declared`: its own signature (ONNX, TensorFlow). `expects`: how many columns it takes, and their names.
    """

    said: str
    class_name: str | None = None
    declared: Signature | None = None
    expects: tuple[int, list[str] | None] | None = None


class Check:
    """A fresh interpreter that imports the framework while the model is being saved; `run` then gives it the files."""

    def __init__(self, framework: str) -> None:
        self._framework = framework
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            # -P where there is one: cwd is no place for modules, here or in the server.
            [sys.executable, *_SAFE, "-m", "kale_serve_lab.model_server.check", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )

    def close(self) -> None:
        """Nothing of it is left, also of what the model itself has started."""
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._log.close()

    def _kill(self) -> None:
        # Its number is its own until it is waited for, which only leaving does.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if found is None or found.si_code == os.CLD_EXITED:
            return f"exit status {found.si_status if found else 0}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(found.si_status).name}"
        return f"killed by signal {found.si_status}"

    def run(
        self,
        folder: Path,
        name: str,
        class_name: str | None,
        signature: Signature | None,
        methods: Methods | None = None,
    ) -> Checked:
        """Raises `SaveFailed`.

        `methods` are those of the object itself; without them (files that somebody gave) the sample is only predicted.
        """
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        seconds = SECONDS + size * _SECONDS_A_BYTE
        asked = {
            "folder": str(folder),
            "framework": self._framework,
            "class_name": class_name,
            "name": name,
            "signature": None if signature is None else signature.to_json(),
            "seconds": seconds + 5,
        }
        answer, own = self._ask(asked, seconds, signature, methods)
        if "error" in answer:
            return Checked(self._not_loaded(name, from_json(answer), own=methods is not None))
        declared, expects = answer["declared"], answer["expects"]
        return Checked(
            self._compared(name, answer, own, signature, methods),
            answer["class_name"],
            None if declared is None else Signature.from_json(declared),
            None if expects is None else (expects[0], expects[1]),
        )

    def _compared(
        self,
        name: str,
        answer: Mapping[str, Any],
        own: dict[str, list[Any]] | None,
        signature: Signature | None,
        methods: Methods | None,
    ) -> str:
        rows = len(signature.input_example or ()) if signature is not None else 0
        if "predict" in answer:
            if methods is not None and own is None:
                return "loaded; the sample's rows as they are sent cannot be predicted by the model itself"
            where = "in a fresh process: " if methods else ": "
            raise self._failed(
                name,
                f"is loaded back, but cannot predict its sample{' ' if methods else ''}{where}{answer['predict']}",
                _NOT_ALONE if methods else "Give a signature with rows that the model takes.",
            )
        if methods is None or own is None:
            return f"loaded, and {rows} rows predicted" if answer["outputs"] else "loaded"
        rough = {spec.name for spec in signature.outputs if spec.dtype == "FP16"} if signature else set()
        difference = _difference(own, answer["outputs"], rough)
        if difference is None:
            return f"loaded, and {rows} rows predicted as before" if own else "loaded"
        if own != _own(methods, signature, self._framework):
            return f"loaded, and {rows} rows predicted; the model answers differently each time"
        raise self._failed(
            name, f"is loaded back, but answers otherwise than before: {difference}", _NOT_ALONE
        )

    def _ask(
        self, asked: dict[str, Any], seconds: float, signature: Signature | None, methods: Methods | None
    ) -> tuple[dict[str, Any], dict[str, list[Any]] | None]:
        """Its answer, and the object's own, which is asked meanwhile."""
        own: dict[str, list[Any]] | None = None
        with self._told(asked) as stdout:
            if methods is not None:
                own = _own(methods, signature, self._framework)
            timer = threading.Timer(seconds, self._kill)
            timer.daemon = True
            timer.start()
            try:
                line = stdout.readline()
                in_time = timer.is_alive()
            finally:
                timer.cancel()
                timer.join()
        try:
            answer = json.loads(line)
        except ValueError:
            how = (
                f"took longer than {seconds:.0f} s"
                if not in_time
                else f"ended its process ({self._how_it_ended()})"
            )
            raise self._failed(
                str(asked["name"]),
                f"cannot be loaded back: loading it in a fresh process {how}",
                "It must load without this notebook, as it will in the server.",
            ) from None
        return answer, own

    @contextmanager
    def _told(self, asked: dict[str, Any]) -> Iterator[Any]:
        assert self._process.stdin is not None
        # It may have ended at its first import.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(asked).encode())
            self._process.stdin.close()
        yield self._process.stdout

    def _not_loaded(self, name: str, error: KaleServeError, *, own: bool) -> str:
        missing = error.details.get("package")
        # What serves it may be elsewhere: an environment made for it, a server that is no Python at all.
        if missing is not None and (
            "requirement" in error.details or (not own and self._is_frameworks(str(missing)))
        ):
            return f"not loaded here: {error.message}"
        if isinstance(error, SaveFailed):
            raise error
        message = error.message.removeprefix(f"{name}: ").rstrip(".")
        raise self._failed(name, f"cannot be loaded back: {message}", error.hint or "", error.details)

    def _is_frameworks(self, package: str) -> bool:
        from kale_serve_lab.model_server import loaders

        return package in {part.partition(".")[0] for part in loaders.loader(self._framework).PRELOAD}

    def _failed(
        self, name: str, what: str, hint: str, details: Mapping[str, Any] | None = None
    ) -> SaveFailed:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 20_000))
        tail = self._log.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
        return SaveFailed(
            f"{name} was saved and {what}.",
            subject=name,
            hint=hint,
            details={**(details or {}), "stage": "check", "log_tail": tail},
        )


_SAFE = ("-P",) if sys.version_info >= (3, 11) else ()


def _environment() -> dict[str, str]:
    """Ours, with our package where the interpreter has none of its own: the way that the server is started."""
    found = dict(os.environ)
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    root = str(Path(paths.__file__).parent.parent)
    if os.path.realpath(root) not in source.found_anywhere():
        found["PYTHONPATH"] = os.pathsep.join([*filter(None, [found.get("PYTHONPATH")]), root])
    return found


def _own(methods: Methods, signature: Signature | None, framework: str) -> dict[str, list[Any]] | None:
    """The object's own answers for the sample as it is sent; None where it has none."""
    if signature is None:
        return {}
    from kale_serve_lab.model_server.check import predicted

    try:
        return predicted(methods, signature, framework)
    except Exception:
        return None


def _difference(own: Mapping[str, list[Any]], loaded: Mapping[str, list[Any]], rough: set[str]) -> str | None:
    """The first output and row that differ, as a clause; None where none does."""
    for name, rows in own.items():
        if name not in loaded:
            return f"it has no output {name}"
        found = loaded[name]
        if len(rows) != len(found):
            return f"{name} has {len(found)} rows, not {len(rows)}"
        allowed = _largest(rows) * (_TOLERANCE_FP16 if name in rough else _TOLERANCE)
        for at, (before, after) in enumerate(zip(rows, found, strict=True)):
            if not _equal(before, after, allowed):
                return f"{name}, row {at}: {_short(before)} became {_short(after)}"
    return None


def _largest(value: Any) -> float:
    if isinstance(value, list):
        return max((_largest(part) for part in value), default=0.0)
    return abs(value) if isinstance(value, float) and math.isfinite(value) else 0.0


def _equal(before: Any, after: Any, allowed: float) -> bool:
    if isinstance(before, list) or isinstance(after, list):
        return (
            isinstance(before, list)
            and isinstance(after, list)
            and len(before) == len(after)
            and all(_equal(one, other, allowed) for one, other in zip(before, after, strict=True))
        )
    if isinstance(before, float) and isinstance(after, float):
        both_missing = math.isnan(before) and math.isnan(after)
        return both_missing or before == after or abs(before - after) <= allowed
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
