"""A trained model on its way to the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kale_serve_lab.artifacts import capture, discovery, features, savers
from kale_serve_lab.artifacts.environment import environment
from kale_serve_lab.artifacts.submission import Submission, kebab, recorded_as, staging, write_about
from kale_serve_lab.errors import InvalidRequest, UnsupportedModel
from kale_serve_lab.inference.signature import Signature

_BY_SUFFIX = {
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".ubj": "xgboost",
    ".bst": "lightgbm",
    ".txt": "lightgbm",
}


class Model:
    """A fitted scikit-learn, XGBoost or LightGBM model, or with `artifact_uri` the files of one.

    `signature` may be a `Signature`, the training data itself (DataFrame, array, Dataset) or an MLflow signature; without
    one it is found: from the session's datasets, else from the variables that fit the model. `model_type` names the
    framework where it cannot be detected. `submit_artifact()` sets `id`, `uri`, `version` and `signature`.
    """

    TYPE = "kale.Model"

    def __init__(  # noqa: PLR0917 (Kale's signature)
        self,
        model: Any = None,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        author: str | None = None,
        signature: Any = None,
        tags: dict[str, str] | None = None,
        model_type: str | None = None,
        artifact_uri: str | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.description = description
        self.version = version
        self.author = author
        self.signature = signature
        self.tags = dict(tags or {})
        self.model_type = model_type
        self.artifact_uri = artifact_uri
        self.id: int | None = None
        self.uri: str | None = None
        self.artifact: dict[str, Any] | None = None
        self.seconds: dict[str, float] = {}
        self._version_asked = version
        self._found = False

    def submit_artifact(self) -> Model:
        """Save, store, record and link it; returns itself. The same model again is the same artifact.

        Raises `UnsupportedModel` (not fitted, no saver), `SaveFailed`, `InvalidSignature`, `VersionExists` (this version has
        other content), `StoreFull`, or what keeps the daemon from running.
        """
        if self.model is None:
            self._record(self._from_uri())
            return self
        if self.artifact_uri is not None:
            raise InvalidRequest(
                "A Model has either a model or an artifact_uri, not both.", subject=self.name
            )
        framework = self._checked()
        began = time.perf_counter()
        # A signature that was given is part of what is submitted; one that was found is only remembered with it.
        given = self.signature is not None and not self._found
        signature = self._signature()
        model, class_name = self.model, type(self.model).__name__
        classes = features.classes(model)
        with staging(f"{self.name} ({class_name})" if self.name else class_name, model) as folder:
            saved = savers.saver(framework).save(model, folder)
            write_about(
                folder,
                {
                    "framework": framework,
                    "format": saved.format,
                    "class_name": class_name,
                    "module": type(model).__module__,
                    "classes": None if classes is None else list(classes),
                    "n_features": features.expected(model)[0],
                    "estimator_type": features.estimator_type(model),
                    **({"signature": signature.to_json()} if given and signature is not None else {}),
                },
            )
            submission = Submission(
                self._body(
                    framework=framework,
                    class_name=class_name,
                    signature=None if signature is None else signature.to_json(),
                    environment=environment(saved.packages),
                    executable=saved.executable,
                    properties={"format": saved.format, "module": type(model).__module__},
                    inputs=[
                        dataset.id
                        for dataset in discovery.training_datasets(model)
                        if dataset.id is not None and recorded_as(dataset.id, dataset.uri)
                    ],
                )
            )
            submission.seconds["package"] = time.perf_counter() - began
            recorded = submission.send(folder)
        self._found = not given
        self.signature, self.seconds = signature, submission.seconds
        self.model_type = framework
        self._record(recorded)
        return self

    def _checked(self) -> str:
        class_name = type(self.model).__name__
        framework = self.model_type or savers.framework_of(self.model)
        if framework is None:
            raise UnsupportedModel(
                f"{class_name} (of {type(self.model).__module__}) is none of the models that can be saved: "
                f"{', '.join(savers.FRAMEWORKS)}.",
                subject=class_name,
                hint="Give the files of the model as artifact_uri, or serve your own image with serve_config.",
            )
        saver = savers.saver(framework)
        if not saver.matches(self.model):
            raise UnsupportedModel(
                f"{class_name} is no {framework} model.", subject=class_name, hint="Leave model_type away."
            )
        problem = saver.problem(self.model)
        if problem is not None:
            raise UnsupportedModel(
                f"{self.name or 'The model'}: {class_name} {problem}.",
                subject=class_name,
                hint="Call its fit first, then submit."
                if "yet" in problem
                else "Only what predicts can be served.",
            )
        return framework

    def _signature(self) -> Signature | None:
        given = self.signature
        if given is None or self._found:
            return discovery.find_signature(
                self.model,
                discovery.namespace_of_main(),
                discovery.executed_sources(),
            )
        if isinstance(given, Signature | dict) or (hasattr(given, "to_dict") and hasattr(given, "inputs")):
            return capture.signature_from(given)
        names = discovery.namespace_of_main()
        label = next((name for name, value in names.items() if value is given), None)
        return discovery.signature_by(self.model, given, label)

    def _from_uri(self) -> dict[str, Any]:
        if self.artifact_uri is None:
            raise InvalidRequest("A Model needs a model or an artifact_uri.", subject=self.name)
        if self.artifact_uri.startswith("kale-local://"):
            return self._send_uri(self.artifact_uri, self.model_type, self.name or "model")
        uri = urlsplit(self.artifact_uri)
        if uri.scheme not in ("", "file"):
            raise InvalidRequest(
                f"The artifact_uri {self.artifact_uri} is not a path on this machine.",
                subject=self.artifact_uri,
                hint="Give a file or a folder, as a path or a file:// URI.",
            )
        path = Path(unquote(uri.path) if uri.scheme else self.artifact_uri).expanduser().absolute()
        if not path.exists():
            raise InvalidRequest(f"There is nothing at the artifact_uri {path}.", subject=str(path))
        framework = self.model_type or _framework_of_files(path)
        return self._send_uri(str(path), framework, self.name or kebab(path.stem))

    def _send_uri(self, uri: str, framework: str | None, name: str) -> dict[str, Any]:
        signature = None if self.signature is None else capture.signature_from(self.signature)
        self.signature = signature
        return Submission(
            self._body(
                name=name,
                artifact_uri=uri,
                framework=framework,
                class_name=None,
                signature=None if signature is None else signature.to_json(),
                environment=environment(),
                # Only XGBoost's and LightGBM's own formats are known to run no code.
                executable=framework not in ("xgboost", "lightgbm"),
                properties={},
                inputs=[],
            )
        ).send()

    def _body(self, **what: Any) -> dict[str, Any]:
        return {
            "type": self.TYPE,
            "name": self.name or (None if self.model is None else default_name(self.model)),
            "version": self._version_asked,
            "description": self.description,
            "author": self.author,
            "tags": self.tags,
            "artifact_uri": None,
            **what,
        }

    def _record(self, artifact: dict[str, Any]) -> None:
        self.artifact = artifact
        self.id, self.uri = artifact["id"], artifact["uri"]
        self.name, self.version = artifact["name"], artifact["version"]

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version!r}, id={self.id})"


def default_name(model: Any) -> str:
    """The class's name, of a pipeline its last step's."""
    steps = getattr(model, "steps", None) if type(model).__name__ == "Pipeline" else None
    named = steps[-1][1] if steps else model
    return kebab(type(named).__name__)


def _framework_of_files(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.iterdir())
    found = {_BY_SUFFIX[file.suffix] for file in files if file.suffix in _BY_SUFFIX}
    if len(found) != 1:
        raise UnsupportedModel(
            f"The files at {path} do not say which framework wrote them.",
            subject=str(path),
            hint=f"Give model_type: one of {', '.join(savers.FRAMEWORKS)}.",
        )
    return found.pop()
