"""Environments made on demand with uv, kept, listed and removed."""

from kale_serve_lab.backends.local.environments.kept import Environments, Made
from kale_serve_lab.backends.local.environments.manifest import Info
from kale_serve_lab.serving.need import Need

__all__ = ["Environments", "Info", "Made", "Need"]
