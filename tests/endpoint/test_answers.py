"""What a server's answer becomes, where it is not what the signature says."""

from __future__ import annotations

import numpy as np
import pytest

from kale_serve_lab.endpoint import answers
from kale_serve_lab.endpoint.inputs import Given
from kale_serve_lab.inference.signature import Signature, TensorSpec

CLASSES = Signature(
    layout="tensor", inputs=[TensorSpec("x", "FP64", (-1, 2))], outputs=[TensorSpec("predict", "INT64")]
)


@pytest.mark.parametrize(
    ("predictions", "dtype"), [([1, 0], "int64"), ([1.0, 0.0], "int64"), ([[0.9, 0.1]], "float64")]
)
def test_probabilities_are_not_cut_down_to_classes(predictions, dtype):
    given = Given("array", matrix=np.zeros((1, 2)))
    found = answers.of_v1({"predictions": predictions}, given, CLASSES, None)
    assert found.tolist() == predictions
    assert found.dtype == dtype
