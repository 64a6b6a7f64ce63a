"""A real prediction through the service's own address: what stands between KServe's Ready and ours."""

from __future__ import annotations

from kale_serve_lab.backends.kserve.way import Ways
from kale_serve_lab.errors import KaleServeError, PredictFailed, UpstreamFailed
from kale_serve_lab.inference.statuses import of_http
from kale_serve_lab.serving import sample
from kale_serve_lab.serving.types import Address, InferenceService

# A first prediction may import what loading did not.
SECONDS = 30.0
_LONGEST = 1 << 20


async def probe(ways: Ways, service: InferenceService) -> tuple[KaleServeError | None, Address | None]:
    """Why it does not predict its sample (None: it does), and the address that answered.

    Without a sample the model's own metadata is asked for. Never raises what a server does.
    """
    name = service.key.name
    asked = sample.request(name, service.signature, service.protocol)
    try:
        if asked is None:
            return await _metadata(ways, service), _working(ways, service)
        tried = await ways.predict_once(service.key, *asked, timeout=SECONDS)
    except KaleServeError as error:
        return error, None
    if tried.error is None or tried.status is None:
        return tried.error, tried.address
    cause = tried.error
    failed = PredictFailed(
        f"{name} is there but cannot predict its own sample: {cause.message.removeprefix(f'{name}: ')}",
        subject=name,
        hint=cause.hint
        or "Look at its log, try the model on the sample in the notebook, and serve it again.",
        details={
            "stage": "predict",
            "status": tried.status,
            "sample": service.signature.source if service.signature is not None else None,
        },
    )
    return failed, tried.address


async def _metadata(ways: Ways, service: InferenceService) -> KaleServeError | None:
    name = service.key.name
    path = f"/v1/models/{name}" if service.protocol == "v1" else f"/v2/models/{name}/ready"
    async with ways.open(service.key, "GET", path, {"accept": "application/json"}, None) as answer:
        found = bytearray()
        async for part in answer.parts():
            found += part
            if len(found) > _LONGEST:
                return UpstreamFailed(f"{name} answers its readiness with more than {_LONGEST} bytes.")
        return None if answer.status == 200 else of_http(answer.status, bytes(found), name)


def _working(ways: Ways, service: InferenceService) -> Address | None:
    return next((one for one in ways.addresses(service.key) if one.works), None)
