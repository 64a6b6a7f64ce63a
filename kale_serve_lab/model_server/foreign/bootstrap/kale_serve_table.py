"""A table as the model was fitted on it, from whatever of the wire's two forms it was sent in.

Imported by the scripts beside it, in another server's environment: numpy, and pandas where the model needs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FILE = "table.json"


class Table:
    """The columns of a model's input; `named`: it was fitted on a DataFrame."""

    def __init__(self, names: list[str], *, named: bool) -> None:
        self.names, self.named = names, named

    @classmethod
    def read(cls, folder: Path) -> Table | None:
        """What the adapter wrote down; None for a model whose input is no table."""
        path = folder / FILE
        if not path.exists():
            return None
        about = json.loads(path.read_bytes())
        return cls(about["names"], named=about["named"])

    def of_rows(self, rows: Sequence[Any]) -> Any:
        """From v1's instances: lists in the order of the columns, or objects by their names."""
        if rows and isinstance(rows[0], dict):
            rows = [[self._cell(row, name) for name in self.names] for row in rows]
        if not self.named:
            return np.array(rows)
        import pandas as pd

        return pd.DataFrame(list(rows), columns=self.names)

    def of_tensors(self, tensors: Sequence[tuple[str, Sequence[int], Any]]) -> Any:
        """From v2's inputs (name, shape, values): one tensor of all columns, or one a column."""
        name, shape, values = tensors[0]
        if len(tensors) == 1 and len(shape) > 1 and shape[1] == len(self.names) and name not in self.names:
            array = _texts(values).reshape(list(shape))
            if not self.named:
                return array
            import pandas as pd

            return pd.DataFrame(array, columns=self.names)
        given = {name: _texts(values).reshape(shape[0]) for name, shape, values in tensors}
        columns = {name: self._cell(given, name) for name in self.names}
        if not self.named:
            return np.column_stack(list(columns.values()))
        import pandas as pd

        return pd.DataFrame(columns)

    def _cell(self, given: dict[str, Any], name: str) -> Any:
        if name not in given:
            raise ValueError(f"The request has no input {name!r}; the model takes {', '.join(self.names)}.")
        return given[name]


def _texts(values: Any) -> np.ndarray:
    """The values as an array, texts as texts: the wire has bytes."""
    array = np.asarray(values)
    if array.dtype.kind in "OS":
        plain = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
        array = np.array(plain, dtype=object).reshape(array.shape)
    return array
