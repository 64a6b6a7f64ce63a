"""What every artifact store must do: subclass `StoreContract` and give it a store."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from kale_serve_lab.errors import ArtifactNotFound, DigestMismatch, InvalidRequest, StoreFull
from kale_serve_lab.stores.protocol import ArtifactStore


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def model(folder: Path, **files: bytes) -> Path:
    for name, content in (files or {"model.joblib": b"weights"}).items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


class StoreContract:
    @pytest.fixture
    def store(self) -> ArtifactStore:
        raise NotImplementedError

    def test_what_is_put_comes_back_read_only_at_an_address_that_carries_its_digest(self, store, tmp_path):
        source = model(tmp_path / "m", a=b"1", sub__b=b"22", sub__deep__c=b"")
        (source / "empty").mkdir()
        stored = store.put(source)
        assert stored.digest in stored.uri
        assert stored.size == 3
        assert store.get(stored.uri) == stored
        folder = store.open(stored.uri)
        assert files_below(folder) == {"a": b"1", "sub/b": b"22", "sub/deep/c": b""}
        assert (folder / "empty").is_dir()
        for path in (p for p in folder.rglob("*") if p.is_file()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert files_below(source) == files_below(folder)

    def test_a_single_file_is_a_folder_with_it(self, store, tmp_path):
        source = model(tmp_path / "m") / "model.joblib"
        assert files_below(store.open(store.put(source).uri)) == {"model.joblib": b"weights"}

    def test_equal_content_has_one_address_wherever_it_came_from(self, store, tmp_path):
        one, two = (store.put(model(tmp_path / name, x=b"1", y__z=b"2")) for name in "ab")
        assert one == two
        assert store.put(model(tmp_path / "c", x=b"1", y__w=b"2")).uri != one.uri

    def test_taking_moves_own_files_but_never_one_that_has_another_name(self, store, tmp_path):
        (tmp_path / "precious").write_bytes(b"mine")
        source = model(tmp_path / "m", own=b"own")
        os.link(tmp_path / "precious", source / "linked")
        stored = store.put(source, take=True)
        assert not (source / "own").exists()
        (tmp_path / "precious").write_bytes(b"mine, changed")
        assert files_below(store.open(stored.uri)) == {"own": b"own", "linked": b"mine"}

    def test_a_change_of_the_source_is_seen_and_never_changes_what_is_stored(self, store, tmp_path):
        source = model(tmp_path / "m")
        first = store.put(source)
        (source / "model.joblib").write_bytes(b"WEIGHTS")
        assert store.put(source).uri != first.uri
        assert files_below(store.open(first.uri)) == {"model.joblib": b"weights"}

    @pytest.mark.parametrize("make", ["symlink", "folder link", "fifo", "socket", "dangling"])
    def test_what_is_no_file_is_refused_by_name_and_never_followed(self, store, tmp_path, make):
        source = model(tmp_path / "m")
        odd = source / "odd"
        if make == "symlink":
            odd.symlink_to("/etc/passwd")
        elif make == "folder link":
            odd.symlink_to("/etc")
        elif make == "dangling":
            odd.symlink_to("nowhere")
        elif make == "fifo":
            os.mkfifo(odd)
        else:
            os.mknod(odd, stat.S_IFSOCK | 0o600)
        with pytest.raises(InvalidRequest, match="odd is a ") as caught:
            store.put(source)
        assert caught.value.subject == str(odd)

    def test_the_folder_itself_may_not_be_a_link(self, store, tmp_path):
        model(tmp_path / "m")
        (tmp_path / "link").symlink_to(tmp_path / "m")
        with pytest.raises(InvalidRequest, match="link is a symbolic link"):
            store.put(tmp_path / "link")

    def test_nothing_and_an_empty_folder_are_refused(self, store, tmp_path):
        with pytest.raises(ArtifactNotFound):
            store.put(tmp_path / "nothing")
        (tmp_path / "empty" / "sub").mkdir(parents=True)
        with pytest.raises(InvalidRequest, match="holds no file"):
            store.put(tmp_path / "empty")

    def test_stored_bytes_that_were_edited_are_not_given_out_and_putting_them_again_heals(
        self, store, tmp_path
    ):
        source = model(tmp_path / "m", a=b"1" * 100, b=b"2")
        stored = store.put(source)
        victim = store.open(stored.uri) / "a"
        before = victim.stat()
        victim.chmod(0o644)
        with victim.open("r+b") as file:
            file.write(b"X")
        os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        victim.chmod(0o444)
        with pytest.raises(DigestMismatch, match="not the ones that were submitted"):
            store.open(stored.uri)
        assert store.put(source) == stored
        assert files_below(store.open(stored.uri)) == {"a": b"1" * 100, "b": b"2"}

    def test_a_stored_file_that_is_gone_is_not_given_out(self, store, tmp_path):
        stored = store.put(model(tmp_path / "m"))
        folder = store.open(stored.uri)
        folder.chmod(0o755)
        (folder / "model.joblib").unlink()
        with pytest.raises(DigestMismatch, match="missing"):
            store.open(stored.uri)

    @pytest.mark.parametrize(
        "uri",
        [
            "file:///etc/passwd",
            "s3://b/../c",
            "kale-local://sha256/../../x",
            "kale-local://sha256/" + "A" * 64,
            "kale-local://sha256/" + "a" * 64 + "/../b",
            "",
        ],
    )
    def test_foreign_addresses_are_refused(self, store, uri):
        for call in (store.open, store.get, store.remove):
            with pytest.raises(InvalidRequest):
                call(uri)

    def test_an_unknown_address_is_not_found(self, store):
        with pytest.raises(ArtifactNotFound):
            store.open("kale-local://sha256/" + "a" * 64)
        store.remove("kale-local://sha256/" + "a" * 64)

    def test_removing_keeps_what_other_content_shares(self, store, tmp_path):
        one = store.put(model(tmp_path / "a", shared=b"s", own=b"1"))
        two = store.put(model(tmp_path / "b", shared=b"s", own=b"2"))
        store.remove(one.uri)
        with pytest.raises(ArtifactNotFound):
            store.open(one.uri)
        assert files_below(store.open(two.uri)) == {"shared": b"s", "own": b"2"}
        assert store.put(model(tmp_path / "a", shared=b"s", own=b"1")) == one

    def test_many_put_the_same_at_once(self, store, tmp_path):
        sources = [model(tmp_path / str(i), a=b"1" * 10_000, b=b"2") for i in range(8)]
        found, failed = [], []

        def put(source):
            try:
                found.append(store.put(source, take=True))
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=put, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert len(set(found)) == 1
        assert files_below(store.open(found[0].uri)) == {"a": b"1" * 10_000, "b": b"2"}

    def test_a_full_disk_is_told_with_path_and_need_and_leaves_nothing(self, store, tmp_path):
        source = model(tmp_path / "m")
        need = 1 << 44
        try:
            os.truncate(source / "model.joblib", need)
        except OSError:
            need = 1 << 43
            os.truncate(source / "model.joblib", need)
        with pytest.raises(StoreFull, match=f"{need:,}") as caught:
            store.put(source)
        assert caught.value.details["need"] == need
        assert Path(caught.value.details["path"]).is_dir()
        assert store.sweep(set) == 0

    def test_a_manifest_counts_from_its_commit_to_its_end(self, store):
        store.begin("kale.Model:../x:1", {"key": "kale.Model:../x:1", "id": None})
        assert list(store.manifests()) == []
        assert [key for key, _ in store.begun()] == ["kale.Model:../x:1"]
        store.commit("kale.Model:../x:1", {"key": "kale.Model:../x:1", "id": 7})
        assert store.begun() == []
        assert [(key, one["id"]) for key, one in store.manifests()] == [("kale.Model:../x:1", 7)]
        store.forget("kale.Model:../x:1")
        assert list(store.manifests()) == []

    def test_a_sweep_drops_what_nobody_needs(self, store, tmp_path):
        kept, dropped = store.put(model(tmp_path / "a", x=b"1")), store.put(model(tmp_path / "b", x=b"2"))
        assert store.sweep(lambda digests: {kept.digest} & set(digests)) == 1
        store.open(kept.uri)
        with pytest.raises(ArtifactNotFound):
            store.open(dropped.uri)
