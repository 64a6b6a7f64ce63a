"""A user's own command, as a container of the cluster would run it: predictor, transformer, or a ServingRuntime's row.

What a container takes for granted is put in its place: `/mnt/models` is the artifact's folder, `{{.Name}}` the service,
`$(NAME)` a variable, and 8080 the port that the server is given here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server.foreign.launch import Given, Launch
from kale_serve_lab.model_server.foreign.loopback import lead_to

# 8080 where it is the whole of an argument, or of what follows `=` or `:`.
_PORT = re.compile(r"(?:(?<==)|(?<=:)|^)8080$")
_NAME = re.compile(r"\{\{\s*\.Name\s*\}\}")
_VARIABLE = re.compile(r"\$(\$?)\(([A-Za-z_][A-Za-z0-9_]*)\)")
_PREDICTOR = "--predictor_host"


def prepare(given: Given) -> Launch:
    """The command as it is written, with what a container would have put in its place."""
    spec, runtime = given.spec, given.runtime
    if not runtime.command:
        raise ModelLoadFailed(
            f"{spec.service}: {runtime.name} names an image and no command, and an image does not run on this machine.",
            subject=spec.service,
            hint='Give the container a command: {"command": ["python", "server.py"]}.',
        )
    predictor = spec.predictor_socket
    own = {
        "PORT": str(given.http_port),
        "KALE_SERVE_SOCKET": str(given.http_socket),
        # A command such as `python server.py` means the model's own Python.
        "PATH": os.pathsep.join([str(given.python.parent), os.environ.get("PATH", os.defpath)]),
    }
    if predictor is not None:
        own["PREDICTOR_HOST"] = f"unix:{predictor}"
    variables = {name: _in_place(text, given, own) for name, text in runtime.env.items()} | own
    argv = [_PORT.sub(own["PORT"], _in_place(item, given, variables)) for item in runtime.command]
    if predictor is not None:
        argv = _with_predictor(argv, Path(predictor))
    paths = {
        "v1": f"/v1/models/{spec.model_name}:predict",
        "v2": f"/v2/models/{spec.model_name}/infer",
    }
    spoken = [one for one in paths if one in runtime.protocols] or list(paths)
    asked = "v1" if spec.protocol in ("v1", "grpc-v1") and "v1" in spoken else spoken[-1]
    return Launch(
        argv=argv,
        env=variables,
        http=("127.0.0.1", given.http_port),
        instead=given.http_socket,
        ready_path=f"/v1/models/{spec.model_name}"
        if asked == "v1"
        else f"/v2/models/{spec.model_name}/ready",
        any_answer=True,
        paths={one: paths[one] for one in spoken},
    )


def _in_place(text: str, given: Given, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        # As in a container: $$( is a plain $(, and a variable that is not there stays as it is written.
        if match[1]:
            return match[0][1:]
        return variables.get(match[2], match[0])

    named = _NAME.sub(lambda _: given.spec.service, text).replace("/mnt/models", str(given.folder))
    return _VARIABLE.sub(value, named)


def _with_predictor(argv: list[str], predictor: Path) -> list[str]:
    """The value of `--predictor_host` as host and port: what takes that argument knows no Unix sockets."""
    found: list[str] = []
    for place, item in enumerate(argv):
        if place and argv[place - 1] == _PREDICTOR:
            found.append(lead_to(predictor))
        elif item.startswith(f"{_PREDICTOR}="):
            found.append(f"{_PREDICTOR}={lead_to(predictor)}")
        else:
            found.append(item)
    return found
