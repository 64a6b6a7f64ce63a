"""What a file or a folder holds, by its content: magic bytes, members, first opcodes. Nothing of it is run or unpacked."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import pickletools
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kale_serve_lab.artifacts import protobufs
from kale_serve_lab.errors import UnsupportedModel

_HEAD = 64 << 10
_MOST_FILES = 10_000
_MOST_MEMBERS = 100_000
_MOST_OPCODES = 200_000
# A model's own numbers do not shrink so far; whatever would fill a disk is not tried out.
_MOST_UNPACKED = 1 << 30
_MOST_RATIO = 200
_SHOWN = 3


@dataclass(frozen=True)
class Kind:
    """What a file is. `framework` None: no model, and `said` says what, with its article ("an HTML page")."""

    said: str
    framework: str | None = None
    form: str = ""
    name: str = ""
    executable: bool = False
    why: str = ""
    class_name: str | None = None


@dataclass(frozen=True)
class Contents:
    """A model's files: where each lies now, by its name in the artifact; and how the model's own file was named."""

    framework: str
    form: str
    executable: bool
    files: Mapping[str, Path]
    original_name: str | None = None
    class_name: str | None = None


_PICKLED = (".pkl", ".pickle", ".joblib", ".sav", ".dill", ".p", ".z", ".gz", ".bz2", ".xz", ".lzma", ".lz4")
_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".model", ".jit", ".ts", ".torchscript")
# What a suffix promises: the forms that may stand behind it.
_PROMISED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_PICKLED, ("joblib", "cloudpickle")),
    **dict.fromkeys(_TORCH, ("pt", "pth", "pt2", "ubj", "json", "bst", "binary")),
    ".pt2": ("pt2",),
    ".skops": ("skops",),
    ".onnx": ("onnx",),
    ".ubj": ("ubj",),
    ".json": ("json",),
    ".bst": ("ubj", "json", "binary", "bst"),
    ".txt": ("bst",),
    ".lgb": ("bst",),
    ".pmml": ("pmml",),
    ".xml": ("pmml",),
    ".keras": ("keras",),
    ".h5": ("keras",),
    ".hdf5": ("keras",),
    ".pb": ("saved_model",),
}
# How a sentence calls what the suffix promises.
_CALLED = {
    ".onnx": "an ONNX model",
    ".skops": "a skops file",
    ".ubj": "an XGBoost model",
    ".pmml": "PMML",
    ".keras": "a Keras model",
    ".pt2": "an exported PyTorch program",
}


def read(path: Path, model_type: str | None = None) -> Contents:
    """The model at a path. Raises `UnsupportedModel`, saying in one sentence what was found there instead.

    `model_type` is what the caller says it is: it must agree, and it alone makes a pickle of another name acceptable.
    """
    # A link that was given by name is followed; one inside a folder could lead anywhere.
    path = path.resolve(strict=True)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        found = _folder(path, model_type)
    elif stat.S_ISREG(mode) and path.name in ("MLmodel", "saved_model.pb"):
        found = _folder(path.parent, model_type)
    elif stat.S_ISREG(mode):
        found = _one(path, model_type, {})
    else:
        raise _unsupported(path, f"is {_special(mode)}, neither a file nor a folder")
    if model_type is not None and model_type != found.framework:
        raise UnsupportedModel(
            f"{path} holds {_named(found)}, and model_type says {model_type}.",
            subject=str(path),
            hint=f"Give model_type={found.framework!r}, or leave it away.",
        )
    return found


def _named(found: Contents) -> str:
    return "an MLflow model" if found.framework == "mlflow" else f"a model of the format {found.framework}"


def _one(path: Path, model_type: str | None, beside: Mapping[str, Path]) -> Contents:
    kind = of_file(path)
    suffix = path.suffix.lower()
    promised = _PROMISED.get(suffix)
    if kind.framework is None:
        expected = _CALLED.get(suffix)
        raise _unsupported(
            path, f"is {kind.said}{f', not {expected}' if expected else ', no model'}", kind.why
        )
    if promised is not None and kind.form not in promised:
        raise _unsupported(
            path,
            f"is {kind.said}, not {_CALLED.get(suffix, f'what *{suffix} stands for')}",
            "A file that is not what its name says is not loaded. If it is the right one, give it the right name.",
        )
    if promised is None and kind.executable and model_type != kind.framework:
        raise _unsupported(
            path,
            f"is {kind.said}, which runs code when it is loaded, under a name that does not say so",
            f"If you trust it, give model_type={kind.framework!r}, or name it {kind.name}.",
        )
    files = {**beside, kind.name: path}
    if kind.form == "onnx":
        files |= _external_data(path)
    return Contents(
        framework=kind.framework,
        form=kind.form,
        executable=kind.executable,
        files=files,
        original_name=path.name if path.name != kind.name else None,
        class_name=kind.class_name,
    )


def _folder(path: Path, model_type: str | None) -> Contents:
    entries = _entries(path)
    if not entries:
        raise _unsupported(path, "is an empty folder")
    if "MLmodel" in entries:
        return Contents("mlflow", "mlflow", executable=True, files=entries)
    graphs = [name for name in entries if name.rpartition("/")[2] in ("saved_model.pb", "saved_model.pbtxt")]
    if graphs:
        return _saved_model(path, entries, graphs)
    top = {name: file for name, file in entries.items() if "/" not in name}
    kinds = {name: of_file(file) for name, file in top.items() if name not in _NEVER_MODELS}
    models = [name for name, kind in kinds.items() if kind.framework is not None]
    # A PNG or a README is no lie; a *.onnx that is none, or a pickle in its place, is.
    if len(models) > 1:
        raise _unsupported(
            path,
            f"holds more than one model: {', '.join(f'{name} ({kinds[name].said})' for name in models[:_SHOWN])}",
            "Give the path of the one that is meant, or a folder of its own.",
        )
    if models:
        beside = {name: file for name, file in entries.items() if name != models[0]}
        return _one(top[models[0]], model_type, beside)
    folders = sorted({name.partition("/")[0] for name in entries if "/" in name})
    if len(folders) == 1:
        return _folder(path / folders[0], model_type)
    shown = [f"{name} ({kind.said})" for name, kind in kinds.items()] + [f"{name}/" for name in folders]
    more = len(shown) - _SHOWN
    raise _unsupported(
        path,
        f"holds no model: there is {', '.join(shown[:_SHOWN])}{f' and {more} more' if more > 0 else ''}",
        "Give the path of the model's own file or folder.",
    )


# Ours, and what trainers leave beside a model.
_NEVER_MODELS = frozenset({"kale.json", "requirements.txt", "config.pbtxt"})


def _saved_model(path: Path, entries: Mapping[str, Path], graphs: list[str]) -> Contents:
    roots = sorted({name.rpartition("/")[0] for name in graphs})
    if len(roots) > 1:
        raise _unsupported(
            path,
            f"holds more than one SavedModel: {', '.join(roots[:_SHOWN])}",
            f"Give the folder of one: {path / roots[-1]}.",
        )
    root = roots[0]
    kind = of_file(entries[graphs[0]])
    if graphs[0].endswith(".pb") and kind.form != "saved_model":
        raise _unsupported(entries[graphs[0]], f"is {kind.said}, not a SavedModel", kind.why)
    inside = f"{root}/" if root else ""
    return Contents(
        framework="tensorflow",
        form="saved_model",
        # A graph's operations read and write files, but it brings no code of its own.
        executable=False,
        files={f"1/{name[len(inside) :]}": file for name, file in entries.items() if name.startswith(inside)},
        original_name=(root or path.name) if root != "1" else None,
    )


def _entries(root: Path) -> dict[str, Path]:
    """All regular files below, by their names from there."""
    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        for entry in sorted(os.scandir(waiting.pop()), key=lambda item: item.name):
            if entry.name in _SKIPPED:
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISREG(mode):
                found[Path(entry.path).relative_to(root).as_posix()] = Path(entry.path)
            else:
                raise _unsupported(
                    Path(entry.path),
                    f"is {_special(mode)}, neither a file nor a folder",
                    "Replace links by what they point to, and leave pipes and devices out of a model's folder.",
                )
            if len(found) > _MOST_FILES:
                raise _unsupported(root, f"holds more than {_MOST_FILES} files, which no model has")
    return dict(sorted(found.items()))


_SKIPPED = frozenset({".git", ".DS_Store", ".ipynb_checkpoints", "__pycache__", ".gitattributes"})


def _special(mode: int) -> str:
    for test, said in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a folder"),
    ):
        if test(mode):
            return said
    return "a device"


def _external_data(path: Path) -> dict[str, Path]:
    """Large ONNX models keep their numbers in files beside them."""
    found = {}
    for name in sorted(protobufs.onnx_external(path)):
        file = path.parent / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not file.is_file() or file.is_symlink():
            raise _unsupported(
                path, f"keeps its numbers in {name[:100]}, which is not beside it", "Give both in one folder."
            )
        found[name] = file
    return found


def of_file(path: Path) -> Kind:
    """What one regular file is."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        for test in _TESTS:
            found = test(head, file, path)
            if found is not None:
                return found
    return Kind("a text file" if _is_text(head) else "a file of an unknown kind")


