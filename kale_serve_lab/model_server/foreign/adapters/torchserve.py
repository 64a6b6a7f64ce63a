"""TorchServe 0.12: a Java server with one Python worker, v1 and v2 over HTTP on a Unix socket.

Its own starter, `torchserve`, allows one server a machine (a pid file in the system's temporary folder) and returns at once:
Java is started directly. Its gRPC takes no raw tensors, and is not offered; it listens nevertheless, on loopback, for
predictions and for management. That is why its token authorization stays on: without it every user of the machine could have it
load code. What of its files would lie in the system's temporary folder, shared by all, lies in `work`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from kale_serve_lab.errors import ModelLoadFailed, ProgramMissing
from kale_serve_lab.model_server.foreign import own_model
from kale_serve_lab.model_server.foreign.bootstrap import script
from kale_serve_lab.model_server.foreign.launch import Given, Launch

_HANDLER = "torchserve_handler.py"
# Java is short-lived and little used: what is compiled and collected carefully would not pay for itself.
_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xss512k")
_LARGEST_BODY = (1 << 31) - 1
_TEN_YEARS_IN_MINUTES = 5_256_000
_VERSION = "1.0"


def prepare(given: Given) -> Launch:
    """A model archive, the properties and the log's form in `work`."""
    spec, work = given.spec, given.work
    if spec.framework != "pytorch":
        raise ModelLoadFailed(
            f"{spec.service}: TorchServe serves PyTorch models, not {spec.framework or 'a model without a format'}.",
            subject=spec.service,
            hint="Serve it with another runtime, or with none: the built-in server takes it.",
        )
    java = given.runtime.programs.get("java")
    if java is None:
        raise ProgramMissing(
            f"{spec.service}: TorchServe needs Java 11 or newer, and there is no java on PATH.",
            subject=spec.service,
            hint="Install a Java runtime (Debian and Ubuntu: default-jre-headless), or serve the model without a runtime.",
        )
    home = _home(given)
    archive = _archive(work / "store", spec.model_name)
    (work / "config.properties").write_text(_properties(given, archive))
    (work / "log4j2.xml").write_text(_LOG)
    variables = own_model.hand_over(given)
    predictions = f"/predictions/{spec.model_name}/{_VERSION}/"
    return Launch(
        argv=[
            java,
            *_JAVA,
            f"-Djava.io.tmpdir={work}",
            f"-Dmodel_server_home={home}",
            f"-Dlog4j.configurationFile={(work / 'log4j2.xml').as_uri()}",
            "-cp",
            str(home / "ts" / "frontend" / "*"),
            "org.pytorch.serve.ModelServer",
            "--python",
            str(given.python),
            "-f",
            str(work / "config.properties"),
            "-s",
            str(archive.parent),
            "-ncs",
        ],
        env=variables | {"LOG_LOCATION": str(work), "METRICS_LOCATION": str(work)},
        http=given.http_socket,
        headers=partial(_token, work / "key_file.json"),
        # A prediction that predicts nothing: it waits for the worker, of which `/ping` knows nothing yet.
        ready_path=predictions + "ready",
        paths={"v1": predictions + "v1", "v2": predictions + "v2"},
        version=_version(home),
    )


def _home(given: Given) -> Path:
    """The folder of the environment that holds the package `ts`."""
    found = sorted(
        given.python.parent.parent.glob("lib/python3.*/site-packages/ts/frontend/model-server.jar")
    )
    if not found:
        raise ModelLoadFailed(
            f"{given.spec.service}: there is no TorchServe in {given.python.parent.parent}.",
            subject=given.spec.service,
            hint="Remove that environment (kale-serve environments --remove …); it is made anew.",
        )
    return found[0].parents[2]


def _version(home: Path) -> str | None:
    path = home / "ts" / "version.txt"
    return path.read_text().strip() if path.is_file() else None


def _archive(store: Path, name: str) -> Path:
    """The model archive that torch-model-archiver would make; the model itself stays where it is."""
    store.mkdir()
    manifest = {
        "runtime": "python",
        "createdOn": "01/01/1970 00:00:00",
        "archiverVersion": "0.12.0",
        "model": {"modelName": name, "modelVersion": _VERSION, "handler": _HANDLER},
    }
    with zipfile.ZipFile(store / f"{name}.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.write(script(_HANDLER), _HANDLER)
    return store / f"{name}.mar"


def _properties(given: Given, archive: Path) -> str:
    size = min(given.spec.max_body_bytes, _LARGEST_BODY)
    settings = {
        "inference_address": f"unix:{given.http_socket}",
        "management_address": f"unix:{given.work / 'management.sock'}",
        "metrics_address": f"unix:{given.work / 'metrics.sock'}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_inference_port": given.grpc_port,
        "grpc_management_address": "127.0.0.1",
        "grpc_management_port": given.http_port,
        "disable_token_authorization": "false",
        "token_expiration_min": _TEN_YEARS_IN_MINUTES,
        "enable_envvars_config": "false",
        "enable_model_api": "false",
        "allowed_urls": f"file://{archive.parent}/.*",
        # Bodies go to the handler as they came.
        "decode_input_request": "false",
        "install_py_dep_per_model": "false",
        "enable_metrics_api": "false",
        # A process each minute that nobody reads.
        "disable_system_metrics": "true",
        "model_store": archive.parent,
        "load_models": archive.name,
        "default_workers_per_model": 1,
        "number_of_netty_threads": 2,
        "netty_client_threads": 1,
        "job_queue_size": 1000,
        "default_response_timeout": 3600,
        "max_request_size": size,
        "max_response_size": size,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _token(path: Path) -> Mapping[str, str]:
    """The key for predictions, which TorchServe writes as it starts."""
    try:
        key = json.loads(path.read_bytes())["inference"]["key"]
    except (OSError, ValueError, KeyError):
        return {}
    return {"Authorization": f"Bearer {key}"}


# Warnings and the worker's own words; TorchServe writes a dozen lines of metrics a request.
_LOG = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <Console name="server" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %p torchserve: %m%n"/></Console>
    <Console name="worker" target="SYSTEM_OUT"><PatternLayout pattern="%m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="warn"><AppenderRef ref="server"/></Root>
    <Logger name="io.netty" level="error"/>
    <Logger name="MODEL_LOG" level="info" additivity="false"><AppenderRef ref="worker"/></Logger>
  </Loggers>
</Configuration>
"""
