"""A file is what its content says. What lies about itself, or is no model, is refused in a sentence that names what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import pickle
import struct
import zipfile

import cloudpickle
import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from kale_serve_lab.artifacts import contents
from kale_serve_lab.errors import UnsupportedModel

X = np.random.default_rng(0).random((40, 3))
Y = np.arange(40) % 2
LOGISTIC = LogisticRegression().fit(X, Y)


class Own:
    def predict(self, rows):
        return rows


def by(dump, *args, **keywords):
    """What a function that writes to a file object writes."""
    buffer = io.BytesIO()
    dump(*args, buffer, **keywords)
    return buffer.getvalue()


def saved(model, suffix, tmp_path):
    path = tmp_path / f"saved{suffix}"
    model.save_model(path)
    return path.read_bytes()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def old_xgboost():
    """The form that XGBoost wrote to a file before 1.0: the learner's parameters, then the names of objective and booster."""
    objective, booster = b"binary:logistic", b"gbtree"
    names = b"".join(struct.pack("<Q", len(name)) + name for name in (objective, booster))
    return struct.pack("<fIii", 0.5, 3, 0, 0) + bytes(120) + names + bytes(200)


def field(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload


# Graphs by hand, as small as they come; real ones are in test_files_of_other_frameworks.
ONNX = b"\x08\x08" + field(2, b"test") + field(7, field(2, b"g")) + field(8, b"\x10\x11")
SAVED_MODEL = b"\x08\x01" + field(2, field(2, b"graph"))

PMML = b'<?xml version="1.0"?>\n<!-- made by hand -->\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"></PMML>'
HTML = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"

MODELS = {
    "clf.joblib": (lambda _: by(joblib.dump, LOGISTIC), "sklearn", "model.joblib", True),
    "clf.pkl": (lambda _: pickle.dumps(LOGISTIC), "sklearn", "model.joblib", True),
    "old.pickle": (lambda _: pickle.dumps(LOGISTIC, protocol=0), "sklearn", "model.joblib", True),
    "packed.joblib": (lambda _: by(joblib.dump, LOGISTIC, compress=3), "sklearn", "model.joblib", True),
    "packed.pkl.gz": (
        lambda _: by(joblib.dump, LOGISTIC, compress=("gzip", 3)),
        "sklearn",
        "model.joblib",
        True,
    ),
    "packed.pkl.bz2": (lambda _: bz2.compress(pickle.dumps(LOGISTIC)), "sklearn", "model.joblib", True),
    "packed.pkl.xz": (
        lambda _: by(joblib.dump, LOGISTIC, compress=("xz", 3)),
        "sklearn",
        "model.joblib",
        True,
    ),
    "own.pkl": (lambda _: cloudpickle.dumps(Own()), "python", "model.pkl", True),
    "wrapped.pkl": (
        lambda _: pickle.dumps(xgboost.XGBClassifier(n_estimators=1).fit(X, Y)),
        "sklearn",
        "model.joblib",
        True,
    ),
    "x.ubj": (
        lambda t: saved(xgboost.XGBClassifier(n_estimators=1).fit(X, Y), ".ubj", t),
        "xgboost",
        "model.ubj",
        False,
    ),
    "x.model": (
        lambda t: saved(xgboost.XGBClassifier(n_estimators=1).fit(X, Y), ".ubj", t),
        "xgboost",
        "model.ubj",
        False,
    ),
    "x.json": (
        lambda t: saved(xgboost.XGBClassifier(n_estimators=1).fit(X, Y), ".json", t),
        "xgboost",
        "model.json",
        False,
    ),
    "x.bst": (lambda _: old_xgboost(), "xgboost", "model.bst", False),
    "l.txt": (
        lambda t: saved(
            lightgbm.train(
                {"verbose": -1, "min_data_in_leaf": 2, "min_data_in_bin": 1}, lightgbm.Dataset(X, Y), 1
            ),
            ".txt",
            t,
        ),
        "lightgbm",
        "model.bst",
        False,
    ),
    "m.pmml": (lambda _: PMML, "pmml", "model.pmml", False),
    "m.xml": (lambda _: PMML, "pmml", "model.pmml", False),
    "g.onnx": (lambda _: ONNX, "onnx", "model.onnx", False),
    "no_suffix": (lambda _: ONNX, "onnx", "model.onnx", False),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_known_by_its_content_and_gets_the_servers_name(name, tmp_path):
    make, framework, expected, executable = MODELS[name]
    path = tmp_path / name
    path.write_bytes(make(tmp_path))
    found = contents.read(path)
    assert (found.framework, list(found.files), found.executable) == (framework, [expected], executable)
    assert found.original_name == name
    with pytest.raises(UnsupportedModel, match=f"holds a model of the format {framework}"):
        contents.read(path, "tensorflow")


PICKLE = pickle.dumps(LOGISTIC)
# name: (content, what it is said to be)
LIES = {
    "model.onnx": (PICKLE, "is a pickle, not an ONNX model"),
    "model.pt": (PICKLE, "is a pickle, not what"),
    "model.skops": (PICKLE, "is a pickle, not a skops file"),
    "model.pmml": (PICKLE, "is a pickle, not PMML"),
    "model.ubj": (PICKLE, "is a pickle, not an XGBoost model"),
    "model.pt2": (bz2.compress(PICKLE), "is a compressed pickle, not an exported"),
    "model": (PICKLE, "is a pickle, which runs code when it is loaded, under a name that does not say so"),
    "model.pkl": (HTML, "is an HTML page"),
    "model.joblib": (b"weights will follow\n" * 30, "is a text file"),
    "clf.joblib": (ONNX, "is an ONNX model, not"),
    "empty.pkl": (b"", "is an empty file"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    "data.pkl": (pickle.dumps({"weights": [1, 2]}), "is a pickle of plain data"),
    "table.json": (json.dumps({"a": 1}).encode(), "is a JSON file"),
    "half.json": (b'{"learner_of": {', "is a text file"),
    "tree.json": (b'{"name":"tree","version":"v4"}', "is a LightGBM model as JSON"),
    "page.xml": (b"<html><body>403</body></html>", "is an HTML page"),
    "feed.xml": (b"<?xml version='1.0'?><rss/>", "is an XML file"),
    "laughs.pmml": (b'<!DOCTYPE p [<!ENTITY a "b">]>\n' + PMML, "entities"),
    "notes.txt": (b"tree of decisions\n", "is a text file"),
    "rows.bin": (b"\x93NUMPY\x01\x00", "is a numpy array"),
    "rows.pkl": (zipped({"a.npy": b"", "b.npy": b""}), "is an archive of numpy arrays"),
    "source.pt": (zipped({"src/main.py": "print()"}), "is a zip archive"),
    "cut.pt": (zipped({"a": os.urandom(4000)})[:3000], "is a damaged archive"),
    "logs.pkl": (gzip.compress(b"2026-01-01 started\n" * 100), "is a gzip archive"),
    "weights.bin": (struct.pack("<Q", 40) + b'{"w":{"dtype":"F32"}}' + bytes(80), "is a safetensors file"),
    "random.onnx": (b"\xfe" + bytes(range(256)) * 20, "a file of an unknown kind"),
    "cut.onnx": (ONNX[:-1], "a file of an unknown kind"),
    "weights.h5": (b"\x89HDF\r\n\x1a\n" + bytes(200), "is an HDF5 file without a model"),
    "saved.pb": (field(1, b"node") + field(4, b"\x08\x1b"), "is a frozen TensorFlow graph"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_lies_or_is_no_model_is_refused_in_a_sentence(name, tmp_path):
    content, says = LIES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnsupportedModel) as raised:
        contents.read(path)
    assert says in raised.value.message
    assert raised.value.subject == str(path)
    assert raised.value.hint
    assert raised.value.message.count("\n") == 0


def test_a_pickle_of_any_name_is_taken_only_where_that_is_said(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(PICKLE)
    assert contents.read(path, "sklearn").form == "joblib"
    lying = tmp_path / "model.onnx"
    lying.write_bytes(PICKLE)
    with pytest.raises(UnsupportedModel, match="not an ONNX model"):
        contents.read(lying, "sklearn")


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("m/data.pkl", "w") as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    with pytest.raises(UnsupportedModel, match="would unpack to 1 GiB from"):
        contents.read(path)
    packed = tmp_path / "bomb.pkl"
    packed.write_bytes(gzip.compress(bytes(50 << 20), 1))
    with pytest.raises(UnsupportedModel, match="is a gzip archive"):
        contents.read(packed)


def folder(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


FOLDERS = {
    "one among others": (
        {"clf.pkl": PICKLE, "README.md": b"# hello", "kale.json": b"{}"},
        "sklearn",
        {"model.joblib", "README.md", "kale.json"},
        "clf.pkl",
    ),
    "as it should be": ({"model.onnx": ONNX}, "onnx", {"model.onnx"}, None),
    "mlflow": ({"MLmodel": b"flavors: {}", "model.pkl": PICKLE}, "mlflow", {"MLmodel", "model.pkl"}, None),
    "SavedModel": (
        {"saved_model.pb": SAVED_MODEL, "variables/variables.index": b"x"},
        "tensorflow",
        {"1/saved_model.pb", "1/variables/variables.index"},
        "SavedModel",
    ),
    "a version": (
        {"7/saved_model.pb": SAVED_MODEL, "7/assets/words.txt": b"a", "notes.txt": b"no"},
        "tensorflow",
        {"1/saved_model.pb", "1/assets/words.txt"},
        "7",
    ),
    "version 1": ({"1/saved_model.pb": SAVED_MODEL}, "tensorflow", {"1/saved_model.pb"}, None),
    "Triton's": ({"config.pbtxt": b"name: 'm'", "1/model.onnx": ONNX}, "onnx", {"model.onnx"}, None),
    "a folder deeper": ({"model/clf.joblib": PICKLE}, "sklearn", {"model.joblib"}, "clf.joblib"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_brought_to_the_names_that_servers_expect(name, tmp_path):
    files, framework, expected, original = FOLDERS[name]
    found = contents.read(folder(tmp_path / name, files))
    assert (found.framework, set(found.files), found.original_name) == (framework, expected, original)


BAD_FOLDERS = {
    "empty": ({}, "is an empty folder"),
    "two models": (
        {"a.pkl": PICKLE, "b.onnx": ONNX},
        "more than one model: a.pkl (a pickle), b.onnx (an ONNX",
    ),
    "two versions": (
        {"1/saved_model.pb": SAVED_MODEL, "2/saved_model.pb": SAVED_MODEL},
        "more than one SavedModel: 1, 2",
    ),
    "no model": (
        {"config.json": b"{}", "README.md": b"x"},
        "README.md (a text file), config.json (a JSON file)",
    ),
    "a lie": ({"model.onnx": PICKLE}, "is a pickle, not an ONNX model"),
    "no SavedModel": ({"saved_model.pb": PICKLE}, "is a pickle, not a SavedModel"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_folder_without_one_model_is_refused(name, tmp_path):
    files, says = BAD_FOLDERS[name]
    (tmp_path / "given").mkdir()
    with pytest.raises(UnsupportedModel) as raised:
        contents.read(folder(tmp_path / "given", files))
    assert says in raised.value.message
    assert raised.value.hint


def test_links_and_pipes_are_followed_nowhere(tmp_path):
    given = folder(tmp_path / "given", {"model.onnx": ONNX})
    (given / "secrets").symlink_to("/etc/passwd")
    with pytest.raises(UnsupportedModel, match="secrets is a symbolic link"):
        contents.read(given)
    (given / "secrets").unlink()
    os.mkfifo(given / "pipe")
    with pytest.raises(UnsupportedModel, match="pipe is a named pipe"):
        contents.read(given)
    with pytest.raises(UnsupportedModel, match="is a named pipe"):
        contents.read(given / "pipe")
    # The user's own link to a model, though, is meant: a cache is full of them.
    link = tmp_path / "current"
    link.symlink_to(given / "model.onnx")
    assert contents.read(link).framework == "onnx"


def test_numbers_beside_an_onnx_model_come_along(tmp_path):
    entry = field(1, b"location") + field(2, b"model.onnx.data")
    graph = ONNX + field(7, field(5, field(13, entry)))
    given = folder(tmp_path / "given", {"g.onnx": graph, "model.onnx.data": b"\0" * 64})
    assert set(contents.read(given / "g.onnx").files) == {"model.onnx", "model.onnx.data"}
    (given / "model.onnx.data").unlink()
    with pytest.raises(UnsupportedModel, match="keeps its numbers in model.onnx.data"):
        contents.read(given / "g.onnx")


TORCH = """
import sys, warnings; warnings.simplefilter("ignore")
import torch
class M(torch.nn.Module):
    def __init__(self): super().__init__(); self.l = torch.nn.Linear(3, 2)
    def forward(self, x): return self.l(x)
m, at = M().eval(), sys.argv[1] + "/"
torch.jit.save(torch.jit.trace(m, torch.zeros(1, 3)), at + "script.pt")
torch.export.save(torch.export.export(m, (torch.zeros(2, 3),)), at + "exported.pt2")
torch.save(m, at + "module.pth"); torch.save(m, at + "old_module.pth", _use_new_zipfile_serialization=False)
torch.save(m.state_dict(), at + "weights.pth")
torch.save(m.state_dict(), at + "old_weights.pth", _use_new_zipfile_serialization=False)
"""
ONNX_MODEL = """
import sys
from sklearn.linear_model import LogisticRegression
from skl2onnx import to_onnx
import numpy as np
X = np.random.rand(20, 3).astype("float32")
model = to_onnx(LogisticRegression().fit(X, np.arange(20) % 2), X[:1])
open(sys.argv[1] + "/real.onnx", "wb").write(model.SerializeToString())
"""


def test_files_of_other_frameworks(tmp_path, run_in):
    run_in("torch", TORCH, tmp_path)
    run_in("onnx", ONNX_MODEL, tmp_path)
    for name, framework, form, executable in (
        ("script.pt", "pytorch", "pt", False),
        ("exported.pt2", "pytorch", "pt2", False),
        ("module.pth", "pytorch", "pth", True),
        ("old_module.pth", "pytorch", "pth", True),
        ("real.onnx", "onnx", "onnx", False),
    ):
        found = contents.read(tmp_path / name)
        assert (found.framework, found.form, found.executable) == (framework, form, executable), name
    for name in ("weights.pth", "old_weights.pth"):
        with pytest.raises(UnsupportedModel, match="weights alone"):
            contents.read(tmp_path / name)


def test_a_large_forest_is_read_without_its_arrays(tmp_path):
    """joblib lays arrays between the opcodes: what stands before them must be enough."""
    path = tmp_path / "forest.joblib"
    joblib.dump(RandomForestClassifier(20, random_state=0).fit(X, Y), path)
    found = contents.read(path)
    assert (found.framework, found.class_name) == ("sklearn", "RandomForestClassifier")
