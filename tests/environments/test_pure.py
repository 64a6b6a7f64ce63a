"""What an interpreter has; what uv says in our words; what must not be told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kale_serve_lab.backends.local.environments import failures, look, naming
from kale_serve_lab.backends.local.environments.programs import uv_command
from kale_serve_lab.backends.local.environments.running import Ended
from kale_serve_lab.errors import EnvironmentFailed, StoreFull


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    place = tmp_path_factory.mktemp("interpreter") / "bare"
    subprocess.run([*uv_command(), "venv", "-q", "--python", sys.executable, str(place)], check=True)
    return place


def test_what_an_interpreter_lacks_is_asked_again_once_its_packages_change(bare):
    interpreters, python = look.Interpreters(), str(bare / "bin" / "python")
    assert interpreters.look(python, ("json", "late")).missing == ("late",)
    [site] = bare.glob("lib/python3*/site-packages")
    (site / "late.py").write_text("raise SystemExit('it is only looked for')")
    assert interpreters.look(python, ("json", "late")).missing == ()
    about = site / "late-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.5\n")
    assert look.versions(python, ("late", "numpy")) == {"late": "1.5"}


def test_an_interpreter_that_is_gone_or_answers_nothing_is_not_there(tmp_path):
    interpreters = look.Interpreters()
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexit 1\n")
    assert not interpreters.look(str(silent)).there
    silent.chmod(0o700)
    assert interpreters.look(str(silent)).there
    assert not interpreters.look(str(silent), ("json",)).there
    assert not interpreters.look("/nowhere/python", ("json",)).there


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        (["error: failed to write: No space left on device (os error 28)"], StoreFull, "no room"),
        (["OSError: [Errno 28] No space left on device"], StoreFull, "are free"),
        (
            ["ERROR: No matching distribution found for torch==9.9"],
            EnvironmentFailed,
            "package torch==9.9 is not",
        ),
        (
            [
                "error: No solution found when resolving dependencies",
                "cause: Because a depends on b<1 and b>2, ...",
            ],
            EnvironmentFailed,
            "do not go together",
        ),
        (["error: Request failed", "cause: dns error"], EnvironmentFailed, "cannot be reached"),
        (["error: No interpreter found for Python 3.13"], EnvironmentFailed, "needs a Python"),
        (["what nobody has foreseen"], EnvironmentFailed, "ended with status 2. what nobody"),
        ([], EnvironmentFailed, "ended with status 2"),
    ],
)
def test_what_an_installer_says_last_becomes_an_error_of_ours(tmp_path, lines, kind, words):
    error = failures.from_output(Ended(2, tuple(lines)), "tiny", tmp_path / "tiny-1")
    assert type(error) is kind
    assert words in error.message
    assert error.to_json()


def test_a_killed_installer_is_told_by_its_signal(tmp_path):
    assert "signal 9" in failures.from_output(Ended(-9, ()), "tiny", tmp_path / "x").message


def test_the_least_important_pin_that_is_named_is_dropped_first():
    pins = {"scikit-learn": "1.9.1", "numpy": "2.4.0", "scipy": "1.17.1"}
    said = (
        "cause: Because mlserver depends on numpy<2 and you require numpy==2.4.0 and scikit_learn==1.9.1, ...",
    )
    assert failures.conflicting(said, pins) == "numpy"
    assert failures.conflicting(("it does not say",), pins) == "scipy"
    assert failures.conflicting(said, {}) is None


def test_no_secret_of_an_address_or_of_the_environment_is_told():
    environment = {"UV_INDEX_OURS_PASSWORD": "s3cret!", "PIP_TOKEN": "tok-123", "HOME": "/home/me"}
    text = (
        "fetch https://bob:p@ss@index.example/simple with s3cret! and tok-123 from /home/me; ssh git@example"
    )
    told = naming.masked(text, environment)
    assert told == "fetch https://***@index.example/simple with *** and *** from /home/me; ssh git@example"


def test_a_line_of_progress_is_plain_and_short():
    assert naming.plain("\x1b[2mResolved \x1b[1m3 packages\x1b[0m\r\n".rstrip("\n")) == "Resolved 3 packages"
    assert naming.plain("10%\r50%\r100% torch") == "100% torch"
    assert len(naming.plain("x" * 500)) == naming.LONGEST_LINE
    assert naming.plain("a\x07\u202eb") == "ab"