Test = Callable[[bytes, BinaryIO, Path], Kind | None]


def _signature(head: bytes, file: BinaryIO, path: Path) -> Kind | None:
    if not head:
        return Kind("an empty file")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return Kind("a Git LFS pointer", why="Run `git lfs pull` to get the file itself.")
    for magic, said, why in (
        (b"%PDF-", "a PDF", ""),
        (b"\x89PNG", "an image", ""),
        (b"\xff\xd8\xff", "an image", ""),
        (b"\x93NUMPY", "a numpy array", ""),
        (b"PAR1", "a Parquet table", ""),
        (b"GGUF", "a GGUF model", "It is served by llama.cpp and the like."),
        (b"\x7fELF", "a program", ""),
        (b"SQLite format 3\0", "a database", ""),
    ):
        if head.startswith(magic):
            return Kind(said, why=why)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        if b"model_config" in head or _holds(file, b"model_config"):
            return Kind("a Keras model (HDF5)", "tensorflow", "keras", "model.h5")
        return Kind("an HDF5 file without a model's config", why="Weights alone cannot be served.")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return Kind(
            "a safetensors file", why="It holds weights alone: load them into the model and submit that."
        )
    return None


def _holds(file: BinaryIO, needle: bytes) -> bool:
    file.seek(0)
    kept = b""
    while block := file.read(1 << 20):
        if needle in kept + block:
            return True
        kept = block[-len(needle) :]
    return False


