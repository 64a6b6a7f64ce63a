"""The table of runtimes with a user's own rows: `<data directory>/runtimes/*.yaml`, read at each use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kale_serve_lab.errors import InvalidConfig
from kale_serve_lab.serving.runtimes import RUNTIMES, Runtime
from kale_serve_lab.serving.serving_runtime import MAX_BYTES, from_yaml

MAX_FILES = 100
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Rows:
    """All runtimes there are, and what is wrong with the files that are none."""

    runtimes: tuple[Runtime, ...] = RUNTIMES
    problems: tuple[InvalidConfig, ...] = ()

    def find(self, name: str) -> Runtime | None:
        """The runtime of this name."""
        return next((row for row in self.runtimes if row.name == name), None)


def read(folder: Path) -> Rows:
    """The table's rows and the user's; a file that cannot be read takes nothing from the others."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    except FileNotFoundError:
        return Rows()
    except OSError as error:
        return Rows(problems=(_unreadable(folder, error),))
    rows, problems = list(RUNTIMES), []
    if len(files) > MAX_FILES:
        problems.append(
            InvalidConfig(
                f"{folder} holds {len(files)} files; the first {MAX_FILES} are read.", subject=str(folder)
            )
        )
    for path in files[:MAX_FILES]:
        try:
            row = from_yaml(_text(path), str(path))
            taken = next((other for other in rows if other.name == row.name), None)
            if taken is not None:
                raise InvalidConfig(
                    f"{path} names its runtime {row.name}, which is the name of another (from {taken.source}).",
                    subject=str(path),
                    hint="Give it another metadata.name.",
                )
            rows.append(row)
        except InvalidConfig as error:
            problems.append(error)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(_unreadable(path, error))
    return Rows(tuple(rows), tuple(problems))


def _text(path: Path) -> str:
    if not path.is_file():
        raise InvalidConfig(
            f"{path} is no file.", subject=str(path), hint="Take it out of the runtimes folder."
        )
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1).decode()


def _unreadable(path: Path, error: Exception) -> InvalidConfig:
    return InvalidConfig(f"{path} cannot be read: {error}.", subject=str(path))
