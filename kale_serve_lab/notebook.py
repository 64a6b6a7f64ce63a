"""What the JupyterLab extension calls inside a kernel; docs/interfaces.md, "What runs in a kernel for the extension".

Both functions may run in a subshell while a cell runs, and never raise: what went wrong is in the answer.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from kale_serve_lab.artifacts import Model, Transformer, capture, discovery, features, savers
from kale_serve_lab.artifacts.dataset import made_in_this_session
from kale_serve_lab.artifacts.discovery import Candidate
from kale_serve_lab.artifacts.model import default_name
from kale_serve_lab.artifacts.session import session
from kale_serve_lab.client import Client
from kale_serve_lab.errors import InvalidRequest, KaleServeError, NotFound

_MOST_CANDIDATES = 12


class Answer(dict[str, Any]):
    """A JSON object that a kernel shows as JSON, whatever its size as text."""

    def _repr_json_(self) -> dict[str, Any]:
        return dict(self)

    def __repr__(self) -> str:
        return f"<answer with {', '.join(self)}>"


def find_models(cell_source: str = "") -> Answer:
    """The models among the notebook's variables, those of the given cell first, with what the serve form needs."""
    try:
        namespace = discovery.namespace_of_main()
        sources = (
            [cell_source, *discovery.executed_sources()] if cell_source else discovery.executed_sources()
        )
        made, mentioned = _cell_names(cell_source)
        client = Client(start=False, timeout_seconds=2)
        models = [
            _described(variable, model, framework, namespace, sources, mentioned, client)
            for variable, model, framework in discovery.models(namespace)
        ]
        models.sort(key=lambda m: (m["variable"] not in made, not m["in_cell"], not m["fitted"]))
        transformers = [
            {"variable": name, "name": value.name or name, "id": value.id}
            for name, value in namespace.items()
            if type(value) is Transformer
        ]
        return Answer(models=models, transformers=transformers, session=session(), error=None)
    except BaseException as error:
        return Answer(models=[], transformers=[], session=session(), error=_error(error)["error"])


def submit(
    variable: str,
    name: str | None = None,
    version: str | None = None,
    sample: str | None = None,
    transformer: str | int | None = None,
    description: str | None = None,
    tags: dict[str, str] | None = None,
) -> Answer:
    """Submit the model in a variable, with the variable `sample` as its sample and a transformer's variable or id."""
    try:
        namespace = discovery.namespace_of_main()
        model = _variable(namespace, variable)
        before: dict[str, Any] | None = None
        if isinstance(transformer, int):
            before = Client().request("GET", f"/api/artifacts/{transformer}")
        elif transformer is not None:
            found = _variable(namespace, transformer)
            if not isinstance(found, Transformer):
                raise InvalidRequest(f"The variable {transformer} is no Transformer.", subject=transformer)
            before = found.submit_artifact().artifact
        signature = capture.from_model(model) if sample is None else _sample(model, sample, namespace)
        artifact = Model(
            model=model,
            name=name,
            version=version or None,
            description=description or None,
            tags=tags,
            signature=signature,
        ).submit_artifact()
        stages = [{"name": stage, "seconds": took} for stage, took in artifact.seconds.items()]
        return Answer(artifact=artifact.artifact, transformer=before, stages=stages)
    except BaseException as error:
        return Answer(_error(error))


def _described(
    variable: str,
    model: Any,
    framework: str,
    namespace: dict[str, Any],
    sources: list[str],
    mentioned: set[str],
    client: Client,
) -> dict[str, Any]:
    class_name = type(model).__name__
    problem = _problem(model, framework)
    name = default_name(model)
    candidates: list[Candidate] = []
    if problem is None:
        candidates = _candidates(model, namespace, sources)
    sample, summary = None, f"{class_name}, not fitted yet" if problem and "yet" in problem else class_name
    if candidates:
        best = candidates[0]
        shape = [int(size) for size in getattr(best.data, "shape", (len(best.data),))]
        summary = f"{class_name}, fitted on {best.label} ({' x '.join(map(str, shape))})"
        rows = min(shape[0], capture.SAMPLE_ROWS)
        sample = {"variable": best.variable, "rows": rows, "text": _sample_text(best, rows, shape)}
    elif problem is None:
        count, _ = features.expected(model)
        if count is not None:
            summary = f"{class_name}, fitted on {count} features"
        elif framework == "sklearn":
            summary = f"{class_name}, fitted"
    versions = _versions(client, name)
    return {
        "variable": variable,
        "class_name": class_name,
        "framework": framework,
        "summary": summary,
        "fitted": problem is None or "yet" not in problem,
        "in_cell": variable in mentioned,
        "name": name,
        "version": versions["next"],
        "versions": versions["versions"],
        "sample": sample,
        "candidates": [candidate.variable for candidate in candidates[:_MOST_CANDIDATES]],
        "problem": None if problem is None else f"{variable}: {class_name} {problem}.",
    }


def _candidates(model: Any, namespace: dict[str, Any], sources: list[str]) -> list[Candidate]:
    try:
        return discovery.candidates(model, namespace, sources)
    except Exception:  # a half-fitted model, a table of a library of its own: the form opens without a sample
        return []


def _problem(model: Any, framework: str) -> str | None:
    try:
        return savers.saver(framework).problem(model)
    except Exception as error:
        return f"cannot be asked whether it is fitted ({type(error).__name__}: {error})"


def _sample(model: Any, sample: str, namespace: dict[str, Any]) -> Any:
    dataset = next(
        (dataset for dataset in made_in_this_session() if sample not in namespace and dataset.name == sample),
        None,
    )
    data = dataset if dataset is not None else _variable(namespace, sample)
    return discovery.signature_by(model, data, sample)


def _sample_text(best: Candidate, rows: int, shape: list[int]) -> str:
    text = f"{rows} row{'s' if rows != 1 else ''} of {best.label}"
    if len(shape) != 2:
        return text
    columns = getattr(best.data, "columns", None)
    named = columns is not None and all(isinstance(column, str) for column in columns)
    return f"{text}, {shape[1]} {'named ' if named else ''}column{'s' if shape[1] != 1 else ''}"


def _versions(client: Client, name: str) -> dict[str, Any]:
    # The form asks the daemon again when the name is typed; here it is only asked where it runs already.
    try:
        found = client.request("GET", f"/api/next_version?name={name}")
        return {"versions": list(found["versions"]), "next": str(found["next"])}
    except (KaleServeError, KeyError, TypeError):
        return {"versions": [], "next": "1.0.0"}


def _cell_names(source: str) -> tuple[set[str], set[str]]:
    """The names that the cell assigns or fits, and all that it mentions."""
    try:
        tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))
    except (SyntaxError, ValueError):
        words = set(re.findall(r"\b[^\W\d]\w*\b", source))
        return set(), words
    made, mentioned = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            mentioned.add(node.id)
            if isinstance(node.ctx, ast.Store):
                made.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr == "fit" and isinstance(node.value, ast.Name):
            made.add(node.value.id)
    return made, mentioned


def _variable(namespace: dict[str, Any], name: str) -> Any:
    if name not in namespace:
        raise NotFound(
            f"The notebook has no variable {name}.",
            subject=name,
            hint="Run the cell that makes it, then look again.",
        )
    return namespace[name]


def _error(error: BaseException) -> dict[str, Any]:
    if isinstance(error, KaleServeError):
        return error.to_json()
    return KaleServeError(f"{type(error).__name__}: {error}", code=type(error).__name__).to_json()
