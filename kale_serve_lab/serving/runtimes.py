"""The table of runtimes, and KServe's rule to choose from it: format and protocol match, then priority."""

from __future__ import annotations

from dataclasses import dataclass

from kale_serve_lab.errors import UnsupportedModel


@dataclass(frozen=True)
class Runtime:
    """A kind of model server. Of several that fit, the highest `priority` is taken."""

    name: str
    formats: tuple[str, ...]
    protocols: tuple[str, ...]
    priority: int


RUNTIMES: tuple[Runtime, ...] = (
    Runtime(
        name="kale-built-in",
        formats=("sklearn", "xgboost", "lightgbm"),
        protocols=("v1", "v2"),
        priority=1,
    ),
)


def select(model_format: str | None, protocol: str, name: str | None = None) -> Runtime:
    """The runtime for a model's format and a protocol; with `name` that one or none. Raises `UnsupportedModel`."""
    fitting = [
        runtime
        for runtime in RUNTIMES
        if model_format in runtime.formats and protocol in runtime.protocols and name in (None, runtime.name)
    ]
    if not fitting:
        named = f"The runtime {name!r}" if name else "No runtime"
        known = ", ".join(sorted({known for runtime in RUNTIMES for known in runtime.formats}))
        raise UnsupportedModel(
            f"{named} serves {model_format or 'a model without a format'} over {protocol}.",
            subject=model_format,
            hint=f"Formats that can be served: {known}; runtimes: {', '.join(runtime.name for runtime in RUNTIMES)}.",
        )
    return max(fitting, key=lambda runtime: runtime.priority)