def _archive(head: bytes, file: BinaryIO, path: Path) -> Kind | None:  # noqa: ARG001
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                return Kind(f"an archive of {len(members)} members")
            packed, unpacked = path.stat().st_size, sum(member.file_size for member in members)
            if unpacked > _MOST_UNPACKED and unpacked > packed * _MOST_RATIO:
                return Kind(
                    f"an archive that would unpack to {unpacked >> 30} GiB from {packed / 2**20:.3g} MiB"
                )
            return _of_members(archive, {member.filename for member in members})
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return Kind("a damaged archive", why="It may have been cut short while it was copied.")


def _of_members(archive: zipfile.ZipFile, names: set[str]) -> Kind:
    inside = {name.partition("/")[2] for name in names}
    if "schema.json" in names and b'"__loader__"' in _member(archive, "schema.json"):
        return Kind("a skops file", "sklearn", "skops", "model.skops")
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return Kind("a TorchScript model", "pytorch", "pt", "model.pt")
    if (
        "models/model.json" in inside
        or "serialized_exported_program.json" in names | inside
        or "archive_format" in inside
    ):
        return Kind("an exported PyTorch program", "pytorch", "pt2", "model.pt2")
    pickled = next((name for name in names if name.partition("/")[2] == "data.pkl"), None)
    if pickled is not None:
        return _torch_module(_globals(io.BytesIO(_member(archive, pickled))))
    if {"config.json", "metadata.json"} <= names:
        return Kind("a Keras model", "tensorflow", "keras", "model.keras")
    if "MAR-INF/MANIFEST.json" in names:
        return Kind("a TorchServe archive", why="Give the model's file that is in it.")
    if names and all(name.endswith(".npy") for name in names):
        return Kind("an archive of numpy arrays")
    return Kind("a zip archive", why="Unpack it, and give the model's file or folder.")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(8 << 20)


