"""Run by an interpreter that has kserve: its REST client over v1 and v2, and its gRPC client, against our server."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

given = json.load(sys.stdin)
ROWS = np.array(given["rows"])
HEADERS = {"Authorization": f"Bearer {given['token']}"}


def request(binary):
    made = InferInput("input-0", list(ROWS.shape), "FP64")
    made.set_data_from_numpy(ROWS, binary_data=binary)
    return InferRequest(model_name="iris", infer_inputs=[made], request_id="r-1")


async def rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    url = given["url"]
    assert await client.is_server_live(url, headers=HEADERS)
    assert await client.is_server_ready(url, headers=HEADERS)
    assert await client.is_model_ready(url, "iris", headers=HEADERS)
    assert not await client.is_model_ready(url, "other", headers=HEADERS)
    for binary in (True, False):
        answer = await client.infer(url, request(binary), "iris", headers=dict(HEADERS))
        # Its REST client keeps no version.
        assert (answer.model_name, answer.id) == ("iris", "r-1")
        assert answer.get_output_by_name("predict").as_numpy().tolist() == given["predict"]
    try:
        await client.infer(url, request(False), "other", headers=dict(HEADERS))
    except httpx.HTTPStatusError as error:
        assert "There is no model 'other'" in str(error) and "{" not in str(error), str(error)
    else:
        raise AssertionError("not refused")
    await client.close()

    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_model_ready(url, "iris", headers=HEADERS) is True
    answer = await client.infer(url, {"instances": given["rows"]}, "iris", headers=HEADERS)
    assert answer == {"predictions": given["predict"]}
    await client.close()


async def grpc():
    client = InferenceGRPCClient(f"unix:{given['grpc']}")
    assert (
        await client.is_server_live()
        and await client.is_server_ready()
        and await client.is_model_ready("iris")
    )
    answer = await client.infer(request(True))
    assert (answer.model_name, answer.model_version, answer.id) == ("iris", "1", "r-1")
    assert answer.get_output_by_name("predict").as_numpy().tolist() == given["predict"]
    await client.close()


asyncio.run(rest())
asyncio.run(grpc())
print("fine")
