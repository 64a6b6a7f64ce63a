"""What a version of KServe takes, as far as the object that we write depends on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Version = tuple[int, int]
Mode = Literal["Standard", "Knative"]

OLDEST: Version = (0, 15)
NEWEST: Version = (0, 20)
# Before 0.16 only the older names were known; since then they are rewritten into the present ones.
_OLDER_NAMES: dict[Mode, str] = {"Standard": "RawDeployment", "Knative": "Serverless"}
_MODES: dict[str, Mode] = {
    "Standard": "Standard",
    "RawDeployment": "Standard",
    "Knative": "Knative",
    "Serverless": "Knative",
}


@dataclass(frozen=True)
class Features:
    """`canary_list`: Standard's `spec.canary[]`; `storage_uris`: several of them; `present_mode_names`: Standard, Knative."""

    version: Version
    canary_list: bool
    storage_uris: bool
    present_mode_names: bool

    @classmethod
    def of(cls, version: Version | None) -> Features:
        """Those of a version, (major, minor); None: the newest that is known here."""
        known = version or NEWEST
        return cls(known, known >= (0, 20), known >= (0, 17), known >= (0, 16))

    def mode_name(self, mode: Mode) -> str:
        """What this version calls the mode in its annotation."""
        return mode if self.present_mode_names else _OLDER_NAMES[mode]


def mode_of(name: str | None) -> Mode | None:
    """The mode by its present or older name; None where there is none of that name."""
    return _MODES.get(name or "")


MODE_NAMES = tuple(_MODES)
