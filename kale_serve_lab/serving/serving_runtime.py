"""A user's own ServingRuntime, as KServe writes one, read into a row of the table. Pure but for PyYAML."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from kale_serve_lab.errors import InvalidConfig
from kale_serve_lab.serving.config import PROTOCOLS
from kale_serve_lab.serving.runtimes import Runtime, ServedFormat

MAX_BYTES = 256 * 1024
REQUIREMENTS = "kale-serve.dev/requirements"
PROGRAMS = "kale-serve.dev/programs"
_KINDS = ("ServingRuntime", "ClusterServingRuntime")
_READ_OF_SPEC = ("supportedModelFormats", "protocolVersions", "containers", "annotations", "labels")
_READ_OF_CONTAINER = ("name", "image", "command", "args", "env")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LONGEST = 253
_DEEPEST = 50


def from_yaml(text: str, source: str) -> Runtime:
    """The row that a ServingRuntime makes: it runs here as its first container's command and arguments.

    The annotation `kale-serve.dev/requirements` (one pip requirement a line) gives it an environment of its own,
    `kale-serve.dev/programs` the programs that must be on PATH. `source` is the file's path, which errors name with the line.
    Raises `InvalidConfig`.
    """
    import yaml

    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise _bad(source, f"is larger than {MAX_BYTES // 1024} KiB")
    loader = None
    try:
        loader = _loader(yaml)(text)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _bad(source, f"is no YAML: {error.problem}", mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(source, f"is no YAML: {str(error)[:200]}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return _Reader(source, node).runtime(value)


def _loader(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """A safe loader without aliases, ten lines of which can stand for gigabytes, and without deep nesting."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            mark = self.peek_event().start_mark
            if self.check_event(yaml.AliasEvent):
                raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", mark)
            if self.depth >= _DEEPEST:
                raise yaml.composer.ComposerError(None, None, "it is nested too deeply", mark)
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Loader


