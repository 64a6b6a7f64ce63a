"""A transformer's functions may use what they import, their assets and the builtins: all else is named."""

import json

import numpy as np

from kale_serve_lab.artifacts.functions import FUTURE, free_names, source_of

vocabulary = {"a": 1}


def helper(x):
    return x


def good(inputs: "np.ndarray") -> dict:
    import numpy as np

    def inner(row):
        return [len(word) for word in row if isinstance(word, str)]

    return {"instances": [inner(row) for row in np.asarray(inputs["instances"])]}


def bad(inputs, default=vocabulary):
    rows = [helper(row) for row in inputs["instances"]]
    return {"instances": [json.dumps(row) for row in rows]}


def annotated(inputs: json.JSONDecoder) -> dict:
    return inputs


def test_imports_inside_nested_functions_and_builtins_are_free_to_use():
    assert free_names(good) == set()
    assert free_names(annotated) == set()


def test_globals_are_named_also_in_nested_code_and_defaults():
    assert free_names(bad) == {"helper", "json", "vocabulary"}


def test_closures_are_named():
    secret = 3

    def inside(inputs):
        return {"instances": [secret]}

    assert free_names(inside) == {"secret"}


def test_the_source_runs_without_its_module():
    scope = {}
    exec(FUTURE + source_of(annotated) + source_of(good), scope)
    assert scope["good"]({"instances": [["ab", "c"]]}) == {"instances": [[2, 1]]}


def test_a_lambda_has_no_source_of_its_own():
    assert source_of(lambda inputs: inputs) is None
