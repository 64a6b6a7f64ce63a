"""Run by an interpreter that has mlserver: its types read our answers, and write requests that we read."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
from mlserver import types
from mlserver.codecs import NumpyRequestCodec, PandasCodec

given = json.load(sys.stdin)
HEADERS = {"Authorization": f"Bearer {given['token']}", "Content-Type": "application/json"}


def ask(url, body=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, HEADERS)) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()


def infer(base, model, request):
    body = request.model_dump_json(exclude_none=True).encode()
    return types.InferenceResponse.model_validate_json(ask(f"{base}/v2/models/{model}/infer", body))


types.MetadataServerResponse.model_validate_json(ask(given["url"] + "/v2"))
described = types.MetadataModelResponse.model_validate_json(ask(given["url"] + "/v2/models/iris"))
assert [(item.name, item.datatype, item.shape) for item in described.inputs] == [("input-0", "FP64", [-1, 4])]

request = NumpyRequestCodec.encode_request(np.array(given["rows"]))
request.id = "r-1"
answer = infer(given["url"], "iris", request)
assert (answer.model_name, answer.model_version, answer.id) == ("iris", "1", "r-1")
assert answer.outputs[0].datatype == "INT64" and list(answer.outputs[0].data) == given["predict"]
assert NumpyRequestCodec.decode_response(answer).tolist() == given["predict"]

people = given["people"]
# Its codec does not know pandas' own texts.
frame = pd.DataFrame(people["columns"]).astype({"city": object})
answer = infer(people["url"], "people", PandasCodec.encode_request(frame, use_bytes=False))
assert list(answer.outputs[0].data) == people["predict"]

refused = types.InferenceErrorResponse.model_validate_json(ask(given["url"] + "/v2/models/iris/infer", b"{}"))
assert refused.error and not refused.error.startswith("{"), refused
print("fine")
