"""What every reference model does at its end: submit as a user's kernel would, and write down its own answer.

Run as `python FORMAT_model.py SDK RESULT` in an environment that need not hold our package: SDK is the folder that the
JupyterLab extension puts on a kernel's path, RESULT the file that the test reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SDK, RESULT = sys.argv[1], Path(sys.argv[2])
WORK = RESULT.parent
sys.path.append(SDK)


def submit(model: Any, rows: Any, answer: Any, **keywords: Any) -> None:
    """`rows`: an array or a frame; `answer`: an array, or several by the names of the model's outputs."""
    import kale_serve_lab as ksl

    artifact = ksl.Model(model=model, signature=rows, **keywords).submit_artifact()
    outputs = answer if isinstance(answer, dict) else {"": answer}
    record = {
        "id": artifact.id,
        "packages": artifact.artifact["environment"]["packages"],
        "rows": rows.to_dict("list") if hasattr(rows, "to_dict") else rows.tolist(),
        "dtype": str(rows.dtype) if hasattr(rows, "dtype") else None,
        "answer": {name: values.tolist() for name, values in outputs.items()},
        "protobuf": "google.protobuf" in sys.modules and sys.modules["google.protobuf"].__version__,
    }
    RESULT.write_text(json.dumps(record))
