"""Serving on this machine: a process a component, Unix sockets, and a file system that is the router."""

from __future__ import annotations

from kale_serve_lab.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