def _torch_module(found: list[str]) -> Kind:
    if not found or found[0] in ("collections OrderedDict", "torch._utils _rebuild_tensor_v2"):
        return Kind(
            "a PyTorch file of weights alone (a state dict)",
            why="Load them into the module and submit that: Model(module).",
        )
    return Kind(
        "a pickled PyTorch module",
        "pytorch",
        "pth",
        "model.pth",
        executable=True,
        class_name=found[0].rpartition(" ")[2],
    )


def _packed_pickle(head: bytes, file: BinaryIO, path: Path) -> Kind | None:  # noqa: ARG001
    """What joblib compresses: as much of it as tells what it is."""
    unpack: Callable[[bytes], bytes]
    if head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        unpack, said = (lambda data: zlib.decompressobj().decompress(data, _HEAD)), "zlib"
    elif head.startswith(b"\x1f\x8b"):
        unpack, said = (lambda data: zlib.decompressobj(31).decompress(data, _HEAD)), "gzip"
    elif head.startswith(b"BZh"):
        unpack, said = (lambda data: bz2.BZ2Decompressor().decompress(data, _HEAD)), "bzip2"
    elif head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        unpack, said = (lambda data: lzma.LZMADecompressor().decompress(data, _HEAD)), "lzma"
    elif head.startswith(b"\x04\x22\x4d\x18"):
        # The standard library cannot look inside; joblib, which writes these, can.
        return Kind("a compressed pickle", "sklearn", "joblib", "model.joblib", executable=True)
    else:
        return None
    try:
        inner = unpack(head)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return None
    found = _globals(io.BytesIO(inner)) if _is_pickle(inner) else None
    if found is None:
        return Kind(f"a {said} archive", why="Unpack it, and give the model's file or folder.")
    return Kind(
        "a compressed pickle",
        "sklearn",
        "joblib",
        "model.joblib",
        executable=True,
        class_name=found[0].rpartition(" ")[2] if found else None,
    )


_TORCH_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def _pickle(head: bytes, file: BinaryIO, path: Path) -> Kind | None:  # noqa: ARG001
    if head.startswith(_TORCH_MAGIC):
        file.seek(0)
        # Four pickles, of which the last is the object's.
        for _ in range(3):
            _globals(file)
        return _torch_module(_globals(file))
    if not _is_pickle(head):
        return None
    file.seek(0)
    found = _globals(file)
    packages = {name.partition(".")[0] for name in found}
    class_name = found[0].rpartition(" ")[2] if found else None
    if not found:
        return Kind("a pickle of plain data")
    if "joblib.numpy_pickle NumpyArrayWrapper" in found or packages & {"sklearn", "xgboost", "lightgbm"}:
        return Kind("a pickle", "sklearn", "joblib", "model.joblib", executable=True, class_name=class_name)
    if "torch" in packages:
        return Kind(
            "a pickle with PyTorch's tensors",
            why="Save the module with torch.save or torch.export, or submit it: Model(module).",
        )
    return Kind("a pickle", "python", "cloudpickle", "model.pkl", executable=True, class_name=class_name)


