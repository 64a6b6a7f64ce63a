"""Where artifacts are made: a notebook, a script, or a step of a pipeline. One session a process."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_PIPELINE = (("KFP_RUN_ID", "KFP_POD_NAME"), ("ARGO_WORKFLOW_NAME", "ARGO_NODE_ID"))


@cache
def _own_id() -> str:
    return uuid.uuid4().hex


def session(
    environment: Mapping[str, str] | None = None, namespace: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """`{"kind": "notebook|script|pipeline", "name", "id"}` of this process.

    A pipeline step is known by the variables that Kubeflow Pipelines and Argo set. A notebook by its path from Jupyter
    (`JPY_SESSION_NAME`), VS Code or papermill, else by its kernel alone.
    """
    env = os.environ if environment is None else environment
    names = vars(sys.modules["__main__"]) if namespace is None else namespace
    for run, step in _PIPELINE:
        if env.get(run):
            return {"kind": "pipeline", "name": env[run], "id": env.get(step) or env[run]}
    path = env.get("JPY_SESSION_NAME") or names.get("__vsc_ipynb_file__") or names.get("PAPERMILL_INPUT_PATH")
    if isinstance(path, str) and path:
        return {"kind": "notebook", "name": Path(path).name, "id": _own_id()}
    if "get_ipython" in names or "ipykernel" in sys.modules:
        return {"kind": "notebook", "name": "notebook", "id": _own_id()}
    script = sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-", "-c", "-m") else "python"
    return {"kind": "script", "name": Path(script).name or "python", "id": _own_id()}
