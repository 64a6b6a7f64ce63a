"""A real prediction on the artifact's own sample: what stands between loaded and ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kale_serve_lab.errors import PredictFailed
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.inference.statuses import of_http
from kale_serve_lab.serving import sample

_MAX_ANSWER = 64 << 20


async def predict(path: Path, model_name: str, signature: Signature | None, protocol: str) -> None:
    """Send the signature's sample to the server at `path`; without a sample, ask only whether it is ready.

    Raises `PredictFailed` with the server's cause, or `OSError` where the connection ends.
    """
    asked = sample.request(model_name, signature, protocol)
    if asked is None:
        status, body = await _exchange(path, "GET", f"/v2/models/{model_name}/ready", b"")
    else:
        status, body = await _exchange(path, "POST", *asked)
    if status != 200:
        cause = of_http(status, body, model_name)
        raise PredictFailed(
            f"{model_name} loads but cannot predict its own sample: {cause.message.removeprefix(f'{model_name}: ')}",
            subject=model_name,
            hint=cause.hint or "Try the model on the sample in the notebook, and serve it again.",
            details={"stage": "predict", "sample": signature.source if signature is not None else None},
        )


async def _exchange(path: Path, method: str, target: str, body: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        status_line = (await reader.readline()).split()
        if len(status_line) < 2 or not status_line[1].isdigit():
            raise ConnectionError("the server closed the connection without an answer")
        length = 0
        while (line := await reader.readline()).strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = min(int(value), _MAX_ANSWER)
        return int(status_line[1]), await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the server closed the connection within its answer") from error
    finally:
        writer.close()
