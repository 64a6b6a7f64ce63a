"""`python -m kale_serve_lab.model_server`: a fresh server; the launch spec is JSON on stdin, until EOF."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Read the spec, serve, exit."""
    # Whatever the user's code starts should write its bytecode too: imports without it take twice as long.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    value = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    from kale_serve_lab.model_server.run import run_and_exit
    from kale_serve_lab.model_server.spec import LaunchSpec

    run_and_exit(LaunchSpec.from_json(value))


if __name__ == "__main__":
    main()
