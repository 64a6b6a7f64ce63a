"""The kinds of model servers of a cluster: KServe's own rows, and our image for the formats that none of them serves."""

from __future__ import annotations

from dataclasses import replace

from kale_serve_lab.serving.runtimes import BUILT_IN, RUNTIMES, Runtime


def rows(table: tuple[Runtime, ...] = RUNTIMES) -> tuple[Runtime, ...]:
    """Rows to choose from as KServe chooses. Ours is taken by its name for every format it serves."""
    kserve = tuple(row for row in table if row.cluster)
    chosen = {one.format for row in kserve for one in row.formats if one.auto_select}
    own = next(row for row in table if row.name == BUILT_IN)
    formats = tuple(replace(one, priority=0, auto_select=one.format not in chosen) for one in own.formats)
    return (*kserve, replace(own, formats=formats))


ROWS = rows()
