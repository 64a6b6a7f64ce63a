"""The Python of a page of docs/ runs, block after block, as a reader would type it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kale_serve_lab.serving.runtimes import why_not
from kale_serve_lab.serving.serving_runtime import from_yaml

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["sdk.md", "local-serving.md"])
def test_a_pages_code_runs(home, page):
    code = "\n".join(BLOCK.findall((DOCS / page).read_text()))
    assert code
    script = home / "page.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, cwd=home
    )
    assert done.returncode == 0, done.stderr


def test_the_runtime_of_the_page_is_one():
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "runtimes.md").read_text(), re.MULTILINE | re.DOTALL)
    runtime = from_yaml(text, "my-server.yaml")
    assert runtime.requirements == ("tornado", "joblib", "scikit-learn")
    assert runtime.ignored == ()
    assert why_not(runtime, "sklearn", "v1") is None
