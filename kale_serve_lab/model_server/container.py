"""`python -m kale_serve_lab.model_server.container`: the built-in server as a container's process, on TCP.

Takes the arguments that KServe gives a predictor or a transformer, and ignores those that it does not know. The port opens
when the model is loaded. SIGTERM: whoever still comes is answered for a moment, what is in flight is finished.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from kale_serve_lab.errors import InvalidConfig, InvalidSignature, KaleServeError
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.model_server.loaders import WrongFile, about
from kale_serve_lab.model_server.spec import LaunchSpec, PredictorAddress

ABOUT: Final = "KALE_SERVE_ABOUT"
MODEL_DIR: Final = Path("/mnt/models")
# Where Kubernetes looks for a container's last words.
TERMINATION_LOG: Final = Path("/dev/termination-log")
LINGER_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 25.0
WRONG: Final = 2
_MAX_WORDS: Final = 4000
_PROTOCOLS: Final = ("v1", "v2", "grpc-v2")


def arguments(given: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What KServe and we pass, and what nobody here knows."""
    parser = argparse.ArgumentParser(
        prog="python -m kale_serve_lab.model_server.container", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--model_name", required=True, help="the name in the protocols' paths")
    parser.add_argument("--model_dir", type=Path, default=MODEL_DIR, help="the artifact's files")
    parser.add_argument(
        "--predictor_host", help="a transformer's predictor: host, host:port or http(s)://host:port"
    )
    parser.add_argument("--protocol", choices=_PROTOCOLS, help="as --predictor_protocol")
    parser.add_argument("--predictor_protocol", choices=_PROTOCOLS, help="what the predictor is asked by")
    parser.add_argument("--predictor_use_ssl", type=_flag, default=False)
    parser.add_argument("--predictor_request_timeout_seconds", type=float, default=600.0)
    parser.add_argument("--http_port", type=int, default=8080)
    parser.add_argument("--grpc_port", type=int, default=8081)
    parser.add_argument("--enable_grpc", type=_flag, default=True)
    return parser.parse_known_args(given)


def launch_spec(options: argparse.Namespace, environ: Mapping[str, str], listen_fd: int) -> LaunchSpec:
    """The server's spec. `kale.json` beside the model says what it is; the environment says what was recorded of it.

    Raises `InvalidConfig`.
    """
    told = _told(environ.get(ABOUT))
    try:
        found = about(options.model_dir)
    except WrongFile as error:
        raise InvalidConfig(f"{options.model_dir}: {error}.", subject=options.model_name) from error
    component: Literal["predictor", "transformer"] = "transformer" if "kind" in found else "predictor"
    framework = told.get("framework") or found.get("framework")
    if component == "predictor" and not framework:
        there = (
            sorted(path.name for path in options.model_dir.iterdir())[:10]
            if options.model_dir.is_dir()
            else None
        )
        raise InvalidConfig(
            f"{options.model_dir} holds no model: there is no kale.json"
            + (f" among {', '.join(there) or 'nothing'}." if there is not None else ", and no such folder."),
            subject=options.model_name,
            hint="Does the storageUri lead to the model as Kale has published it?",
        )
    signature = told.get("signature")
    protocol: Literal["v1", "v2", "grpc-v2"] = options.predictor_protocol or options.protocol or "v1"
    offers_grpc = options.enable_grpc and importlib.util.find_spec("grpc") is not None
    try:
        return LaunchSpec(
            component=component,
            service=options.model_name,
            namespace=str(told.get("namespace") or "default"),
            revision=int(told.get("revision") or 1),
            nonce="",
            artifact_dir=options.model_dir,
            framework=framework,
            class_name=told.get("class_name") or found.get("class_name"),
            signature=None if signature is None else Signature.from_json(signature),
            method=told.get("method") or found.get("method"),
            listen_fd=listen_fd,
            control_fd=None,
            predictor_socket=None,
            protocol=protocol,
            model_name=options.model_name,
            max_body_bytes=1 << 30,
            grpc_address=f"0.0.0.0:{options.grpc_port}" if offers_grpc else None,
            predictor=_predictor(options, protocol),
            linger_seconds=LINGER_SECONDS,
            grace_seconds=GRACE_SECONDS,
        )
    except (ValueError, TypeError, KeyError, AttributeError, InvalidSignature) as error:
        raise InvalidConfig(
            f"The environment variable {ABOUT} says what cannot be: {error}.", subject=options.model_name
        ) from error


def main(given: Sequence[str]) -> NoReturn:
    """Serve until SIGTERM; exits 0, 2 (what was given cannot be meant) or 3 (the model does not load)."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    options, unknown = arguments(given)
    try:
        listening = _bound(options.http_port)
        spec = launch_spec(options, os.environ, listening.detach())
    except KaleServeError as error:
        _last_words(error)
        sys.exit(WRONG)
    if unknown:
        sys.stderr.write(f"Not known here, and ignored: {' '.join(unknown)[:500]}\n")

    from kale_serve_lab.model_server.run import run_and_exit

    run_and_exit(spec, _last_words)
    raise AssertionError


def _bound(port: int) -> socket.socket:
    """The port, taken but not open yet; IPv6 too where the pod has it."""
    six = socket.has_dualstack_ipv6()
    one = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if six:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        one.bind(("::" if six else "0.0.0.0", port))
    except (OSError, OverflowError) as error:
        one.close()
        raise InvalidConfig(
            f"The port {port} cannot be listened at: {error}.",
            subject=str(port),
            hint="Give another: --http_port.",
        ) from error
    return one


def _predictor(options: argparse.Namespace, protocol: str) -> PredictorAddress | None:
    given = options.predictor_host
    if not given:
        return None
    tls = options.predictor_use_ssl or given.startswith("https://")
    plain = given.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, colon, port = plain.rpartition(":")
    if not colon or not port.isdigit():
        host, port = plain, ""
    usual = 8081 if protocol == "grpc-v2" else 443 if tls else 80
    if not host or "/" in host:
        raise ValueError(f"the predictor's host {given[:100]!r}")
    return PredictorAddress(
        host, int(port) if port else usual, tls, options.predictor_request_timeout_seconds
    )


def _told(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"The environment variable {ABOUT} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidConfig(f"The environment variable {ABOUT} is no JSON object.")
    return value


def _last_words(error: KaleServeError) -> None:
    """Where Kubernetes takes a container's message from, and at the end of its log."""
    words = str(error).replace("\n", " ")[:_MAX_WORDS]
    with contextlib.suppress(OSError):
        # Only what the kubelet has made: a new file on /dev is nobody's.
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(words, "utf-8")
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _flag(text: str) -> bool:
    lower = text.strip().lower()
    if lower in ("y", "yes", "t", "true", "on", "1"):
        return True
    if lower in ("n", "no", "f", "false", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


if __name__ == "__main__":
    main(sys.argv[1:])
