"""Versions and the graph of a lineage, which are functions of values."""

from __future__ import annotations

import pytest

from kale_serve_lab.metadata.graph import Link, closure
from kale_serve_lab.metadata.versions import following


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], "1.0.0"),
        (["1.0.0"], "1.0.1"),
        (["1.0.9", "1.0.10"], "1.0.11"),
        (["2", "1.9.9"], "2.0.1"),
        (["v3.1"], "3.1.1"),
        (["latest", "1.0.0-rc1"], "1.0.0"),
        (["final", "0.9.0"], "0.9.1"),
    ],
)
def test_the_next_version_follows_the_highest_numbered_one(existing, expected):
    assert following(existing) == expected


def walk(links, root, limit=1000):
    asked = []

    def of_artifacts(ids):
        asked.append(ids)
        return [link for link in links if link.artifact in ids]

    def of_executions(ids):
        return [link for link in links if link.execution in ids]

    return closure(root, of_artifacts, of_executions, limit), asked


def chain(*steps):
    """Links of (inputs, execution, outputs)."""
    return [
        Link(artifact, execution, is_output)
        for inputs, execution, outputs in steps
        for is_output, artifacts in ((False, inputs), (True, outputs))
        for artifact in artifacts
    ]


def test_a_lineage_is_ancestors_and_descendants_without_siblings():
    links = chain(([1], 10, [2, 3]), ([2], 11, [4]), ([3], 12, [5]), ([4, 9], 13, [6]))
    found, _ = walk(links, 2)
    assert found.artifacts == {1, 2, 4, 6}
    assert found.executions == {10, 11, 13}
    assert Link(3, 10, True) not in found.links
    assert {link.edge().kind for link in found.links} == {"input", "output"}


def test_a_cycle_ends():
    found, _ = walk(chain(([1], 10, [2]), ([2], 11, [1])), 1)
    assert found.artifacts == {1, 2}
    assert not found.truncated


def test_a_level_is_asked_for_at_once():
    links = chain(*(([1], 10 + i, [100 + i]) for i in range(50)))
    _, asked = walk(links, 1)
    assert len(asked) <= 3


@pytest.mark.parametrize("limit", [1, 2, 7, 50, 100, 101])
def test_a_limit_cuts_to_whole_edges(limit):
    links = chain(*(([1], 10 + i, [100 + i]) for i in range(50)))
    found, _ = walk(links, 1, limit)
    assert len(found.artifacts) + len(found.executions) <= max(limit, 1)
    assert found.truncated == (limit < 101)
    assert all(
        link.artifact in found.artifacts and link.execution in found.executions for link in found.links
    )
