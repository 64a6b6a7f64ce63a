"""How our own loaders get into a server that we did not write: what they need to know, and where they are imported from."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from kale_serve_lab.model_server import loaders
from kale_serve_lab.model_server.answers import Answers
from kale_serve_lab.model_server.foreign.launch import Given
from kale_serve_lab.model_server.spec import LaunchSpec

_FILE = "model.json"
_PACKAGE = Path(__file__).resolve().parents[2]


def hand_over(given: Given) -> dict[str, str]:
    """Write down what `load` reads in the server's process, and give the variables that its interpreter needs.

    Its import path gets a folder that holds nothing but a link to our package: of the daemon's environment only that is its
    own business.
    """
    spec = given.spec
    value = {
        "component": spec.component,
        "service": spec.service,
        "namespace": spec.namespace,
        "revision": spec.revision,
        "nonce": "",
        "artifact_dir": str(given.folder),
        "framework": spec.framework,
        "class_name": spec.class_name,
        "signature": None if spec.signature is None else spec.signature.to_json(),
        "method": spec.method,
        "listen_fd": -1,
        "control_fd": -1,
        "model_name": spec.model_name,
        "max_body_bytes": spec.max_body_bytes,
    }
    (given.work / _FILE).write_text(json.dumps(value))
    folder = given.work / "import"
    folder.mkdir()
    (folder / "kale_serve_lab").symlink_to(_PACKAGE)
    return {"PYTHONPATH": str(folder), "KALE_SERVE_WORK": str(given.work)}


def load(work: Path) -> Answers:
    """In the server's process: the model that was handed over.

    Where it does not load, the cause is the last line that is written, which is where our process looks for it.
    """
    spec = LaunchSpec.from_json(json.loads((work / _FILE).read_bytes()))
    try:
        return Answers(spec)
    except BaseException as error:  # a model file may raise SystemExit
        traceback.print_exc()
        failure = loaders.load_error(spec, error)
        sys.stderr.write(f"LoadError: {failure.message}\n")
        sys.stderr.flush()
        raise failure from error
