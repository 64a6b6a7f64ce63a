"""A real prediction on the artifact's own sample: what stands between loaded and ready."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kale_serve_lab.errors import PredictFailed
from kale_serve_lab.inference import tensors, v1, v2
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.inference.statuses import of_http
from kale_serve_lab.inference.tensors import Tensor

_MAX_ANSWER = 64 << 20


async def predict(path: Path, model_name: str, signature: Signature | None, protocol: str) -> None:
    """Send the signature's sample to the server at `path`; without a sample, ask only whether it is ready.

    Raises `PredictFailed` with the server's cause, or `OSError` where the connection ends.
    """
    if signature is None or not signature.input_example:
        status, body = await _exchange(path, "GET", f"/v2/models/{model_name}/ready", b"")
    elif protocol == "v1":
        body = v1.encode_request(_rows(signature))
        status, body = await _exchange(path, "POST", f"/v1/models/{model_name}:predict", body)
    else:
        header, _, _ = v2.encode_request(_inputs(signature), binary=False)
        status, body = await _exchange(path, "POST", f"/v2/models/{model_name}/infer", header)
    if status != 200:
        cause = of_http(status, body, model_name)
        raise PredictFailed(
            f"{model_name} loads but cannot predict its own sample: {cause.message.removeprefix(f'{model_name}: ')}",
            subject=model_name,
            hint=cause.hint or "Try the model on the sample in the notebook, and serve it again.",
            details={"stage": "predict", "sample": signature.source if signature is not None else None},
        )


def _rows(signature: Signature) -> list[Any]:
    """Rows as any v1 server takes them: what has several inputs is an object by their names."""
    rows = signature.input_example or []
    if signature.layout != "tensors":
        return rows
    names = [spec.name for spec in signature.inputs]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _inputs(signature: Signature) -> list[Tensor]:
    rows = signature.input_example or []
    specs = signature.wire_inputs()
    if signature.layout == "tensor" or signature.one_dtype is not None:
        return [_tensor(specs[0].name, specs[0].dtype, rows)]
    return [_tensor(spec.name, spec.dtype, [row[i] for row in rows]) for i, spec in enumerate(specs)]


def _tensor(name: str, dtype: str, rows: list[Any]) -> Tensor:
    shape: list[int] = []
    inner: Any = rows
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    return tensors.from_json(name, dtype, tuple(shape), rows)


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
