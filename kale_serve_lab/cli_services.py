"""`kale-serve serve | status NAME | logs | predict | yaml | pause | resume | delete`: one service, on this machine or a cluster."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kale_serve_lab.cli_printing import done, print_json, safe, table
from kale_serve_lab.client import Client
from kale_serve_lab.errors import InvalidConfig, InvalidInput, InvalidRequest
from kale_serve_lab.sdk import InferenceService, serve

# Deleting waits for requests in flight and for processes to end.
STOP_SECONDS = 60

Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Put the commands into `kale-serve`'s parser."""
    serving = command("serve", _serve, "Serve a submitted model and wait until it predicts.")
    serving.add_argument("model", metavar="MODEL", nargs="?", help='an id, "name:version" or "name"')
    serving.add_argument("--name", help="the service's; by default the model's")
    serving.add_argument(
        "--transformer", metavar="TRANSFORMER", help="what stands before it, named as a model"
    )
    serving.add_argument("--config", metavar="FILE", help='a ServeConfig as JSON; "-" reads stdin')
    where(serving)
    serving.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="how long to wait for it at most"
    )
    serving.add_argument("--no-wait", action="store_true", help="return as soon as it is accepted")
    serving.add_argument("--dry-run", action="store_true", help="start nothing: print findings, and the YAML")
    serving.add_argument("--overwrite", action="store_true", help="take back what others have changed there")
    serving.add_argument(
        "--propagate-configurations", action="store_true", help="give its pods this notebook's PodDefaults"
    )
    logs = _of_one(command, "logs", _logs, "Print what an endpoint's processes wrote.")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is written")
    logs.add_argument("--component", choices=["predictor", "transformer"])
    logs.add_argument("--revision", type=count)
    logs.add_argument(
        "--tail", type=count, default=200, metavar="LINES", help="how many last lines (default: 200)"
    )
    predict = _of_one(command, "predict", _predict, "Send a JSON file to an endpoint and print the answer.")
    predict.add_argument(
        "file", metavar="FILE", help='a v1 or v2 request, or rows as a list of lists; "-" reads stdin'
    )
    _of_one(command, "yaml", _yaml, "Print the InferenceService, as a GitOps repository wants it.")
    _of_one(command, "pause", _pause, "End an endpoint's pods on the cluster and keep all else.")
    resume = _of_one(command, "resume", _resume, "Start a paused endpoint again.")
    resume.add_argument("--wait", action="store_true", help="until it predicts")
    _of_one(command, "delete", delete, "Delete an endpoint with all that it owns.")


