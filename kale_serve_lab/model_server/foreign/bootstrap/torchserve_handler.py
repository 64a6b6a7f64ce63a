"""TorchServe's handler: v1 and v2 in the artifact's own signature, by the loaders of the built-in server.

TorchServe's envelopes (`service_envelope=kserve`, `kservev2`) take one protocol a server, know no binary tensors and answer a
v2 tensor flattened, under its input's name. Ours is told the protocol by the end of the request's path.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import KaleServeError, PredictFailed
from kale_serve_lab.inference import v2
from kale_serve_lab.model_server.foreign import own_model

_log = logging.getLogger("kale_serve_lab.model_server")


class Handler:
    """The only class here, which is how TorchServe finds it. One request a batch."""

    def initialize(self, context: Any) -> None:  # noqa: ARG002 (TorchServe's own)
        """Load the model; where that fails end the server, which would otherwise try again for ever."""
        # Two lines a request otherwise.
        logging.getLogger().setLevel(logging.WARNING)
        try:
            self._answers = own_model.load(Path(os.environ["KALE_SERVE_WORK"]))
        except BaseException:
            os.kill(os.getppid(), signal.SIGTERM)
            raise

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """The one request's answer; what is wrong with it is told as the built-in server tells it."""
        given = data[0]
        try:
            headers, answer = self._answer(given, context)
            status = 200
        except KaleServeError as error:
            headers, answer, status = {}, json.dumps(error.to_json()).encode(), error.http_status
        except Exception as error:
            _log.exception("The request could not be answered.")
            failed = PredictFailed(f"The request could not be answered: {type(error).__name__}: {error}")
            headers, answer, status = {}, json.dumps(failed.to_json()).encode(), failed.http_status
        context.set_response_status(status, idx=0)
        context.set_response_content_type(0, headers.pop("Content-Type", "application/json"))
        for name, value in headers.items():
            context.set_response_header(0, name, value)
        return [answer]

    def _answer(self, given: dict[str, Any], context: Any) -> tuple[dict[str, str], bytes]:
        sent = {name.lower(): value for name, value in context.get_all_request_header(0).items()}
        protocol = sent.get("url_path")
        if protocol == "ready":
            return {}, b'{"ready": true}'
        body = given.get("body", b"")
        if protocol == "v1":
            answered = self._answers.answer_v1(body)
        else:
            answered = self._answers.answer_v2(body, sent.get(v2.LENGTH_HEADER.lower()))
        return dict(answered.headers), b"".join(answered.buffers)
