"""A real Jupyter server with the extension, in front of a real daemon in a private home."""

from __future__ import annotations

import pytest


@pytest.fixture
def jp_server_config(home):
    """`home` first: the extension finds the daemon through its environment."""
    return {"ServerApp": {"jpserver_extensions": {"kale_serve_lab": True}}}
