"""Run by the peer with torch: loads files that are not what they say; prints what came of each, and whether foreign code ran."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch
from torch import nn

from kale_serve_lab.model_server.loaders import pytorch

FOLDER = Path(sys.argv[1])
RAN = FOLDER / "ran"


class Evil:
    def __reduce__(self):
        return (os.mkdir, (str(RAN),))


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def program():
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(3, 2),)), buffer)
    return buffer.getvalue()


def rewritten(archive, change, extra=()):
    """The archive with each member's bytes through `change(name, data)`, and `extra` members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        for name, data in extra:
            target.writestr(name, data)
    return out.getvalue()


def pickled_weights(name, data):
    if name.endswith("model_weights_config.json"):
        config = json.loads(data)
        for entry in config["config"].values():
            entry["use_pickle"] = True
        return json.dumps(config)
    return saved(Evil()) if "/weights/" in name else data


GOOD = program()
CASES = {
    "weights": ("model.pt", saved(nn.Linear(2, 2).state_dict()), {}),
    "undeclared module": ("model.pth", saved(nn.Linear(2, 2)), {}),
    "evil torch.save": ("model.pt", saved(Evil()), {}),
    "evil undeclared": ("model.pth", saved(Evil()), {}),
    "evil pickle": ("model.pt2", pickle.dumps(Evil()), {}),
    "no file of torch": ("model.pt", b"PK not at all", {}),
    "evil sample": (
        "model.pt2",
        rewritten(GOOD, lambda name, data: saved(Evil()) if "sample_inputs" in name else data),
        {},
    ),
    "evil weights": ("model.pt2", rewritten(GOOD, pickled_weights), {}),
    "evil constant": (
        "model.pt2",
        rewritten(
            GOOD, lambda _, data: data, [("archive/data/constants/opaque_obj_0", pickle.dumps(Evil()))]
        ),
        {},
    ),
    "declared, no module": ("model.pth", saved({"a": 1}), {"format": "pth"}),
    "program of another name": ("net.pt", GOOD, {}),
}

found = {}
for number, (case, (name, data, about)) in enumerate(CASES.items()):
    folder = FOLDER / str(number)
    folder.mkdir()
    (folder / name).write_bytes(data)
    try:
        told = f"loaded {type(pytorch.load(folder, about)).__name__}"
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    found[case] = [told, RAN.exists()]
    if RAN.exists():
        RAN.rmdir()
print(json.dumps(found))