def _is_pickle(head: bytes) -> bool:
    """By protocol 2's mark; older ones have none, and are read as far as they make sense."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if head[:1] not in b"(c]}lid\x8a" or not head:
        return False
    count = 0
    try:
        for _ in pickletools.genops(head):
            count += 1
    except Exception:
        # The head may end within it, but data of another kind makes no sense from the start.
        return count > _HEAD // 100
    return count > 1


def _globals(file: BinaryIO) -> list[str]:
    """The names, "module name", that a pickle refers to, in their order, as far as it can be read: arrays stand in between."""
    found: list[str] = []
    texts: list[str] = []
    memo: dict[int, str] = {}
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_OPCODES:
                break
            name = opcode.name
            if name in ("GLOBAL", "INST"):
                found.append(str(argument))
            elif name == "STACK_GLOBAL" and len(texts) > 1:
                found.append(f"{texts[-2]} {texts[-1]}")
            elif name in ("BINGET", "LONG_BINGET", "GET"):
                texts.append(memo.get(int(argument or 0), ""))
            elif name == "MEMOIZE":
                memo[len(memo)] = texts[-1] if texts else ""
            elif isinstance(argument, str):
                texts.append(argument)
            elif name not in ("FRAME", "PROTO"):
                # Whatever is memoized next is no text.
                texts.append("")
            del texts[:-8]
    except Exception:
        return found
    return found


def _xgboost(head: bytes, file: BinaryIO, path: Path) -> Kind | None:  # noqa: ARG001
    if re.match(rb'\s*\{\s*"(learner|version)"\s*:\s*[\[{]', head) and b'"learner"' in head:
        return Kind("an XGBoost model (JSON)", "xgboost", "json", "model.json")
    if head[:1] == b"{" and re.match(rb"\{(L.{8}|l.{4}|I.{2}|[iU].)(learner|version)", head, re.DOTALL):
        return Kind("an XGBoost model", "xgboost", "ubj", "model.ubj")
    # The old binary form has no magic number of its own in a file: the learner's parameters, then two names.
    start = 4 if head.startswith(b"binf") else 0
    length = int.from_bytes(head[start + 136 : start + 144], "little")
    if 3 <= length < 64:
        objective = head[start + 144 : start + 144 + length]
        booster = head[start + 152 + length : start + 160 + length]
        if re.fullmatch(rb"[a-z]+:[a-z_0-9]+", objective) and booster.startswith(
            (b"gbtree", b"gblinear", b"dart")
        ):
            return Kind("an XGBoost model (old binary form)", "xgboost", "binary", "model.bst")
    return None


def _texts(head: bytes, file: BinaryIO, path: Path) -> Kind | None:  # noqa: ARG001
    if head.startswith((b"tree\n", b"tree\r\n")) and b"version=" in head[:200]:
        return Kind("a LightGBM model", "lightgbm", "bst", "model.bst")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = start[:2000].lower()
    if lower.startswith((b"<!doctype html", b"<html")) or (
        lower.startswith(b"<") and b"<html" in lower and b"<pmml" not in lower
    ):
        return Kind("an HTML page", why="A download that asked for a login leaves such a page.")
    if start.startswith((b"<", b"\xff\xfe<", b"\xfe\xff")):
        root = re.search(rb"<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s>/]", start)
        if root is not None and root[2] == b"PMML":
            if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
                return Kind(
                    "PMML with entities of its own",
                    why="Remove the DOCTYPE: entities may expand without end.",
                )
            return Kind("PMML", "pmml", "pmml", "model.pmml")
        return Kind("an XML file")
    if start.startswith(b"{"):
        if re.match(rb'\{\s*"name"\s*:\s*"tree"', start):
            return Kind(
                "a LightGBM model as JSON",
                why="LightGBM cannot load it: save it with booster.save_model instead.",
            )
        try:
            json.loads(start) if len(head) < _HEAD else None
        except ValueError:
            return None
        return Kind("a JSON file")
    return None


def _protobuf(head: bytes, file: BinaryIO, path: Path) -> Kind | None:
    del head, file
    if protobufs.is_onnx(path):
        return Kind("an ONNX model", "onnx", "onnx", "model.onnx")
    if protobufs.is_saved_model(path):
        return Kind("a SavedModel's graph", "tensorflow", "saved_model", "1/saved_model.pb")
    if protobufs.is_graph(path):
        return Kind("a frozen TensorFlow graph", why="Save it as a SavedModel.")
    return None


_TESTS: tuple[Test, ...] = (
    _signature,
    _archive,
    _packed_pickle,
    _xgboost,
    _texts,
    _pickle,
    _protobuf,
)


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def _is_text(head: bytes) -> bool:
    try:
        text = head[: _HEAD - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 8:
            return False
        text = head[: error.start].decode("utf-8")
    return not _CONTROL.search(text)


def _unsupported(path: Path, what: str, hint: str = "") -> UnsupportedModel:
    return UnsupportedModel(
        f"{path} {what}.",
        subject=str(path),
        hint=hint or "Give the path of the model's own file or folder.",
    )
