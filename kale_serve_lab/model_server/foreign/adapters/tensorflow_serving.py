"""TensorFlow Serving: `tensorflow_model_server` from PATH, its own PredictionService over gRPC on a Unix socket, v1 over HTTP.

Its HTTP listens on every address of the machine and cannot be told otherwise: it is opened for a service of protocol v1 only,
and the log says so.
"""

from __future__ import annotations

import logging

from kale_serve_lab.errors import ModelLoadFailed, ProgramMissing
from kale_serve_lab.model_server.foreign.launch import Given, Launch

PROGRAM = "tensorflow_model_server"
_HOUR_MS = 3_600_000

log = logging.getLogger("kale_serve_lab.model_server")


def prepare(given: Given) -> Launch:
    """The artifact's folder holds the SavedModel under its version's number, which is the form that the server wants."""
    spec = given.spec
    if spec.framework != "tensorflow":
        raise ModelLoadFailed(
            f"{spec.service}: TensorFlow Serving serves TensorFlow models, not {spec.framework or 'a model without a format'}.",
            subject=spec.service,
            hint="Serve it with another runtime, or with none: the built-in server takes it.",
        )
    program = given.runtime.programs.get(PROGRAM)
    if program is None:
        raise ProgramMissing(
            f"{spec.service}: TensorFlow Serving needs the program {PROGRAM}, which is not on PATH.",
            subject=spec.service,
            hint="No Python package has it: install Google's Debian package tensorflow-model-server, or copy "
            f"/usr/bin/{PROGRAM} out of the image tensorflow/serving; or serve the model without a runtime.",
        )
    versions = [
        path for path in given.folder.iterdir() if path.name.isdigit() and (path / "saved_model.pb").is_file()
    ]
    if len(versions) != 1:
        raise ModelLoadFailed(
            f"{spec.service}: one folder <number>/saved_model.pb is expected in the artifact, there are {len(versions)}.",
            subject=spec.service,
            hint="Submit the model again.",
        )
    # A folder of its own: the server takes every number that it finds for a version, now and later.
    base = given.work / "model"
    base.mkdir()
    (base / versions[0].name).symlink_to(versions[0])
    over_http = spec.protocol == "v1"
    if over_http:
        log.warning(
            "%s: TensorFlow Serving listens for HTTP on every address of this machine, port %s: whoever reaches it can ask for "
            'predictions. ServeConfig(protocol_version="grpc-v1") opens no port.',
            spec.service,
            given.http_port,
        )
    version = versions[0].name
    return Launch(
        argv=[
            program,
            f"--model_name={spec.model_name}",
            f"--model_base_path={base}",
            # gRPC's port, which would be open to the network as well.
            "--port=0",
            f"--grpc_socket_path={given.grpc_socket}",
            f"--rest_api_port={given.http_port if over_http else 0}",
            f"--rest_api_timeout_in_ms={_HOUR_MS}",
            # The artifact never changes; without this the folder is looked at each second.
            "--file_system_poll_wait_seconds=0",
            # A model that does not load is tried five more times, a minute apart.
            "--max_num_load_retries=0",
        ],
        env={"TF_CPP_MIN_LOG_LEVEL": "1"},
        http=("127.0.0.1", given.http_port) if over_http else given.grpc_socket,
        grpc=f"unix:{given.grpc_socket}",
        grpc_protocol="grpc-v1",
        # Its gRPC listens once the model is loaded.
        ready_path=f"/v1/models/{spec.model_name}/versions/{version}" if over_http else None,
        paths={"v1": f"/v1/models/{spec.model_name}:predict"} if over_http else {},
    )
