"""Start MLServer as `mlserver start FOLDER` does, but on Unix sockets: FOLDER HTTP_SOCKET GRPC_SOCKET.

MLServer's settings know only a host and ports, which every user of the machine could reach.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kale_serve_grpc import listen_on
from kale_serve_table import Table
from mlserver.cli.serve import load_settings
from mlserver.codecs import PandasCodec, RequestCodec, register_request_codec
from mlserver.codecs.utils import get_decoded_or_raw
from mlserver.errors import InferenceError
from mlserver.rest import RESTServer
from mlserver.server import MLServer
from mlserver.types import InferenceRequest
from mlserver.utils import install_uvloop_event_loop

FOLDER, HTTP_SOCKET, GRPC_SOCKET = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
TABLE = Table.read(FOLDER)


class TableCodec(RequestCodec):
    """A table in either of the wire's two forms: MLServer's own codecs know one form each."""

    ContentType = "kale-serve-table"

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        """Answers are encoded by MLServer's own codecs."""
        return False

    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        """A DataFrame where the model was fitted on one, else an array."""
        try:
            return TABLE.of_tensors([(found.name, found.shape, _values(found)) for found in request.inputs])
        except (ValueError, TypeError, OverflowError) as error:
            raise InferenceError(str(error)) from error


def _values(found: Any) -> np.ndarray:
    data = get_decoded_or_raw(found)
    data = getattr(data, "root", data)
    if found.datatype == "BYTES":
        return np.asarray(data, dtype=object)
    dtype = "bool" if found.datatype == "BOOL" else found.datatype.lower().replace("fp", "float")
    # A missing number is null in JSON, and None cannot become a number of 32 bits at once.
    return np.array(data, dtype="float64" if dtype.startswith("float") else dtype).astype(dtype)


def _listen_on_sockets() -> None:
    configured = RESTServer._get_config

    def on_a_socket(self: RESTServer) -> Any:
        config = configured(self)
        config.uds = HTTP_SOCKET
        return config

    RESTServer._get_config = on_a_socket
    listen_on(GRPC_SOCKET)


async def main() -> None:
    """Until a signal ends it, or the model cannot be loaded."""
    settings, models = await load_settings(str(FOLDER))
    await MLServer(settings).start(models)


if TABLE is not None:
    register_request_codec(TableCodec)
    # A client's own word for it wins over the model's, and MLServer takes gRPC's texts for bytes.
    PandasCodec.decode_request = TableCodec.decode_request
_listen_on_sockets()
install_uvloop_event_loop()
asyncio.run(main())
