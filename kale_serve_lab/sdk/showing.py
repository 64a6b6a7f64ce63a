"""A service as text: its line on stderr, and its HTML in a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

# An installer's line may name all that it installs.
_LONGEST_LINE = 120
_MARKS = {"done": "✓", "failed": "✗", "running": "…", "waiting": "·"}
_COLOURS = {"Ready": "--jp-success-color1", "Failed": "--jp-error-color1"}


def as_html(service: dict[str, Any], findings: tuple[dict[str, Any], ...]) -> str:
    """Everything in it is text that others have written: escaped, all of it."""

    def text(value: Any) -> str:
        return html.escape(str(value))

    colour = _COLOURS.get(service["state"], "--jp-ui-font-color2")
    stages = " &nbsp; ".join(
        f"<span title='{text(stage.get('message') or '')}'>{_MARKS.get(stage['state'], '')} {text(stage['name'])}"
        + (
            f" <small>{stage['seconds']:.2f} s</small>"
            if isinstance(stage.get("seconds"), int | float)
            else ""
        )
        + "</span>"
        for stage in service["stages"]
    )
    error = service.get("error")
    tail = (error or {}).get("details", {}).get("log_tail") or []
    cause = f"<pre style='margin:4px 0 0'>{text(chr(10).join(map(str, tail)))}</pre>" if tail else ""
    step = f"<div>{text(service['next_step'])}</div>" if service.get("next_step") else ""
    making = next(
        (
            stage
            for stage in service["stages"]
            if stage["state"] == "running"
            and stage.get("message")
            # The sentence has said what the others say.
            and stage["message"] not in service["sentence"]
        ),
        None,
    )
    going_on = (
        f"<div style='color:var(--jp-ui-font-color2)' title='{text(making['message'])}'>{text(shortened(making['message']))}</div>"
        if making
        else ""
    )
    remarks = "".join(f"<div>! {text(remark(finding))}</div>" for finding in findings)
    server = f"{service['runtime']} · {', '.join(service['protocols'])}{_place(service)}"
    return (
        "<div style='font-variant-numeric:tabular-nums'>"
        f"<div><b>{text(service['name'])}</b> &nbsp;"
        f"<span style='color:var({colour})'>{text(service['state'])}</span> &nbsp;{text(service['sentence'])}</div>"
        f"{step}<div style='color:var(--jp-ui-font-color2)'>{text(server)}</div>"
        f"<div style='color:var(--jp-ui-font-color2)'>{stages}</div>{going_on}{remarks}{cause}{_told(service, text)}</div>"
    )


def _place(service: Mapping[str, Any]) -> str:
    if (service.get("target") or "local") == "local":
        return ""
    return f" · {service['target']} · {service['namespace']}"


def _times(count: int) -> str:
    return f" <small>{count} times</small>" if count > 1 else ""


def _told(service: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    """What a cluster tells besides: who has changed what, what has happened, and that it is silent."""
    drift = ", ".join(service.get("drift") or ())
    changed = f"<div>Changed by others: {text(drift)}</div>" if drift else ""
    stale = (
        "<div>The cluster does not answer: this was seen last.</div>" if service.get("stale_since") else ""
    )
    facts = "".join(
        f"<li>{text(fact['what'])}{_times(fact['count'])}</li>" for fact in service.get("facts") or ()
    )
    events = f"<details><summary>What the cluster tells</summary><ul>{facts}</ul></details>" if facts else ""
    return f"{stale}{changed}{events}"


def stage_text(stage: dict[str, Any]) -> str:
    """Such as "load done in 0.31 s"; seconds are the stage's own."""
    took = stage.get("seconds")
    message = stage.get("message")
    return (
        f"{stage['name']} {stage['state']}"
        + (f" in {took:.2f} s" if isinstance(took, int | float) else "")
        + (f": {message}" if message else "")
    )


def remark(finding: Mapping[str, Any]) -> str:
    """What preflight has found, and its fix, in one line."""
    return " ".join(filter(None, [finding["message"], finding.get("fix")]))


def shortened(line: str) -> str:
    """A line of at most 120 letters."""
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
