"""Start MLServer as `mlserver start FOLDER` does, but on Unix sockets: FOLDER HTTP_SOCKET GRPC_SOCKET.

MLServer's settings know only a host and ports, which every user of the machine could reach.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from grpc import aio
from mlserver.cli.serve import load_settings
from mlserver.codecs import RequestCodec, register_request_codec
from mlserver.codecs.utils import get_decoded_or_raw
from mlserver.rest import RESTServer
from mlserver.server import MLServer
from mlserver.types import InferenceRequest
from mlserver.utils import install_uvloop_event_loop

FOLDER, HTTP_SOCKET, GRPC_SOCKET = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


class Table(RequestCodec):  # type: ignore[misc]
    """A table from one tensor of all columns, or from one tensor a column: MLServer's own codecs know one way each."""

    ContentType = "kale-serve-table"

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        """Answers are encoded by MLServer's own codecs."""
        return False

    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        """A DataFrame where the model was fitted on named columns, else an array."""
        about = json.loads((FOLDER / "table.json").read_bytes())
        names = about["names"]
        first = request.inputs[0]
        if len(request.inputs) == 1 and (len(first.shape) > 1 and first.shape[1] == len(names)):
            array = _array(first).reshape(first.shape)
            return pd.DataFrame(array, columns=names) if about["named"] else array
        given = {found.name: _array(found).reshape(found.shape[0]) for found in request.inputs}
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(f"The request has no input {missing[0]!r}; the model takes {', '.join(names)}.")
        if about["named"]:
            return pd.DataFrame({name: given[name] for name in names})
        return np.column_stack([given[name] for name in names])


def _array(found: Any) -> np.ndarray:
    data = get_decoded_or_raw(found)
    data = getattr(data, "root", data)
    if found.datatype == "BYTES":
        texts = [
            item.decode() if isinstance(item, bytes) else item
            for item in np.asarray(data, dtype=object).ravel()
        ]
        return np.array(texts, dtype=object)
    dtype = {"BOOL": "bool"}.get(found.datatype) or found.datatype.lower().replace("fp", "float")
    # A missing number is null in JSON.
    return np.array(data, dtype=None if dtype.startswith("float") else dtype).astype(dtype)


register_request_codec(Table)


def _listen_on_sockets() -> None:
    configured = RESTServer._get_config

    def on_a_socket(self: RESTServer) -> Any:
        config = configured(self)
        config.uds = HTTP_SOCKET
        return config

    RESTServer._get_config = on_a_socket
    add = aio.Server.add_insecure_port
    aio.Server.add_insecure_port = lambda self, _: add(self, f"unix:{GRPC_SOCKET}")


async def main() -> None:
    """Until a signal ends it, or the model cannot be loaded."""
    settings, models = await load_settings(str(FOLDER))
    await MLServer(settings).start(models)


_listen_on_sockets()
install_uvloop_event_loop()
asyncio.run(main())
