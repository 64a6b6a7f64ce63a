"""The `kale.*` names, also where kubeflow-kale's own `kale` package lies in another directory than ours.

In one site-packages our files (`kale/serve/…`, no `kale/__init__.py`) merge with kubeflow-kale's by themselves. Elsewhere
(user site, editable install, a kernel that has only our package on its path) the finder below resolves them. It stands last:
whatever Python finds by itself wins.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from os.path import dirname, join

_ROOT = dirname(__file__)  # noqa: PTH120 (pathlib costs more than this whole module)
_FOLDERS = ("kale", "kale.common")
_MODULES = ("kale.serve", "kale.artifacts", "kale.ml", "kale.common.artifacts", "kale.common.serveutils")


class KaleNames:
    """A finder for our own `kale.*` modules and for nothing else."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        """The module of ours, None for all other names."""
        folder = join(_ROOT, *fullname.split(".")) if fullname.startswith("kale") else ""  # noqa: PTH118
        if fullname in _MODULES:
            return spec_from_file_location(
                fullname,
                join(folder, "__init__.py"),  # noqa: PTH118 (pathlib is not worth its import here)
                submodule_search_locations=[folder],
            )
        if fullname in _FOLDERS:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [folder]
            return spec
        return None


def install() -> None:
    """Put the finder last on `sys.meta_path`, once."""
    if not any(getattr(finder, "__name__", None) == KaleNames.__name__ for finder in sys.meta_path):
        sys.meta_path.append(KaleNames)