def _of_one(
    command: Command, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    found = command(name, run, text)
    found.add_argument("name", metavar="NAME")
    where(found)
    return found


def where(parser: argparse.ArgumentParser) -> None:
    """The options that say which service of a name is meant."""
    parser.add_argument(
        "--target", choices=["local", "kserve"], help="this machine or the cluster; by default where it is"
    )
    parser.add_argument("--namespace", metavar="NAME", help="on the cluster; by default the connection's own")


def status_of(options: argparse.Namespace) -> None:
    """One service: what it does, what to do next, and why."""
    service = Client().request("GET", path(options))
    if options.json:
        print_json(service)
        return
    state = {
        "": service["state"],
        "sentence": service["sentence"],
        "next step": service.get("next_step"),
        "where": f"{service.get('target') or 'local'}, namespace {service['namespace']}",
        "revision": str(service["revision"]),
        "model": artifact(service["model"]),
        "server": f"{service['runtime']}, {', '.join(service['protocols'])}",
        "address": service["url"],
        "changed by others": ", ".join(service.get("drift") or ()),
        "seen last": "the cluster does not answer" if service.get("stale_since") else "",
    }
    print(f"{safe(service['name'])}: {safe(state.pop('') or '')}")
    table(["", ""], [[name, text] for name, text in state.items() if text])
    for fact in service.get("facts") or ():
        print(f"  {safe(str(fact['what']))}" + (f" ({fact['count']} times)" if fact["count"] > 1 else ""))


def _serve(options: argparse.Namespace) -> None:
    handle = serve(
        options.model,
        options.transformer,
        options.name,
        _config(options.config),
        wait=not options.no_wait,
        propagate_configurations=options.propagate_configurations,
        timeout_seconds=options.timeout,
        target=options.target,
        namespace=options.namespace,
        dry_run=options.dry_run,
        overwrite=options.overwrite,
    )
    findings = [dict(one) for one in handle.findings]
    if options.json:
        told: dict[str, Any] = {"name": handle.name, "namespace": handle.namespace, "target": handle.target}
        told |= {"object": handle.object} if options.dry_run else {"url": handle.url}
        print_json({**told, "findings": findings})
    elif not options.dry_run:
        print(safe(f"{handle.name} {'is asked for' if options.no_wait else 'answers'}: {handle.url}"))
    else:
        for one in findings:
            print(
                safe(f"{one['severity']}: {one['message']} {one.get('fix') or ''}".rstrip()), file=sys.stderr
            )
        if handle.object is None:
            print("It would be served on this machine; nothing was started.")
        else:
            print(handle.to_yaml(), end="")
    errors = [one for one in findings if one["severity"] == "error"]
    if options.dry_run and errors:
        raise InvalidConfig(
            f"It cannot be served so: {errors[0]['message']}", subject=handle.name, hint=errors[0].get("fix")
        )


def _logs(options: argparse.Namespace) -> None:
    asked = {"component": options.component, "revision": options.revision, "tail": options.tail}
    for part in Client().stream(path(options, "/logs", **asked, follow=1 if options.follow else None)):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _predict(options: argparse.Namespace) -> None:
    from kale_serve_lab.endpoint import Endpoint

    text = _read(options.file)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{options.file} is not JSON: {error}.",
            subject=options.file,
            hint='Give a v1 request {"instances": [[…]]}, a v2 request {"inputs": […]}, or rows [[…], …].',
        ) from error
    with Endpoint(options.name, options.namespace, target=options.target) as endpoint:
        # Rows become a request in the endpoint's own protocol, so that the answer is JSON again.
        answer = endpoint.predict(text if isinstance(given, dict) else given)
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    print(json.dumps(answer, indent=None if options.json else 2, ensure_ascii=False))


def _yaml(options: argparse.Namespace) -> None:
    handle = _handle(options)
    if options.json:
        # It has none on this machine, which `to_yaml` says.
        found = handle.object
        print_json(found if found is not None else handle.to_yaml())
    else:
        print(handle.to_yaml(), end="")


def _pause(options: argparse.Namespace) -> None:
    _handle(options).pause()
    done(options, f"{options.name} is paused; `kale-serve resume {options.name}` starts it again.")


def _resume(options: argparse.Namespace) -> None:
    handle = _handle(options).resume()
    if options.wait:
        handle.wait()
    done(options, f"{options.name} {'answers again' if options.wait else 'starts again'}.")


def delete(options: argparse.Namespace) -> None:
    """Delete one service and wait until nothing of it is left."""
    Client().request("DELETE", path(options), timeout_seconds=STOP_SECONDS)
    done(options, f"{options.name} is deleted; nothing of it is left.")


def path(options: argparse.Namespace, below: str = "", **asked: Any) -> str:
    """The daemon's path of the service that the options name, with what else is asked."""
    asked |= {"target": options.target, "namespace": options.namespace}
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    return f"/api/services/{quote(options.name, safe='')}{below}{f'?{query}' if query else ''}"


def artifact(value: dict[str, Any] | None) -> str:
    """`name:version`, or nothing."""
    return f"{value['name']}:{value['version']}" if value else ""


def _handle(options: argparse.Namespace) -> InferenceService:
    return InferenceService.get(options.name, options.namespace, options.target)


def _read(file: str) -> str:
    """The text of a file, or of stdin for "-". Raises `InvalidRequest`, and `InvalidInput` where it is no text."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.", subject=file) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not JSON: it is no UTF-8 text.", subject=file) from error


def _config(file: str | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        value = json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{file} is not JSON: {error}.", subject=file) from error
    if not isinstance(value, dict):
        raise InvalidConfig(
            f"{file} holds no ServeConfig.", subject=file, hint='Give an object: {"min_replicas": 1, …}.'
        )
    return value


def count(text: str) -> int:
    """A whole number from 1, as an option's type."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
