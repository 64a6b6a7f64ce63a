"""`kale-serve`: serve, look at endpoints and artifacts, read logs, predict and stop, from a terminal.

Exit codes: 0 done · 1 the daemon or the endpoint said no · 2 the command line was wrong · 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kale_serve_lab import cli_cluster, cli_services
from kale_serve_lab.cli_printing import done, print_json, safe, table
from kale_serve_lab.client import Client
from kale_serve_lab.errors import Conflict, KaleServeError

_PAGE = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], None] = options.run
        run(options)
        sys.stdout.flush()
    except KaleServeError as error:
        if options.json:
            print(json.dumps(error.to_json()), file=sys.stderr)
        else:
            print(f"kale-serve: {safe(error.message)}", file=sys.stderr)
            if error.hint:
                print(safe(error.hint), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # `kale-serve list | head`; what Python would still flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kale-serve", description="Look after the models that are served here."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, for programs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, parents=[common], help=text, description=text)
        found.set_defaults(run=run)
        return found

    status = command("status", _status, "Show the daemon and the endpoints; with a name, all of one.")
    status.add_argument("name", metavar="NAME", nargs="?")
    cli_services.where(status)
    listing = command("list", _list, "List artifacts, newest first.")
    listing.add_argument("--type", help="kale.Model, kale.Transformer, kale.Dataset or kale.Endpoint")
    listing.add_argument("--name", help="only this name's versions")
    listing.add_argument("--search", metavar="TEXT", help="only names and versions that hold this text")
    listing.add_argument(
        "--limit", type=cli_services.count, default=20, help="how many at most (default: 20)"
    )
    cli_services.add(command)
    stop = command(
        "stop", _stop, "Delete an endpoint; without a name, stop the daemon (endpoints go on answering)."
    )
    what = stop.add_mutually_exclusive_group()
    what.add_argument("name", metavar="NAME", nargs="?")
    what.add_argument(
        "--all", action="store_true", help="delete this machine's endpoints and stop the daemon"
    )
    cli_services.where(stop)
    cli_cluster.add(commands, common)
    command("runtimes", _runtimes, "List the kinds of model servers, and whether each can run here.")
    environments = command(
        "environments",
        _environments,
        "List the environments that were made for them; with --remove or --prune, remove some.",
    )
    which = environments.add_mutually_exclusive_group()
    which.add_argument("--remove", metavar="NAME", help="remove this one")
    which.add_argument("--prune", action="store_true", help="remove all that nothing uses")
    return parser


def _status(options: argparse.Namespace) -> None:
    if options.name is not None:
        cli_services.status_of(options)
        return
    from kale_serve_lab.client.start import running

    about = running()
    services = Client(start=False).request("GET", "/api/services")["items"] if about else []
    services = [one for one in services if _is_asked(options, one)]
    if options.json:
        print_json({"daemon": about, "services": services})
        return
    if about is None:
        print(
            "The daemon is not running. It starts with the first call, and takes over endpoints that still run."
        )
        return
    since = _ago(about["started_at"])
    print(f"Daemon {about['version']}, pid {about['pid']}, started {since}. Gateway: {about['gateway']}")
    if not services:
        print("No endpoints.")
        return
    print()
    # Where only this machine is in question, there is no place to tell.
    placed = any((one.get("target") or "local") != "local" for one in services)
    rows = [
        [
            one["name"],
            *([f"{one.get('target') or 'local'}/{one['namespace']}"] if placed else []),
            one["state"],
            str(one["revision"]),
            cli_services.artifact(one["model"]),
            one["protocol"] or "",
            one["sentence"],
        ]
        for one in services
    ]
    table(["NAME", *(["WHERE"] if placed else []), "STATE", "REVISION", "MODEL", "PROTOCOL", ""], rows)


def _is_asked(options: argparse.Namespace, service: dict[str, Any]) -> bool:
    return options.target in (None, service.get("target") or "local") and options.namespace in (
        None,
        service["namespace"],
    )


def _list(options: argparse.Namespace) -> None:
    client = Client()
    items: list[dict[str, Any]] = []
    token: str | None = None
    total = 0
    while len(items) < options.limit:
        query = {
            "type": options.type,
            "name": options.name,
            "q": options.search,
            "limit": min(_PAGE, options.limit - len(items)),
            "page_token": token,
        }
        given = urlencode({key: value for key, value in query.items() if value})
        page = client.request("GET", f"/api/artifacts?{given}")
        items += page["items"]
        token, total = page["next_page_token"], page["total"]
        if not token:
            break
    if options.json:
        print_json({"items": items, "total": total})
        return
    if not items:
        print("No artifacts.")
        return
    rows = [
        [
            str(one["id"]),
            one["type"],
            one["name"],
            one["version"],
            one["framework"] or "",
            _size(one["size"]),
            _ago(one["created_at"]),
        ]
        for one in items
    ]
    table(["ID", "TYPE", "NAME", "VERSION", "FRAMEWORK", "SIZE", "CREATED"], rows)
    if total > len(items):
        print(f"{len(items)} of {total}; --limit shows more.")


def _stop(options: argparse.Namespace) -> None:
    from kale_serve_lab.client.start import running

    if options.name is not None:
        cli_services.delete(options)
        return
    # To stop endpoints that outlived their daemon, a daemon must take them over first.
    about = running() if not options.all else Client().request("GET", "/api/version")
    if about is None:
        done(options, "The daemon is not running.")
        return
    Client(start=False).request("POST", "/api/stop", {"services": bool(options.all)})
    _wait_for_end(about["pid"])
    done(options, "The daemon and all endpoints are stopped." if options.all else "The daemon is stopped.")


def _runtimes(options: argparse.Namespace) -> None:
    found = Client().request("GET", "/api/runtimes")
    if options.json:
        print_json(found)
        return
    rows = [
        [one["name"], ", ".join(_served(one)), _standing(one), one["reason"] or ""] for one in found["items"]
    ]
    table(["NAME", "SERVES", "HERE", ""], rows)
    for problem in found["problems"]:
        print(safe(problem["message"]), file=sys.stderr)


def _served(runtime: dict[str, Any]) -> list[str]:
    """Formats with what they are served over, those over the same together."""
    together: dict[str, list[str]] = {}
    for one in runtime["formats"]:
        together.setdefault(" ".join(one["protocols"]), []).append(one["format"])
    return [f"{' '.join(formats)} ({protocols})" for protocols, formats in together.items()]


def _standing(runtime: dict[str, Any]) -> str:
    if runtime["reason"] is not None:
        return "no"
    if runtime["installed"]:
        return "yes"
    return f"makes {_size(runtime['size'])} first" if runtime["size"] else "makes an environment first"


def _environments(options: argparse.Namespace) -> None:
    client = Client()
    if options.remove is not None:
        _remove_environment(client, options.remove)
        done(options, f"{options.remove} is removed.")
        return
    items = client.request("GET", "/api/environments")["items"]
    if options.prune:
        unused = [one for one in items if not one["used_by"] and _removed(client, one["name"])]
        if options.json:
            print_json({"removed": [one["name"] for one in unused]})
        else:
            freed = _size(sum(one["size"] for one in unused))
            print(f"{len(unused)} removed, {freed} freed." if unused else "There is none that nothing uses.")
        return
    if options.json:
        print_json({"items": items})
        return
    if not items:
        print("No environments.")
        return
    rows = [
        [
            one["name"],
            _size(one["size"]),
            _ago(one["created_at"]),
            ", ".join(one["used_by"]) or ("-" if one["complete"] else "- (not whole)"),
            one["label"],
        ]
        for one in items
    ]
    table(["NAME", "SIZE", "MADE", "USED BY", "FOR"], rows)
    total = _size(sum(one["size"] for one in items))
    print(f"{total} in {Path(items[0]['path']).parent}; --remove NAME or --prune frees it.")


def _removed(client: Client, name: str) -> bool:
    try:
        _remove_environment(client, name)
    except Conflict:  # it is just being made, or was taken into use a moment ago
        return False
    return True


def _remove_environment(client: Client, name: str) -> None:
    client.request(
        "DELETE", f"/api/environments/{quote(name, safe='')}", timeout_seconds=cli_services.STOP_SECONDS
    )


def _wait_for_end(pid: int) -> None:
    from kale_serve_lab.client.start import running

    deadline = time.monotonic() + cli_services.STOP_SECONDS
    # It is not our child, so its end can only be looked for.
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except OSError:
            return
        if (about := running()) is not None and about.get("pid") != pid:
            return
        time.sleep(0.05)
    raise KaleServeError(
        f"The daemon (pid {pid}) has not ended within {cli_services.STOP_SECONDS} s.",
        code="Timeout",
        subject=str(pid),
    )


def _ago(milliseconds: int) -> str:
    seconds = max(0, time.time() - milliseconds / 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


if __name__ == "__main__":
    sys.exit(main())
