"""The extension's probe in a real kernel, also while a cell runs."""

import json
import queue
import time

import pytest
from jupyter_client import KernelManager

from kale_serve_lab import notebook

SETUP = """
from sklearn.linear_model import LogisticRegression
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
X_train, y = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=500).fit(X_train, y)
other = LogisticRegression()
class Hostile:
    def __repr__(self): raise SystemExit("asked")
    @property
    def predict(self): raise SystemExit("asked")
hostile = Hostile()
def area(rows):
    return rows["sepal length (cm)"] * rows["sepal width (cm)"]
class Ruler:
    def predict(self, rows):
        return area(rows)
ruler = Ruler()
"""
CELL = "model = LogisticRegression(max_iter=500).fit(X_train, y)"


@pytest.fixture
def kernel(home):
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def ask(client, code, channel="shell", header=None):
    expression = f'__import__("kale_serve_lab.notebook", fromlist=["_"]).{code}'
    content = {
        "code": "",
        "silent": True,
        "store_history": False,
        "user_expressions": {"answer": expression},
        "allow_stdin": False,
    }
    message = client.session.msg("execute_request", content)
    message["header"].update(header or {})
    client.shell_channel.send(message)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            reply = client.get_shell_msg(timeout=1)
        except queue.Empty:
            continue
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return reply["content"]["user_expressions"]["answer"]["data"]["application/json"]
    raise AssertionError("no answer")


def test_models_are_found_and_submitted(kernel, home):
    kernel.execute_interactive(SETUP, timeout=60, output_hook=lambda message: None)
    answer = ask(kernel, f"find_models({CELL!r})")
    assert answer["error"] is None
    first, third, second = sorted(answer["models"], key=lambda found: found["problem"] or "")
    assert (third["variable"], third["framework"], third["summary"]) == ("ruler", "python", "Ruler")
    assert third["sample"] is None
    assert first["variable"] == "model"
    assert first["in_cell"]
    assert first["fitted"]
    assert first["summary"] == "LogisticRegression, fitted on X_train (150 x 4)"
    assert first["sample"] == {"variable": "X_train", "rows": 5, "text": "5 rows of X_train, 4 named columns"}
    assert (first["name"], first["version"]) == ("logistic-regression", "1.0.0")
    assert second["problem"] == "other: LogisticRegression is not fitted yet."
    json.dumps(answer)
    done = ask(kernel, "submit('model', name='iris', sample='X_train', tags={'stage': 'test'})")
    assert done["artifact"]["name"] == "iris"
    assert done["artifact"]["signature"]["source"] == "5 rows of X_train"
    assert [stage["name"] for stage in done["stages"]] == ["package", "check", "store"]
    # The rows of a Python object are those that a cell has called it with; its code lives in the notebook alone.
    kernel.execute_interactive(
        "ruler.predict(X_train)", timeout=60, store_history=True, output_hook=lambda message: None
    )
    (ruler,) = (found for found in ask(kernel, "find_models()")["models"] if found["variable"] == "ruler")
    assert ruler["sample"]["variable"] == "X_train"
    done = ask(kernel, "submit('ruler', name='ruler', sample='X_train')")
    assert done["artifact"]["properties"]["checked"] == "loaded, and 5 rows predicted as before"
    (source,) = (home / "data" / "store" / "trees").rglob("source/notebook.py")
    assert "class Ruler:" in source.read_text()
    assert "def area(rows):" in source.read_text()
    assert ask(kernel, "submit('nothing')")["error"]["code"] == "NotFound"
    assert ask(kernel, "submit('other')")["error"]["code"] == "UnsupportedModel"


def test_the_probe_answers_while_a_cell_runs(kernel):
    kernel.execute_interactive(SETUP, timeout=60, output_hook=lambda message: None)
    message = kernel.session.msg("create_subshell_request", {})
    kernel.control_channel.send(message)
    subshell = kernel.get_control_msg(timeout=20)["content"]["subshell_id"]
    kernel.execute("import time\nfor i in range(200):\n    globals()[f'v{i}'] = i\n    time.sleep(0.1)")
    answer = ask(kernel, f"find_models({CELL!r})", header={"subshell_id": subshell})
    assert answer["models"][0]["variable"] == "model"


def test_serve_shows_one_display_that_changes(kernel):
    shown = []
    kernel.execute_interactive(SETUP, timeout=60, output_hook=lambda message: None)
    code = "from kale_serve_lab import serve\nisvc = serve(model, name='<b>')"
    kernel.execute_interactive(code, timeout=60, output_hook=shown.append)
    assert [m["content"]["ename"] for m in shown if m["msg_type"] == "error"] == ["InvalidName"]
    shown.clear()
    kernel.execute_interactive("isvc = serve(model, name='iris')\nisvc", timeout=60, output_hook=shown.append)
    kinds = [m["msg_type"] for m in shown]
    assert "error" not in kinds, shown
    assert kinds.count("display_data") == 1
    assert "update_display_data" in kinds
    last = [m for m in shown if m["msg_type"] == "update_display_data"][-1]["content"]["data"]["text/html"]
    assert "iris answers predictions" in last
    assert "package" in last
    result = next(m for m in shown if m["msg_type"] == "execute_result")["content"]["data"]
    assert "<b>iris</b>" in result["text/html"]
    assert result["text/plain"] == "InferenceService('iris', revision 1: Ready)"


def test_nothing_is_raised_whatever_is_asked():
    assert notebook.find_models("%%bash\nthis is (not python")["error"] is None
    assert notebook.submit("nothing")["error"]["message"]
