"""A file of PyTorch's that is not what it says is refused in words, and none runs code that nobody has declared."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import peers

HERE = Path(__file__).parent


def test_files_that_lie(tmp_path):
    ran = subprocess.run(
        [peers.python("torch"), HERE / "torch_files.py", tmp_path],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert not [case for case, (_, ran_code) in found.items() if ran_code]
    told = {case: text for case, (text, _) in found.items()}
    assert told.pop("program of another name") == "loaded ExportedModel"
    assert {text.partition(":")[0] for text in told.values()} == {"WrongFile"}, told
    for case in ("weights", "undeclared module", "evil torch.save", "evil undeclared"):
        assert "was written by torch.save" in told[case]
    assert "is no file of PyTorch's" in told["evil pickle"]
    assert "pickled parts" in told["evil sample"]
    assert "pickled parts" in told["evil weights"]
    assert "pickled parts" in told["evil constant"]
    assert "holds a dict, not a module" in told["declared, no module"]
