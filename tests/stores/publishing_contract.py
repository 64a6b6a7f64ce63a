"""What every publisher must do: subclass `PublishingContract` and give it a `Site`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import pytest

from kale_serve_lab.errors import Cancelled, DigestMismatch, InvalidRequest
from kale_serve_lab.serving.kserve.publishing import Entry, Publisher
from kale_serve_lab.stores.parts import PART

DIGEST = hashlib.sha256(b"a model").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


class Site(Protocol):
    """Where a publisher of the suite publishes to, looked at without our code."""

    kind: str
    settings: dict[str, Any]

    def publisher(self) -> Publisher:
        """As another daemon would have it."""

    def files(self, digest: str, view: str) -> dict[str, bytes]:
        """What a model server would find."""

    def state(self) -> Any:
        """Equal as long as nothing was written."""

    def damage(self, digest: str, view: str, path: str) -> None:
        """Change one byte."""


class Boom(Exception):  # noqa: N818
    pass


class Teller:
    """Takes progress, and holds it to what was promised."""

    def __init__(self, fail_at=None):
        self.told = []
        self.fail_at = fail_at
        self.event = threading.Event()

    def __call__(self, done, total):
        if self.told:
            assert done >= self.told[-1][0]
            assert total == self.told[-1][1]
        assert 0 <= done <= total
        self.told.append((done, total))
        if done:
            self.event.set()
        if self.fail_at is not None and len(self.told) > self.fail_at:
            raise Boom

    def is_complete(self, total):
        return self.told[0][1] == total and self.told[-1] == (total, total)


@dataclasses.dataclass
class Modelled:
    """A folder with a model, and what must come out of it."""

    folder: Path
    entries: list[Entry]
    content: dict[str, bytes]

    @property
    def size(self):
        return sum(len(data) for data in self.content.values())


def modelled(folder: Path, **content: bytes) -> Modelled:
    return placed(folder, {name.replace("__", "/"): data for name, data in content.items()})


def placed(folder: Path, content: dict[str, bytes]) -> Modelled:
    entries = []
    for number, (name, data) in enumerate(content.items()):
        source = f"source-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / source).write_bytes(data)
        entries.append(Entry(name, source))
    return Modelled(folder, entries, content)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def never():
    return False


class PublishingContract:
    @pytest.fixture
    def site(self) -> Site:
        raise NotImplementedError

    def publish(self, site, model, digest=DIGEST, view="plain", tell=None, cancelled=never):
        return site.publisher().publish(
            model.folder, digest, view, model.entries, tell or Teller(), cancelled
        )

    def test_what_is_published_is_there_at_the_address_that_was_known_before(self, site, tmp_path):
        model = modelled(tmp_path / "m", model__joblib=b"weights", sub__deep__x=b"22")
        model.entries.append(Entry("config.json", b"{}"))
        model.content["config.json"] = b"{}"
        uri = site.publisher().uri(DIGEST, "plain")
        teller = Teller()
        found = self.publish(site, model, tell=teller)
        assert found.uri == uri
        assert DIGEST in uri
        assert uri != site.publisher().uri(DIGEST, "kale")
        assert site.files(DIGEST, "plain") == model.content
        assert teller.is_complete(model.size)

    def test_views_of_one_model_lie_apart(self, site, tmp_path):
        plain = modelled(tmp_path / "p", a=b"1")
        kale = modelled(tmp_path / "k", a=b"1", kale=b"2")
        self.publish(site, plain)
        self.publish(site, kale, view="kale")
        assert site.files(DIGEST, "plain") == plain.content
        assert site.files(DIGEST, "kale") == kale.content

    def test_again_sends_nothing_and_tells_that_all_is_there(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=noise(PART + 5), b=b"2", c=b"")
        first = self.publish(site, model)
        before = site.state()
        teller = Teller()
        assert self.publish(site, model, tell=teller) == first
        assert site.state() == before
        assert teller.is_complete(model.size)

    def test_again_with_another_layout_sends_what_differs(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", b=b"22")
        self.publish(site, model)
        model.entries[1] = Entry("c", model.entries[1].source)
        model.entries.append(Entry("config", b"new"))
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == {"a": b"1", "c": b"22", "config": b"new"}
        model.entries[-1] = Entry("config", b"old")
        self.publish(site, model)
        assert site.files(DIGEST, "plain")["config"] == b"old"

    @pytest.mark.parametrize("at", [0, 1, 2, 4, 6])
    def test_goes_on_after_a_cut_at_any_point(self, site, tmp_path, at):
        model = modelled(tmp_path / "m", a=b"1", big=noise(2 * PART + 3), c=b"3", z=noise(PART + 1, 2))
        with pytest.raises(Boom):
            self.publish(site, model, tell=Teller(fail_at=at))
        teller = Teller()
        self.publish(site, model, tell=teller)
        assert site.files(DIGEST, "plain") == model.content
        assert teller.is_complete(model.size)

    def test_a_cancelled_one_stops_and_can_be_repeated(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", big=noise(5 * PART))
        teller = Teller()
        with pytest.raises(Cancelled) as caught:
            self.publish(site, model, tell=teller, cancelled=lambda: len(teller.told) > 2)
        assert caught.value.subject == site.publisher().uri(DIGEST, "plain") or caught.value.subject
        assert teller.told[-1][0] < model.size
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    def test_one_that_is_cancelled_before_it_begins_writes_nothing(self, site, tmp_path):
        before = site.state()
        with pytest.raises(Cancelled):
            self.publish(site, modelled(tmp_path / "m", a=b"1"), cancelled=lambda: True)
        assert site.state() == before

    @pytest.mark.parametrize("path", ["small", "big", "sub/file"])
    def test_damage_is_found_named_and_healed(self, site, tmp_path, path):
        content = {"small": b"12345", "big": noise(PART + 7), "sub/file": b"x" * 100}
        model = placed(tmp_path / "m", content)
        self.publish(site, model)
        verifier = getattr(site, "verifier", site.publisher)()
        assert {file.path for file in verifier.verify(DIGEST, "plain").files} == set(content)
        site.damage(DIGEST, "plain", path)
        with pytest.raises(DigestMismatch, match=path) as caught:
            verifier.verify(DIGEST, "plain")
        assert caught.value.details["files"] == [path]
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == content
        assert verifier.verify(DIGEST, "plain") is not None

    def test_removing_drops_one_view_of_one_model_and_is_quiet_about_what_is_gone(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", sub__b=b"2")
        for digest, view in ((DIGEST, "plain"), (DIGEST, "kale"), (OTHER, "plain")):
            self.publish(site, model, digest, view)
        for _ in range(2):
            site.publisher().remove(DIGEST, "plain")
            assert site.files(DIGEST, "plain") == {}
        assert site.files(DIGEST, "kale") == model.content
        assert site.files(OTHER, "plain") == model.content
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    def test_two_at_once_do_no_harm(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", big=noise(3 * PART + 3), c=noise(1000, 3))
        failed, found = [], []

        def run():
            try:
                found.append(self.publish(site, model))
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert found[0] == found[1]
        assert site.files(DIGEST, "plain") == model.content

    def test_odd_names_and_empty_files(self, site, tmp_path):
        content = {
            "Größe – 模型 🦊.bin": b"1",
            "with space & + % #?.txt": b"2",
            "empty": b"",
            "/".join(f"d{i}" for i in range(20)) + "/deep": b"3",
            "'quoted\" name": b"4",
            "-rf": b"5",
            ".hidden": b"6",
            "n" * 200: b"7",
        }
        model = placed(tmp_path / "m", content)
        teller = Teller()
        self.publish(site, model, tell=teller)
        assert site.files(DIGEST, "plain") == content
        assert teller.is_complete(model.size)
        before = site.state()
        self.publish(site, model)
        assert site.state() == before

    def test_a_model_of_no_bytes(self, site, tmp_path):
        model = modelled(tmp_path / "m", empty=b"")
        teller = Teller()
        self.publish(site, model, tell=teller)
        assert site.files(DIGEST, "plain") == {"empty": b""}
        assert teller.told[-1] == (0, 0)

    @pytest.mark.parametrize(
        "path",
        ["../x", "/etc/x", "a/../b", "a//b", "", ".", "a\\..\\b", "a\0b"],
        ids=["up", "root", "up inside", "double", "empty", "dot", "backslash", "nul"],
    )
    def test_paths_that_leave_the_folder_are_refused(self, site, tmp_path, path):
        before = site.state()
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "f").write_bytes(b"1")
        for entries in ([Entry(path, b"x")], [Entry("fine", path)]):
            with pytest.raises(InvalidRequest):
                site.publisher().publish(tmp_path / "m", DIGEST, "plain", entries, Teller(), never)
        assert site.state() == before

    @pytest.mark.parametrize(
        "digest",
        ["../" + "a" * 61, "A" * 64, "", "sha256:" + "a" * 64],
        ids=["up", "upper case", "empty", "prefixed"],
    )
    def test_digests_that_are_none_are_refused(self, site, digest):
        publisher = site.publisher()
        for call in (publisher.uri, publisher.remove):
            with pytest.raises(InvalidRequest):
                call(digest, "plain")
            with pytest.raises(InvalidRequest):
                call(DIGEST, "../plain")

    def test_a_link_is_not_followed(self, site, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "l").symlink_to("/etc/passwd")
        with pytest.raises(InvalidRequest):
            site.publisher().publish(tmp_path / "m", DIGEST, "plain", [Entry("l", "l")], Teller(), never)

    def test_a_file_that_changes_while_it_is_sent_is_never_published(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", big=noise(2 * PART))

        def tell(done, total):
            if done == 0:
                (model.folder / "source-1").write_bytes(noise(2 * PART, 9))

        with pytest.raises(DigestMismatch, match="has changed"):
            self.publish(site, model, tell=tell)

    @pytest.mark.parametrize("after", [1, 3])
    def test_a_process_that_is_killed_loses_nothing_that_was_whole(self, site, tmp_path, after):
        model = modelled(tmp_path / "m", a=b"1", big=noise(6 * PART + 1))
        process = self.process(site, model, tmp_path)
        try:
            for line in process.stdout:
                if line.startswith("progress") and int(line.split()[1]) >= after * PART:
                    break
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        teller = Teller()
        self.publish(site, model, tell=teller)
        assert site.files(DIGEST, "plain") == model.content
        assert teller.is_complete(model.size)

    def test_memory_does_not_grow_with_the_model(self, site, tmp_path):
        folder = tmp_path / "m"
        folder.mkdir()
        size = 160 << 20
        with (folder / "big").open("wb") as file:
            for seed in range(size >> 23):
                file.write(noise(1 << 23, seed))
        model = Modelled(folder, [Entry("big", "big")], {})
        process = self.process(site, model, tmp_path)
        lines = process.communicate(timeout=170)[0].splitlines()
        assert process.returncode == 0
        _, before, after = lines[-1].split()
        # 4 parts of 8 MiB, twice while one is hashed, and what the client itself takes.
        assert (int(after) - int(before)) << 10 < 130 << 20

    def process(self, site, model, tmp_path):
        asked = {
            "kind": site.kind,
            "settings": site.settings,
            "folder": str(model.folder),
            "digest": DIGEST,
            "view": "plain",
            "entries": [[entry.path, entry.source] for entry in model.entries],
        }
        (tmp_path / "asked.json").write_text(json.dumps(asked))
        return subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("publishing_process.py")),
                str(tmp_path / "asked.json"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )


def files_below(folder: Path) -> dict[str, bytes]:
    with contextlib.suppress(FileNotFoundError):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {}
