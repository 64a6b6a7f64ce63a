"""`python -m kale_serve_lab.daemon`: become the daemon of the data directory, or say that there is one."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from kale_serve_lab import paths
from kale_serve_lab.errors import KaleServeError

IDLE_SECONDS = 900.0


def main(arguments: list[str] | None = None) -> int:
    """Run until there is nothing to do; 0 also when another daemon answers already."""
    parser = argparse.ArgumentParser(prog="kale-serve daemon", description=__doc__)
    parser.add_argument(
        "--ready-fd", type=int, help="write one line of JSON here when calls are taken, or why not"
    )
    parser.add_argument(
        "--idle-seconds", type=float, default=IDLE_SECONDS, help="leave after this long without use"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    ready_fd = options.ready_fd
    if ready_fd is not None:
        # Else every model server would hold it, and the caller never see its end.
        os.set_inheritable(ready_fd, False)
    try:
        _run(ready_fd, options.idle_seconds)
    except KaleServeError as error:
        logging.getLogger(__name__).error("%s", error)
        _tell(ready_fd, error.to_json())
        return 1
    except ImportError as error:
        from kale_serve_lab.errors import DaemonMissingDependency

        missing = DaemonMissingDependency(
            f"The daemon's interpreter {sys.executable} lacks the package {error.name}.",
            subject=sys.executable,
            hint="Install it there: `pip install kale-serve-lab`.",
        )
        logging.getLogger(__name__).exception("%s", missing)
        _tell(ready_fd, missing.to_json())
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("The daemon failed.")
        _tell(ready_fd, KaleServeError(f"The daemon failed: {error}", code="DaemonFailed").to_json())
        return 1
    return 0


def _run(ready_fd: int | None, idle_seconds: float) -> None:
    from kale_serve_lab.daemon import election

    data = paths.data_dir()
    _bound_log(data / "logs" / "daemon.log")
    lock = election.Lock(data)
    try:
        if not election.win(lock):
            _tell(ready_fd, {"ok": True})
            return
        # After the election: a loser need not load ML Metadata.
        from kale_serve_lab.daemon.life import live

        asyncio.run(live(data, idle_seconds, lambda: _tell(ready_fd, {"ok": True})))
    finally:
        lock.close()


def _bound_log(path: Path) -> None:
    from kale_serve_lab.daemon.log import BoundedHandler

    root = logging.getLogger()
    handler = BoundedHandler(path)
    handler.setFormatter(root.handlers[0].formatter)
    root.handlers[0] = handler


def _tell(ready_fd: int | None, value: object) -> None:
    if ready_fd is None:
        return
    try:
        with os.fdopen(ready_fd, "wb") as pipe:
            pipe.write(json.dumps(value).encode() + b"\n")
    except OSError:
        # Told already, or whoever started us has gone.
        return


if __name__ == "__main__":
    sys.exit(main())
