"""What was saved is loaded back in a fresh process: it must answer as the object does, in time, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from kale_serve_lab.artifacts import capture, check, savers
from kale_serve_lab.artifacts.check import Check
from kale_serve_lab.artifacts.discovery import signature_by
from kale_serve_lab.artifacts.submission import write_about
from kale_serve_lab.errors import SaveFailed

ROWS = np.random.default_rng(0).random((20, 3))
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c"])
TEXTS = FRAME.assign(colour=["red", None] * 10)


@pytest.fixture(autouse=True)
def nothing_left():
    # Other modules' children, also ended ones, are not this one's.
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def checked(model, folder, signature=None, methods=True, framework=None):
    framework = framework or savers.framework_of(model) or "python"
    saved = savers.saver(framework).save(model, folder, signature)
    write_about(folder, {"framework": framework, "format": saved.format})
    with closing(Check(framework)) as checking:
        own = savers.methods(model, framework) if methods else None
        return checking.run(folder, "mine", type(model).__name__, signature, own).said


def test_a_model_answers_as_before_whatever_its_rows_are(tmp_path):
    labels = np.array(["yes", "no"] * 10)
    forest = RandomForestClassifier(3, random_state=0).fit(FRAME, labels)
    assert (
        checked(forest, tmp_path, signature_by(forest, FRAME, "X"))
        == "loaded, and 5 rows predicted as before"
    )


class Holes:
    """Answers missing numbers, texts, and truth."""

    def predict(self, rows):
        return np.where(np.asarray(rows["a"]) > 0.5, np.nan, rows["a"])

    def predict_proba(self, rows):
        return np.array([[str(colour), "x"] for colour in rows["colour"]], dtype=object)


def test_missing_numbers_and_texts_are_equal_to_themselves(tmp_path):
    signature = capture.signature_from(TEXTS)
    assert "as before" in checked(Holes(), tmp_path, signature)


def test_a_function_and_a_model_without_a_sample(tmp_path):
    def double(rows):
        return np.asarray(rows) * 2

    assert "5 rows predicted as before" in checked(double, tmp_path, capture.signature_from(ROWS))
    (tmp_path / "second").mkdir()
    assert checked(Holes(), tmp_path / "second") == "loaded"


COUNTER = {"calls": 0}


class Elsewhere:
    """Answers what only this process knows."""

    def __init__(self):
        self.pid = os.getpid()

    def predict(self, rows):
        answer = np.zeros(len(rows))
        if os.getpid() != self.pid:
            answer[3] = 7
        return answer


class Raises(Elsewhere):
    def predict(self, rows):
        if os.getpid() != self.pid:
            raise RuntimeError("colour blind")
        return super().predict(rows)


class Random:
    def predict(self, rows):
        return np.random.default_rng().random(len(rows))


def test_the_first_row_that_differs_is_named(tmp_path):
    signature = capture.signature_from(ROWS)
    with pytest.raises(SaveFailed) as raised:
        checked(Elsewhere(), tmp_path, signature)
    assert "predict, row 3: 0.0 became 7.0" in raised.value.message
    assert (raised.value.subject, raised.value.details["stage"]) == ("mine", "check")
    assert raised.value.hint
    with pytest.raises(SaveFailed, match="in a fresh process: RuntimeError: colour blind") as raised:
        checked(Raises(), tmp_path, signature)
    assert any("colour blind" in line for line in raised.value.details["log_tail"])
    assert "differently each time" in checked(Random(), tmp_path, signature)


def test_what_the_model_itself_cannot_predict_is_no_fault_of_its_file(tmp_path):
    class Refuses:
        def predict(self, rows):
            raise ValueError("never")

    assert "cannot be predicted by the model itself" in checked(
        Refuses(), tmp_path, capture.signature_from(ROWS)
    )


class Breaks:
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return (exec, (self.how,))

    def predict(self, rows):
        return rows


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("import os; os._exit(7)", r"ended its process \(exit status 7\)"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            r"ended its process \(killed by SIGSEGV\)",
        ),
        ("raise SystemExit('enough')", "SystemExit: enough"),
        ("import nothing_such", "needs the package 'nothing_such', which is not installed"),
        ("print('{\"outputs\": {}}')\nraise RuntimeError('after all')", "RuntimeError: after all"),
    ],
)
def test_a_load_that_ends_badly_is_told(how, says, tmp_path):
    with pytest.raises(SaveFailed, match=says) as raised:
        checked(Breaks(how), tmp_path)
    assert raised.value.hint


def test_a_load_that_never_ends_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "SECONDS", 2.0)
    note = tmp_path / "child"
    how = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\ntime.sleep(3600)"
    )
    (tmp_path / "model").mkdir()
    with pytest.raises(SaveFailed, match="took longer than 2 s"):
        checked(Breaks(how), tmp_path / "model")
    # On a busy machine it may not have come so far.
    if note.exists():
        with pytest.raises(psutil.NoSuchProcess):
            psutil.Process(int(note.read_text())).wait(30)
            psutil.Process(int(note.read_text()))


def test_a_save_that_fails_leaves_no_process():
    with pytest.raises(KeyboardInterrupt), closing(Check("sklearn")) as checking:
        pid = checking._process.pid
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_files_whose_framework_is_missing_here_are_not_refused(tmp_path):
    """An environment that is made for them may have it."""
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function: {}\n")
    with closing(Check("mlflow")) as checking:
        said = checking.run(tmp_path, "given", None, None).said
    assert said.startswith("not loaded here: MLflow models are loaded by the package mlflow")
    assert sys.executable in said


def test_files_that_cannot_predict_their_sample_are_refused(tmp_path):
    model = LogisticRegression().fit(ROWS, [0, 1] * 10)
    signature = capture.signature_from(np.zeros((3, 5)))
    with pytest.raises(SaveFailed, match="cannot predict its sample: ValueError"):
        checked(model, tmp_path, signature, methods=False)
