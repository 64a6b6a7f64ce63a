"""The Jupyter server extension: thin handlers that hold no state of their own in front of the daemon."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from kale_serve_lab.jupyter.app import KaleServeApp

    return [{"module": "kale_serve_lab.jupyter.app", "app": KaleServeApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "kale-serve-lab"}]
