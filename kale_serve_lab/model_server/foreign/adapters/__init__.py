"""One module a server: from an artifact's folder to the command that serves it.

An adapter is a function `prepare(given) -> Launch`. It writes what the server wants to read into `given.work`, starts nothing,
and raises our errors (`ModelLoadFailed`, with a sentence) for an artifact that its server cannot take.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server.foreign.launch import Given, Launch

ADAPTERS = ("mlserver", "kserve", "torchserve", "triton", "tensorflow_serving", "command")


class Adapter(Protocol):
    """A module of this package."""

    def prepare(self, given: Given) -> Launch:
        """See the package."""


def adapter(name: str) -> Adapter:
    """Raises `ModelLoadFailed` for a name that is none of them."""
    if name not in ADAPTERS:
        raise ModelLoadFailed(
            f"There is no adapter {name!r}.", subject=name, hint=f"There are {', '.join(ADAPTERS)}."
        )
    return cast("Adapter", importlib.import_module(f"{__name__}.{name}"))
