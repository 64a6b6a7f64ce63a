"""What an environment is called, and what is not to be told of how it was asked for. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from kale_serve_lab.serving.need import Need, distribution

# Part of every name: a change in how environments are made makes new ones.
_MAKING = 1
_USERINFO = re.compile(r"(://)[^\s/?#]*@")
_SECRET_NAME = re.compile(r"(UV|PIP)_.*(PASSWORD|TOKEN|USERNAME)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LONGEST_LINE = 160


def name_of(need: Need, platform: str) -> str:
    """The folder's name: what is asked for first, and the digest of all that is asked for, on this platform."""
    asked = {
        "making": _MAKING,
        "requirements": sorted(need.requirements),
        "pins": dict(sorted(need.pins.items())),
        "python": need.python,
        "platform": platform,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    return f"{distribution(need.requirements[0])[:40].strip('-')}-{digest}"


def masked(text: str, environment: Mapping[str, str]) -> str:
    """The text without the user names and passwords of addresses, and without those that the environment holds."""
    text = _USERINFO.sub(r"\1***@", text)
    for name, value in environment.items():
        if len(value) > 3 and _SECRET_NAME.fullmatch(name):
            text = text.replace(value, "***")
    return text


def plain(line: str) -> str:
    """One line of a program's progress without what steers a terminal, shortened."""
    # What follows the last carriage return is what a terminal would show.
    shown = _ANSI.sub("", line).rstrip("\r").rpartition("\r")[2].strip()
    shown = "".join(letter for letter in shown if letter.isprintable())
    return shown if len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 1] + "…"
