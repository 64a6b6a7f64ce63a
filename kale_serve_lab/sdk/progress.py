"""What `serve()` and `.wait()` show while a service starts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from kale_serve_lab.sdk.showing import as_html, remark, shortened, stage_text


class Progress:
    """Progress by stage: in a notebook one display that changes, elsewhere a line on stderr for each stage."""

    def __init__(self) -> None:
        self._display: Any = None
        self._said: set[str] = set()
        self._begun: set[str] = set()
        self._submitted: list[dict[str, Any]] = []
        self._remarks: tuple[dict[str, Any], ...] = ()
        self._notebook = "ipykernel" in sys.modules and _in_kernel()

    def submitted(self, seconds: Mapping[str, float]) -> None:
        """How long the submission's own stages took."""
        self._submitted = [
            {"name": stage, "state": "done", "message": "", "seconds": took}
            for stage, took in seconds.items()
        ]

    def remarks(self, findings: tuple[dict[str, Any], ...]) -> None:
        """What preflight has to say of what is being served."""
        self._remarks = findings
        if not self._notebook:
            for finding in findings:
                say(f"! {remark(finding)}")

    def show(self, service: dict[str, Any]) -> None:
        """The service as it is now."""
        stages = _with_submitted(service["stages"], self._submitted)
        if self._notebook:
            self._update(as_html({**service, "stages": stages}, self._remarks))
            return
        for stage in stages:
            if stage["state"] == "running" and stage.get("message"):
                # Minutes may pass here: its lines say that something goes on, or what is waited for.
                line = f"{service['name']}: {stage['name']}: {shortened(stage['message'])}"
                # An upload's every megabyte is no line.
                if line not in self._said and not (stage["name"] == "store" and "store" in self._begun):
                    self._begun.add(stage["name"])
                    self._said.add(line)
                    say(line)
            if stage["state"] in ("done", "failed") and stage["name"] not in self._said:
                self._said.add(stage["name"])
                say(f"{service['name']}: {stage_text(stage)}")
        if service["state"] == "Ready" and "Ready" not in self._said:
            self._said.add("Ready")
            say(f"{service['name']}: {service['sentence']}")

    def failed(self, tail: list[str]) -> None:
        """The end of the log, where no display holds it already."""
        if not self._notebook:
            for line in tail:
                say(f"  | {line}")

    def _update(self, content: str) -> None:
        from IPython import display

        shown: Any = display
        if self._display is None:
            self._display = shown.display(shown.HTML(content), display_id=True)
        else:
            self._display.update(shown.HTML(content))


def say(text: str) -> None:
    """One line on stderr, where there is one."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _with_submitted(stages: list[dict[str, Any]], submitted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A service's stages with those of its submission, whose times only the submitting process knows."""
    names = {stage["name"] for stage in submitted}
    return [*submitted, *(stage for stage in stages if stage["name"] not in names)]


def _in_kernel() -> bool:
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
