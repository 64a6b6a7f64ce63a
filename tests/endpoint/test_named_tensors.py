"""A model of several named tensors is asked by a dict of arrays."""

import numpy as np
import pytest

from kale_serve_lab import errors
from kale_serve_lab.endpoint import inputs
from kale_serve_lab.inference.signature import Signature, TensorSpec

SIGNATURE = Signature(
    layout="tensors",
    named=True,
    inputs=(TensorSpec("pixels", "FP32", (-1, 2, 2)), TensorSpec("bias", "FP64")),
    outputs=(TensorSpec("predict", "FP64"),),
)
PIXELS = np.arange(8, dtype="float32").reshape(2, 2, 2)


def test_each_tensor_travels_under_its_own_name_and_dtype():
    given = inputs.understand({"bias": [1.0, 2.0], "pixels": PIXELS}, SIGNATURE)
    sent = inputs.to_tensors(given, SIGNATURE)
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in sent] == [
        ("pixels", "FP32", (2, 2, 2)),
        ("bias", "FP64", (2,)),
    ]
    assert inputs.to_rows(given)[1] == {"pixels": [[4.0, 5.0], [6.0, 7.0]], "bias": 2.0}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"pixels": PIXELS}, "misses 'bias'"),
        ({"pixels": PIXELS, "bias": [1.0]}, "'bias' has 1 rows, 'pixels' has 2"),
        ({"pixels": PIXELS[0], "bias": [1.0]}, r"shape \[-1, 2, 2\]"),
        ({"pixels": PIXELS[:0], "bias": np.zeros(0)}, "no rows"),
        ({"pixels": PIXELS, "bias": ["a", "b"]}, "the model takes a number"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(value, words):
    with pytest.raises(errors.InvalidInput, match=words):
        inputs.understand(value, SIGNATURE)
