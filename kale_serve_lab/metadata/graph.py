"""Which nodes belong to the lineage of an artifact: its ancestors and its descendants, not its siblings.

A session that made fifty models is an ancestor of each, but the other forty-nine are not in the lineage of the one.
Pure but for the function that it asks for events, so that it walks any store, a level at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from kale_serve_lab.metadata.types import Edge


@dataclass(frozen=True, order=True)
class Link:
    """An event: the artifact was an input or (`is_output`) an output of the execution."""

    artifact: int
    execution: int
    is_output: bool

    def edge(self) -> Edge:
        """The edge in the way of the data."""
        artifact, execution = f"artifact:{self.artifact}", f"execution:{self.execution}"
        return Edge(execution, artifact, "output") if self.is_output else Edge(artifact, execution, "input")


@dataclass(frozen=True)
class Closure:
    """Ids of the artifacts and executions of a lineage, its links, and whether `limit` cut it."""

    artifacts: frozenset[int]
    executions: frozenset[int]
    links: tuple[Link, ...]
    truncated: bool


# The links of artifacts, and of executions.
LinksOf = Callable[[Collection[int]], Iterable[Link]]


def closure(root: int, of_artifacts: LinksOf, of_executions: LinksOf, limit: int) -> Closure:
    """Everything that `root` came from and that came of it, nearest first, at most `limit` nodes."""
    artifacts, executions = {root}, set[int]()
    links: set[Link] = set()
    truncated = False
    for upstream in (True, False):
        fresh, done_artifacts, done_executions = {root}, {root}, set[int]()
        while fresh and not truncated:
            found = {link for link in of_artifacts(fresh) if link.is_output == upstream}
            steps = {link.execution for link in found} - done_executions
            room = limit - len(artifacts) - len(executions)
            steps, truncated = _cut(steps, executions, room)
            executions |= steps
            done_executions |= steps
            links |= {link for link in found if link.execution in executions}
            if not steps:
                break
            found = {link for link in of_executions(steps) if link.is_output != upstream}
            fresh = {link.artifact for link in found} - done_artifacts
            fresh, cut = _cut(fresh, artifacts, limit - len(artifacts) - len(executions))
            truncated = truncated or cut
            artifacts |= fresh
            done_artifacts |= fresh
            links |= {link for link in found if link.artifact in artifacts}
    return Closure(frozenset(artifacts), frozenset(executions), tuple(sorted(links)), truncated)


def _cut(ids: set[int], known: set[int], room: int) -> tuple[set[int], bool]:
    """At most `room` ids that are not known yet, the newest (highest) first."""
    fresh = ids - known
    if len(fresh) <= room:
        return ids, False
    return (ids & known) | set(sorted(fresh, reverse=True)[: max(room, 0)]), True