class _Reader:
    """Reads values and says where one is wrong; `node` is the same document with its line numbers."""

    def __init__(self, source: str, node: Any) -> None:
        self._source, self._node = source, node

    def runtime(self, value: Any) -> Runtime:
        if not isinstance(value, Mapping) or value.get("kind") not in _KINDS:
            raise self.wrong(("kind",), "is no ServingRuntime (`kind: ServingRuntime`)")
        metadata = self.mapping(value, "metadata")
        name = metadata.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise self.wrong(
                ("metadata", "name"), "needs metadata.name: small letters, digits, hyphens and dots"
            )
        spec = self.mapping(value, "spec")
        annotations = self.mapping(metadata, "annotations", ("metadata",))
        containers = spec.get("containers")
        if not isinstance(containers, list) or not containers or not isinstance(containers[0], Mapping):
            raise self.wrong(("spec", "containers"), "needs spec.containers with one container")
        container = containers[0]
        where = ("spec", "containers", 0)
        command, arguments = self.texts(container, "command", where), self.texts(container, "args", where)
        image = container.get("image")
        return Runtime(
            name=name,
            formats=self.formats(spec),
            adapter="command",
            requirements=self.lines(annotations, REQUIREMENTS),
            programs=self.lines(annotations, PROGRAMS),
            image=image if isinstance(image, str) else None,
            source=self._source,
            # Without a command it is the image that says what runs, and an image does not run here.
            command=(*command, *arguments) if command else (),
            env=self.variables(container, where),
            ignored=_ignored(spec, containers),
        )

    def formats(self, spec: Mapping[str, Any]) -> tuple[ServedFormat, ...]:
        protocols = tuple(self.texts(spec, "protocolVersions", ("spec",)) or ("v1",))
        for place, protocol in enumerate(protocols):
            if protocol not in PROTOCOLS:
                raise self.wrong(
                    ("spec", "protocolVersions", place),
                    f"names a protocol {protocol[:40]!r}; there are {', '.join(PROTOCOLS)}",
                )
        given = spec.get("supportedModelFormats")
        if not isinstance(given, list) or not given:
            raise self.wrong(
                ("spec", "supportedModelFormats"), "needs spec.supportedModelFormats, a list of {name}"
            )
        found: dict[str, ServedFormat] = {}
        for place, item in enumerate(given):
            where = ("spec", "supportedModelFormats", place)
            if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"]:
                raise self.wrong(where, "has a model format without a name")
            priority, automatic = item.get("priority", 1), item.get("autoSelect", False)
            if isinstance(priority, bool) or not isinstance(priority, int) or priority < 1:
                raise self.wrong((*where, "priority"), "has a priority that is no whole number above 0")
            if not isinstance(automatic, bool):
                raise self.wrong((*where, "autoSelect"), "has an autoSelect that is neither true nor false")
            # A format stands there once a version of it.
            before = found.get(item["name"])
            if before is None or priority > before.priority:
                found[item["name"]] = ServedFormat(item["name"], protocols, (), priority, automatic)
        return tuple(found.values())

    def variables(self, container: Mapping[str, Any], where: tuple[Any, ...]) -> dict[str, str]:
        found = {}
        for place, item in enumerate(container.get("env") or []):
            if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
                raise self.wrong((*where, "env", place), "has an env entry without a name")
            # One with valueFrom has no meaning outside a cluster.
            if "value" in item:
                if not isinstance(item["value"], str):
                    raise self.wrong(
                        (*where, "env", place, "value"), "has a value that is no text (quote it)"
                    )
                found[item["name"]] = item["value"]
        return found

    def mapping(self, value: Mapping[str, Any], key: str, where: tuple[Any, ...] = ()) -> Mapping[str, Any]:
        found = value.get(key) or {}
        if not isinstance(found, Mapping):
            raise self.wrong((*where, key), f"has a {key} that is no object")
        return found

    def texts(self, value: Mapping[str, Any], key: str, where: tuple[Any, ...]) -> list[str]:
        found = value.get(key) or []
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self.wrong((*where, key), f"has {key} that is no list of texts")
        return found

    def lines(self, annotations: Mapping[str, Any], key: str) -> tuple[str, ...]:
        text = annotations.get(key)
        if text is None:
            return ()
        where = ("metadata", "annotations", key)
        if not isinstance(text, str):
            raise self.wrong(where, f"has {key} that is no text")
        given = [line.strip() for line in text.splitlines()]
        found = tuple(line for line in given if line and not line.startswith("#"))
        for line in found:
            # An option would be obeyed by the installer.
            if line.startswith("-") or len(shlex.split(line)) == 0:
                raise self.wrong(
                    where, f"has {line[:80]!r} in {key}, which is no name of a package or program"
                )
        return found

    def wrong(self, path: tuple[Any, ...], problem: str) -> InvalidConfig:
        return _bad(self._source, problem, _line(self._node, path))


def _ignored(spec: Mapping[str, Any], containers: list[Any]) -> tuple[str, ...]:
    """Fields that say where and how a container runs, which a process of this machine is not."""
    found = [f"spec.{key}" for key in spec if key not in _READ_OF_SPEC]
    found += [f"spec.containers[0].{key}" for key in containers[0] if key not in _READ_OF_CONTAINER]
    return (*found, *(f"spec.containers[{place}]" for place in range(1, len(containers))))


def _line(node: Any, path: tuple[Any, ...]) -> int | None:
    """The line of the deepest part of `path` that is there."""
    line = node.start_mark.line + 1 if node is not None else None
    for step in path:
        value = getattr(node, "value", None)
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            node = value[step]
        elif isinstance(value, list) and not isinstance(step, int):
            pairs = [pair for pair in value if isinstance(pair, tuple) and pair[0].value == step]
            if not pairs:
                break
            line = int(pairs[0][0].start_mark.line) + 1
            node = pairs[0][1]
            continue
        else:
            break
        line = node.start_mark.line + 1
    return line


def _bad(source: str, problem: str, line: int | None = None) -> InvalidConfig:
    place = source if line is None else f"{source}, line {line},"
    return InvalidConfig(
        f"{place} {problem}.", subject=source, hint="Mend the file, or take it out of the runtimes folder."
    )
