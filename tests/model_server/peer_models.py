"""Run by a peer's interpreter: makes the models of its framework, saves them by our savers, and writes what they answer.

`python peer_models.py FRAMEWORK FOLDER` writes for each model `FOLDER/<name>/` (the artifact), `<name>.json` (signature, class,
format) and `<name>.npz` (the sample as `in_<input>`, the model's own answers as `out_<output>`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from kale_serve_lab.artifacts import discovery, savers
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.model_server.outputs import by_name, plain

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(5, 4)).astype("float32")
IDS = RNG.integers(0, 10, (5, 6))


def torch_models():
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.numbers = nn.Linear(4, 8)
            self.words = nn.Embedding(10, 8)

        def forward(self, numbers, ids):
            hidden = self.numbers(numbers) + self.words(ids).mean(1)
            return {"total": hidden.sum(1), "hidden": hidden}

    class ByData(nn.Module):
        """What it does depends on its data, which no program can say."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return (self.layer(x), x.argmax(1)) if x.sum() > 0 else (-self.layer(x), x.argmin(1))

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2, dtype=torch.bfloat16)

        def forward(self, x):
            return self.layer(x)

    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    pixels = RNG.normal(size=(5, 3, 8, 8)).astype("float32")
    fixed = torch.export.export(nn.Linear(4, 2).eval(), (torch.from_numpy(ROWS),))
    return {
        "network": (network, torch.from_numpy(ROWS), "pt2"),
        "two": (Two(), {"numbers": ROWS, "ids": torch.from_numpy(IDS)}, "pt2"),
        "image": (image, pixels, "pt2"),
        "by_data": (ByData(), ROWS, "pth"),
        "scripted": (torch.jit.script(network), ROWS, "pt"),
        "bfloat16": (Half(), ROWS, "pt2"),
        "fixed": (fixed, ROWS, "pt2"),
    }


def tensorflow_models():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    dense = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    numbers, ids = keras.Input((4,), name="numbers"), keras.Input((6,), dtype="int32", name="ids")
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 8)(ids))
    hidden = keras.layers.Concatenate()([keras.layers.Dense(8)(numbers), words])
    two = keras.Model(
        [numbers, ids],
        [keras.layers.Dense(1, name="price")(hidden), keras.layers.Dense(3, name="kind")(hidden)],
    )
    split = keras.layers.TextVectorization(vocabulary=["good", "bad"], output_sequence_length=3)
    texts = keras.Sequential([keras.Input((1,), dtype="string"), split, keras.layers.Embedding(4, 2)])

    class Module(tf.Module):
        def __init__(self):
            self.factor = tf.Variable(2.5)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
        def __call__(self, x):
            return {"scaled": x * self.factor, "sum": tf.reduce_sum(x, 1)}

    return {
        "dense": (dense, ROWS, "saved_model"),
        "two": (two, {"numbers": ROWS, "ids": tf.constant(IDS)}, "saved_model"),
        "texts": (
            texts,
            np.array([["good"], ["bad bad"], ["好"], [""], ["good bad"]], dtype=object),
            "saved_model",
        ),
        "module": (Module(), ROWS, "saved_model"),
    }


def onnx_models():
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    classifier = LogisticRegression().fit(ROWS, [0, 1, 2, 1, 0])
    labels = LogisticRegression().fit(ROWS, ["a", "b", "c", "b", "a"])
    table = np.array([["x", "1"], ["y", "2"], ["x", "3"], ["y", "5"], ["x", "8"]], dtype=object)
    encoder = ColumnTransformer([("city", OneHotEncoder(sparse_output=False), [0])], remainder="passthrough")
    mixed = make_pipeline(encoder, LogisticRegression()).fit(table, [0, 1, 0, 1, 1])
    columns = to_onnx(
        mixed,
        initial_types=[("city", StringTensorType([None, 1])), ("size", FloatTensorType([None, 1]))],
        options={"zipmap": False},
    )

    def graph(rows):
        weight = numpy_helper.from_array(RNG.normal(size=(4, 2)).astype("float32"), "w")
        inputs = [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [rows, 4]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, [rows, 2]),
        ]
        outputs = [
            helper.make_tensor_value_info("product", TensorProto.FLOAT, [rows, 2]),
            helper.make_tensor_value_info("half", TensorProto.FLOAT16, [rows, 2]),
        ]
        nodes = [
            helper.make_node("MatMul", ["a", "w"], ["raw"]),
            helper.make_node("Cast", ["mask"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["raw", "ones"], ["product"]),
            helper.make_node("Cast", ["product"], ["half"], to=TensorProto.FLOAT16),
        ]
        made = helper.make_graph(nodes, "masked", inputs, outputs, [weight])
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    mask = RNG.random((5, 2)) < 0.5
    return {
        "zipmap": (to_onnx(classifier, ROWS[:1]), ROWS, "onnx"),
        "labels": (to_onnx(labels, ROWS[:1], options={"zipmap": False}), ROWS.astype("float64"), "onnx"),
        "columns": (
            columns,
            {"city": table[:, [0]], "size": table[:, [1]].astype("float32")},
            "onnx",
        ),
        "masked": (graph("rows"), {"a": ROWS, "mask": mask}, "onnx"),
        "fixed": (graph(5), {"a": ROWS, "mask": mask}, "onnx"),
    }


def write(framework: str, folder: Path) -> None:
    for name, (model, sample, form) in globals()[f"{framework}_models"]().items():
        found = savers.framework_of(model)
        assert savers.saver(found).problem(model) is None
        signature = discovery.signature_by(model, sample, "the sample")
        assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
        (folder / name).mkdir()
        training = getattr(model, "training", None)
        saved = savers.saver(found).save(model, folder / name, signature)
        assert saved.format == form, (name, saved)
        assert all((folder / name / file).is_file() for file in saved.files)
        answers = by_name("predict", plain(savers.methods(model)["predict"](_numpy(sample))))
        assert getattr(model, "training", None) == training
        about = {"framework": found, "format": saved.format, "class_name": type(model).__name__}
        (folder / name / "kale.json").write_text(json.dumps(about))
        inputs = sample if isinstance(sample, dict) else {signature.inputs[0].name: sample}
        np.savez(
            folder / f"{name}.npz",
            allow_pickle=True,
            **{f"in_{key}": np.asarray(value) for key, value in inputs.items()},
            **{f"out_{key}": value for key, value in answers.items()},
        )
        told = about | {"signature": signature.to_json(), "executable": saved.executable}
        (folder / f"{name}.json").write_text(json.dumps(told))


def _numpy(sample):
    if isinstance(sample, dict):
        return {name: np.asarray(value) for name, value in sample.items()}
    return np.asarray(sample)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
