"""A trained model on its way to the store."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kale_serve_lab.artifacts import (
    capture,
    contents,
    discovery,
    features,
    files,
    savers,
    source,
    tensor_inputs,
)
from kale_serve_lab.artifacts.check import Check, Checked
from kale_serve_lab.artifacts.environment import environment
from kale_serve_lab.artifacts.savers import mlflow, python
from kale_serve_lab.artifacts.submission import Submission, kebab, recorded_as, staging, write_about
from kale_serve_lab.errors import InvalidRequest, UnsupportedModel
from kale_serve_lab.inference.signature import Signature


class Model:
    """A trained model, a function, or any object with `predict`; or with `artifact_uri` (or a path as `model`) the files of one.

    `signature` may be a `Signature`, the training data itself (DataFrame, array, tensor, Dataset; of several inputs a dict of
    arrays by name, or a tuple) or an MLflow signature; without
    one it is found: from the session's datasets, else from the variables that fit the model. `model_type` names the
    framework where it cannot be detected, or another one that the model is to be saved for ("pmml"); `format` the form of its
    file where there are several ("skops"). `submit_artifact()` sets `id`, `uri`, `version` and `signature`.
    """

    TYPE = "kale.Model"

    def __init__(
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
        *,
        format: str | None = None,  # noqa: A002 (what users call it)
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
        self.format = format
        self.id: int | None = None
        self.uri: str | None = None
        self.artifact: dict[str, Any] | None = None
        self.seconds: dict[str, float] = {}
        self._version_asked = version
        self._found = False

    def submit_artifact(self) -> Model:
        """Save, check, store, record and link it; returns itself. The same model again is the same artifact.

        What was saved is loaded back in a fresh process and must answer as the model does. Raises `UnsupportedModel` (not
        fitted, no saver, files that are no model), `SaveFailed`, `InvalidSignature`, `VersionExists` (this version has other
        content), `StoreFull`, or what keeps the daemon from running.
        """
        if isinstance(self.model, str | os.PathLike):
            if self.artifact_uri is not None:
                raise InvalidRequest("The path of a model is given once.", subject=self.name)
            self.artifact_uri, self.model = os.fspath(self.model), None
        if self.model is None:
            self._submit_files()
            return self
        if self.artifact_uri is not None:
            raise InvalidRequest(
                "A Model has either a model or an artifact_uri, not both.", subject=self.name
            )
        self._submit_object(self.model)
        return self

    def _submit_object(self, model: Any, properties: dict[str, Any] | None = None) -> None:
        framework = self._checked(model)
        class_name = getattr(model, "__name__", None) or type(model).__name__
        began = time.perf_counter()
        # It imports the framework while the model is saved, and while a daemon starts.
        with closing(Check(framework)) as checking, staging(self._said(class_name), model) as folder:
            # A signature that was given is part of what is submitted; one that was found is only remembered with it.
            given = self.signature is not None and not self._found
            signature = self._signature(model)
            classes = features.classes(model)
            saved = savers.saver(framework).save(model, folder, signature, self.format)
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
                    environment=environment(saved.packages, source.packages_of(model)),
                    executable=saved.executable,
                    properties={
                        "format": saved.format,
                        "module": type(model).__module__,
                        **(properties or {}),
                    },
                    inputs=[
                        dataset.id
                        for dataset in discovery.training_datasets(model)
                        if dataset.id is not None and recorded_as(dataset.id, dataset.uri)
                    ],
                )
            )
            packaged = time.perf_counter()
            found = checking.run(
                folder, self._said(class_name), class_name, signature, savers.methods(model, framework)
            )
            submission.body["properties"]["checked"] = found.said
            checked = time.perf_counter()
            submission.seconds |= {"package": packaged - began, "check": checked - packaged}
            recorded = submission.send(folder)
        self._found = not given
        self.signature, self.seconds = signature, submission.seconds
        self.model_type = framework
        self._record(recorded)

    def _said(self, class_name: str) -> str:
        return f"{self.name} ({class_name})" if self.name else class_name

    def _checked(self, model: Any) -> str:
        class_name = type(model).__name__
        framework = self.model_type or savers.framework_of(model)
        if framework is None and python.is_function(model):
            framework = "python"
        if framework is None:
            raise UnsupportedModel(
                f"{class_name} (of {type(model).__module__}) is none of the models that can be saved: "
                f"{', '.join(savers.FRAMEWORKS)}. It has no predict method either.",
                subject=class_name,
                hint="Give an object with a predict method, a function, or the files of the model as artifact_uri.",
            )
        saver = savers.saver(framework)
        if not saver.matches(model) and not (framework == "python" and python.is_function(model)):
            raise UnsupportedModel(
                f"{class_name} is no {framework} model.", subject=class_name, hint="Leave model_type away."
            )
        if self.format is not None and self.format not in saver.FORMATS:
            raise UnsupportedModel(
                f"{class_name} cannot be saved as {self.format!r}.",
                subject=class_name,
                hint=f"A {framework} model can be saved as {', '.join(saver.FORMATS)}.",
            )
        problem = saver.problem(model)
        if problem is not None:
            raise UnsupportedModel(
                f"{self.name or 'The model'}: {class_name} {problem}.",
                subject=class_name,
                hint="Call its fit first, then submit."
                if "yet" in problem
                else "Only what predicts can be served.",
            )
        return framework

    def _signature(self, model: Any) -> Signature | None:
        given = self.signature
        if given is None or self._found:
            return discovery.find_signature(
                model,
                discovery.namespace_of_main(),
                discovery.executed_sources(),
            )
        if (isinstance(given, Signature | dict) and not tensor_inputs.is_sample(given)) or (
            hasattr(given, "to_dict") and hasattr(given, "inputs")
        ):
            return capture.signature_from(given)
        names = discovery.namespace_of_main()
        label = next((name for name, value in names.items() if value is given), None)
        return discovery.signature_by(model, given, label)

    def _submit_files(self) -> None:
        if self.artifact_uri is None:
            raise InvalidRequest("A Model needs a model or an artifact_uri.", subject=self.name)
        if self.format is not None:
            raise InvalidRequest("Files have the format that they have.", subject=self.artifact_uri)
        if self.artifact_uri.startswith("kale-local://"):
            self._send_uri(self.artifact_uri)
            return
        path = _path_of(self.artifact_uri)
        began = time.perf_counter()
        found = contents.read(path, self.model_type)
        if found.form == "keras":
            self._submit_keras(path)
            return
        name = self.name or kebab(path.stem)
        with closing(Check(found.framework)) as checking, staging(name) as folder:
            files.copy(found.files, folder)
            said = files.about(found.files)
            known = mlflow.about(folder) if found.framework == "mlflow" else {}
            signature = self._signature_of_files(folder, known)
            class_name = said.get("class_name") or found.class_name
            write_about(
                folder,
                {
                    **said,
                    "framework": found.framework,
                    "format": found.form,
                    **({} if signature is None else {"signature": signature.to_json()}),
                },
            )
            here = environment(modules=_PACKAGES_OF_FILES[found.framework])
            if found.framework == "mlflow":
                here["packages"] |= mlflow.packages_of(folder)
            packaged = time.perf_counter()
            checked = checking.run(folder, name, class_name, signature)
            signature = signature or _read_from(checked)
            submission = Submission(
                self._body(
                    name=name,
                    framework=found.framework,
                    class_name=class_name or checked.class_name,
                    signature=None if signature is None else signature.to_json(),
                    environment=here,
                    executable=found.executable,
                    properties={
                        "format": found.form,
                        "checked": checked.said,
                        **({"original_name": found.original_name} if found.original_name else {}),
                    },
                    inputs=[],
                )
            )
            submission.seconds |= {"package": packaged - began, "check": time.perf_counter() - packaged}
            recorded = submission.send(folder)
        self.signature, self.seconds, self.model_type = signature, submission.seconds, found.framework
        self._record(recorded)

    def _signature_of_files(self, folder: Path, mlmodel: dict[str, Any]) -> Signature | None:
        if self.signature is not None:
            return capture.signature_from(self.signature)
        return mlflow.signature_of(folder, mlmodel) if mlmodel else None

    def _submit_keras(self, path: Path) -> None:
        """A file of Keras's own is what no server loads: its model is saved as a SavedModel."""
        try:
            import keras
        except ImportError as error:
            raise UnsupportedModel(
                f"{path} is a Keras model, which is served as a SavedModel; to make one needs keras, which is not here.",
                subject=str(path),
                hint="Install TensorFlow here, or give the folder that model.export(path) writes.",
            ) from error
        try:
            model = keras.models.load_model(path)
        except Exception as error:
            raise UnsupportedModel(
                f"{path} could not be loaded by Keras: {type(error).__name__}: {error}",
                subject=str(path),
                hint="Load it in the notebook with what it needs, and submit the model itself.",
            ) from error
        self.name = self.name or kebab(path.stem)
        self._submit_object(model, {"original_name": path.name})

    def _send_uri(self, uri: str) -> None:
        signature = None if self.signature is None else capture.signature_from(self.signature)
        self.signature = signature
        self._record(
            Submission(
                self._body(
                    name=self.name or "model",
                    artifact_uri=uri,
                    framework=self.model_type,
                    class_name=None,
                    signature=None if signature is None else signature.to_json(),
                    environment=environment(),
                    # Only XGBoost's and LightGBM's own formats are known to run no code.
                    executable=self.model_type not in ("xgboost", "lightgbm"),
                    properties={},
                    inputs=[],
                )
            ).send()
        )

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
    return kebab(getattr(named, "__name__", None) or type(named).__name__)


def _read_from(checked: Checked) -> Signature | None:
    """What the loaded model itself says of its input."""
    if checked.declared is not None or checked.expects is None:
        return checked.declared
    return capture.from_columns(*checked.expects)


def _path_of(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise InvalidRequest(
            f"The artifact_uri {uri} is not a path on this machine.",
            subject=uri,
            hint="Give a file or a folder, as a path or a file:// URI.",
        )
    path = Path(unquote(parts.path) if parts.scheme else uri).expanduser().absolute()
    if not path.exists():
        raise InvalidRequest(
            f"There is nothing at the artifact_uri {path}.", subject=str(path), hint="Is the path right?"
        )
    return path


# Nobody says what given files were saved with; these serve them.
_PACKAGES_OF_FILES: dict[str, tuple[str, ...]] = {
    "sklearn": ("sklearn", "joblib"),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "pytorch": ("torch",),
    "tensorflow": ("tensorflow",),
    "onnx": ("onnx", "onnxruntime"),
    "pmml": ("jpmml_evaluator",),
    "mlflow": ("mlflow",),
    "python": ("cloudpickle",),
}
