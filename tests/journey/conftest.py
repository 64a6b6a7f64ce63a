"""What a user and an auditor see of one home."""

from __future__ import annotations

import sys

import pytest

from kale_serve_lab.client import Client
from kale_serve_lab.errors import KaleServeError

BREAKING = """
import ctypes, os, sys, time
from sklearn.linear_model import LogisticRegression

ARGUMENTS = " ".join(sys.orig_argv)
CHECKED = "kale_serve_lab.model_server.check" in ARGUMENTS
SERVED = "kale_serve_lab.model_server" in ARGUMENTS and not CHECKED


class Exits(LogisticRegression):
    where = SERVED

    def __setstate__(self, state):
        if not self.where:
            return super().__setstate__(state)
        print("about to leave", flush=True)
        os._exit(7)


class Segfaults(LogisticRegression):
    where = SERVED

    def __setstate__(self, state):
        if not self.where:
            return super().__setstate__(state)
        print("about to fall", flush=True)
        ctypes.string_at(0)


class Hangs(LogisticRegression):
    where = SERVED

    def __setstate__(self, state):
        if not self.where:
            return super().__setstate__(state)
        print("about to hang", flush=True)
        time.sleep(3600)


class CannotPredict(LogisticRegression):
    where = SERVED

    def predict(self, X):
        if self.where:
            raise RuntimeError("colour blind")
        return super().predict(X)


class ExitsAtOnce(Exits):
    where = CHECKED


class SegfaultsAtOnce(Segfaults):
    where = CHECKED


class HangsAtOnce(Hangs):
    where = CHECKED


class CannotPredictAtOnce(CannotPredict):
    where = CHECKED
"""


class Auditor:
    """Looks at services, artifacts, staging, sockets and logs; what a failed call leaves as it was has one `state`."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"

    def services(self):
        return {item["name"]: item for item in Client().request("GET", "/api/services")["items"]}

    def artifacts(self):
        found = Client().request("GET", "/api/artifacts")["items"]
        return sorted(f"{item['name']}:{item['version']}" for item in found)

    def staged(self):
        folder = self.data / "staging"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def sockets(self):
        return sorted(
            path.relative_to(self.folder).as_posix()
            for part in ("f", "r", "c")
            for path in self.folder.glob(f"run/kale-serve-*/{part}/*")
        )

    def stored(self):
        """What is kept of artifacts; the store's own cache comes and goes."""
        store = self.data / "store"
        files = (path for part in ("trees", "blobs", "records") for path in (store / part).rglob("*"))
        return sorted(path.relative_to(store).as_posix() for path in files if path.is_file())

    @property
    def state(self):
        services = {
            name: (service["state"], service["revision"], service["ready_revision"])
            for name, service in self.services().items()
        }
        return services, self.artifacts(), self.staged(), self.sockets(), self.stored()

    def clear(self):
        for name in self.services():
            Client().request("DELETE", f"/api/services/{name}")

    def refused(self, code, call, *arguments, **keywords):
        """Calls what must be refused, and checks what every error of ours tells."""
        with pytest.raises(KaleServeError) as raised:
            call(*arguments, **keywords)
        error = raised.value
        assert error.code == code, error
        assert type(error).__name__ == code
        assert error.message
        assert error.subject, error
        assert error.hint, error
        assert "\x00" not in str(error)
        assert "Traceback" not in error.message
        return error


@pytest.fixture
def audit(shared_home, breaking):
    auditor = Auditor(shared_home)
    auditor.clear()
    yield auditor
    auditor.clear()
    assert auditor.services() == {}
    assert auditor.staged() == []
    assert auditor.sockets() == []


@pytest.fixture(scope="module")
def breaking(shared_home):
    """Models of a package that both the notebook and the model servers find."""
    site = shared_home / "site"
    site.mkdir()
    (site / "breaking_models.py").write_text(BREAKING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        patch.syspath_prepend(str(site))
        import breaking_models

        yield breaking_models
        patch.delitem(sys.modules, "breaking_models")
