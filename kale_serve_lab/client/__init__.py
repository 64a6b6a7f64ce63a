"""The daemon's API from the caller's side: `Client` for the SDK, `aio.AsyncClient` for the Jupyter handlers."""

from kale_serve_lab.client.sync import Client

__all__ = ["Client"]
