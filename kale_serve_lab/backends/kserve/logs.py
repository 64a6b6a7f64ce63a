"""The log of a service: that of its newest pod, as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from kale_serve_lab.backends.kserve import pod_logs
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.pod_logs import Followed, Source
from kale_serve_lab.serving.kserve import marks, pods

SERVER = "kserve-container"


def sources(there: Iterable[Mapping[str, Any]], component: str, revision: int | None) -> list[Source]:
    """The servers of the component's newest pods; with `revision`, of the pods of that one."""
    fitting = [
        pod
        for pod in there
        if ((pod.get("metadata") or {}).get("labels") or {}).get("component") == component
    ]
    if revision is not None:
        fitting = [pod for pod in fitting if marks.revision_of(pod) in {0, revision}]
    found = []
    for pod in pods.newest(fitting):
        names = [str(one.get("name")) for one in (pod.get("spec") or {}).get("containers") or ()]
        server = SERVER if SERVER in names else next(iter(names), SERVER)
        found.append(Source(str(pod["metadata"]["name"]), server))
    return found


async def read(
    cluster: Cluster, namespace: str, asked: Sequence[Source], *, tail: int, follow: bool
) -> AsyncIterator[str]:
    """The last `tail` lines, and with `follow` what is written until the containers end. Raises our errors."""
    if not follow:
        for source in asked:
            lines = await asyncio.to_thread(pod_logs.tail, cluster, namespace, source, tail)
            if lines:
                yield "\n".join(lines) + "\n"
        return
    followed = await asyncio.to_thread(Followed, cluster, namespace, asked, tail)
    lines_of = iter(followed)
    try:
        while (piece := await asyncio.to_thread(next, lines_of, None)) is not None:
            yield piece[1] + "\n"
    finally:
        await asyncio.shield(asyncio.to_thread(followed.close))
