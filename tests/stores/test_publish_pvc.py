"""Models on a mounted volume; the volume is a folder."""

from __future__ import annotations

import os
import stat

import pytest

from kale_serve_lab.errors import Forbidden, InvalidConfig, StoreFull
from kale_serve_lab.serving.kserve.publishing import Entry
from kale_serve_lab.stores.published import unused
from kale_serve_lab.stores.pvc import PvcPublisher, pvc_settings
from tests.stores.publishing_contract import (
    DIGEST,
    OTHER,
    PublishingContract,
    Teller,
    files_below,
    modelled,
    never,
)


class PvcSite:
    kind = "pvc"

    def __init__(self, folder):
        self.folder = folder
        self.settings = {"claim": "models", "mounted": str(folder), "prefix": "team/a"}

    def publisher(self):
        return PvcPublisher(
            pvc_settings(self.settings["claim"], self.settings["mounted"], self.settings["prefix"]),
            needs_mount=False,
        )

    def files(self, digest, view):
        return files_below(self.folder / "team" / "a" / digest / view)

    def state(self):
        return {
            str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".lock"
        }

    def damage(self, digest, view, path):
        with (self.folder / "team" / "a" / digest / view / path).open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))


class TestPvc(PublishingContract):
    @pytest.fixture
    def site(self, tmp_path):
        (tmp_path / "volume").mkdir()
        return PvcSite(tmp_path / "volume")

    def test_the_address_names_the_claim_and_the_folder(self, site):
        assert site.publisher().uri(DIGEST, "plain") == f"pvc://models/team/a/{DIGEST}/plain"

    def test_the_model_servers_user_can_read_it_whatever_our_umask(self, site, tmp_path):
        before = os.umask(0o077)
        try:
            self.publish(site, modelled(tmp_path / "m", sub__a=b"1"))
        finally:
            os.umask(before)
        for path in (site.folder / "team").rglob("*"):
            if not path.name.startswith("."):
                assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)

    def test_nothing_is_visible_before_it_is_whole_and_nothing_else_stays(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1", b=b"2")
        seen = []
        self.publish(
            site,
            model,
            tell=lambda done, total: seen.append(site.files(DIGEST, "plain")) if done < total else None,
        )
        assert all(found == {} for found in seen)
        left = {path.name for path in (site.folder / "team" / "a" / DIGEST).iterdir()}
        assert left == {"plain", "manifest-plain.json", ".plain.lock"}

    def test_strangers_in_the_folder_are_not_served_with_the_model(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        self.publish(site, model)
        (site.folder / "team" / "a" / DIGEST / "plain" / "other.joblib").write_bytes(b"evil")
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    def test_a_half_file_with_wrong_bytes_is_mended(self, site, tmp_path):
        from kale_serve_lab.stores.parts import PART
        from tests.stores.publishing_contract import Boom, noise

        model = modelled(tmp_path / "m", big=noise(3 * PART))
        with pytest.raises(Boom):
            self.publish(site, model, tell=Teller(fail_at=2))
        (half,) = (site.folder / "team" / "a" / DIGEST).glob(".half-*")
        with half.open("r+b") as file:
            file.write(b"\0" * 4096)
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    def test_a_link_in_the_volume_is_not_written_through(self, site, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (site.folder / "team").mkdir()
        (site.folder / "team" / "a").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InvalidConfig, match="in the way"):
            self.publish(site, modelled(tmp_path / "m", a=b"1"))
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_path_that_is_not_there_or_no_mount_is_refused(self, tmp_path):
        gone = PvcPublisher(pvc_settings("models", str(tmp_path / "gone")), needs_mount=False)
        for call in (
            gone.check,
            gone.published,
            lambda: gone.publish(tmp_path, DIGEST, "plain", [Entry("a", b"1")], Teller(), never),
        ):
            with pytest.raises(InvalidConfig, match="is no folder here") as caught:
                call()
            assert "models" in caught.value.message
        assert not (tmp_path / "gone").exists()

    def test_a_folder_of_the_machines_own_disk_is_no_mount(self):
        with pytest.raises(InvalidConfig, match="is no mounted volume"):
            PvcPublisher(pvc_settings("models", "/usr")).check()

    def test_a_mount_is_taken(self, tmp_path):
        import tempfile
        from pathlib import Path

        if not Path("/dev/shm").is_mount():
            pytest.skip("no mount to write to")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            assert "can be written" in PvcPublisher(pvc_settings("models", folder)).check()[0]
            assert os.listdir(folder) == []

    def test_a_volume_that_cannot_be_written_is_told(self, site, tmp_path):
        if os.geteuid() == 0:
            (site.folder / "team").write_text("in the way")
            with pytest.raises(InvalidConfig, match="in the way"):
                self.publish(site, modelled(tmp_path / "m", a=b"1"))
            return
        (site.folder / "team").mkdir(mode=0o500)
        with pytest.raises(Forbidden, match="cannot be written"):
            self.publish(site, modelled(tmp_path / "m", a=b"1"))

    def test_a_full_volume_is_told_with_its_need_before_anything_is_sent(self, site, tmp_path, monkeypatch):
        found = os.statvfs(site.folder)
        real = os.statvfs
        monkeypatch.setattr(
            os,
            "statvfs",
            lambda path: (
                type("Room", (), {"f_bavail": 1, "f_frsize": 4096})
                if str(path) == str(site.folder)
                else real(path)
            ),
        )
        assert found.f_bavail > 1
        with pytest.raises(StoreFull, match="10,000 bytes are needed") as caught:
            self.publish(site, modelled(tmp_path / "m", a=b"1" * 10_000))
        assert caught.value.details == {"path": str(site.folder), "need": 10_000, "free": 4096}

    def test_what_no_service_names_is_listed(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"12")
        self.publish(site, model)
        self.publish(site, model, OTHER, "kale")
        there = site.publisher().published()
        assert {(one.digest, one.view, one.size) for one in there} == {
            (DIGEST, "plain", 2),
            (OTHER, "kale", 2),
        }
        uri = site.publisher().uri(DIGEST, "plain")
        used = {"spec": {"predictor": {"model": {"storageUri": uri}}}}
        noted = {"metadata": {"annotations": {"kale-serve-lab/model-digest": f"sha256:{OTHER}"}}}
        assert [one.digest for one in unused(there, [used])] == [OTHER]
        assert unused(there, [used, noted]) == []

    def test_a_manifest_that_is_damaged_is_made_anew(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        self.publish(site, model)
        manifest = site.folder / "team" / "a" / DIGEST / "manifest-plain.json"
        for content in (b"", b"{", b"[]", b"\xff", b'{"format": 9}', b'{"format": 1, "files": [{}]}'):
            manifest.write_bytes(content)
            assert site.publisher().published() == []
            self.publish(site, model)
            assert len(site.publisher().published()) == 1


@pytest.mark.parametrize("prefix", ["../x", "a/../b", "a//b", "a b", "a?b", "a%2e%2e", "ü", "."])
def test_prefixes_that_are_no_plain_names_are_refused(prefix):
    with pytest.raises(InvalidConfig, match=r"store\.prefix"):
        pvc_settings("models", "/data", prefix)


def test_a_claim_needs_its_mount():
    with pytest.raises(InvalidConfig, match=r"store\.mounted is missing"):
        pvc_settings("models", None)
    with pytest.raises(InvalidConfig, match="no absolute path"):
        pvc_settings("models", "data")
