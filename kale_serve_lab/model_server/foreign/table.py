"""What the scripts of `bootstrap/` are to know of a model's columns."""

from __future__ import annotations

import json
from pathlib import Path

from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.model_server.foreign.bootstrap.kale_serve_table import FILE


def write(signature: Signature | None, work: Path) -> bool:
    """Write the names down where the input is a table; whether it is."""
    if signature is None or signature.layout != "columns":
        return False
    about = {"names": [column.name for column in signature.inputs], "named": signature.named}
    (work / FILE).write_text(json.dumps(about))
    return True
