"""Coming by a connection to the cluster: what is found out once, tried again while nothing answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from kale_serve_lab.backends.kserve import features_read
from kale_serve_lab.backends.kserve.access import Checked, Rights, rights_of
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.connect import connect
from kale_serve_lab.backends.kserve.features_read import Installed
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.errors import KaleServeError

log = logging.getLogger("kale_serve_lab.backends.kserve")
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(frozen=True)
class Connected:
    """A cluster, and what was found out of it; `rights` is None where it does not say."""

    cluster: Cluster
    installed: Installed
    rights: Rights
    checked: tuple[Checked, ...]


def open_cluster(settings: Settings) -> Cluster:
    """A connection; see `connect`."""
    return connect(settings)


def look(cluster: Cluster, settings: Settings) -> Connected:
    """Ask for KServe's version and for our rights. Raises `ClusterUnavailable`, `Unauthorized`, `NotFound`."""
    installed = features_read.read(cluster, settings)
    rights = Rights(cluster, rights_of(settings.store, tokens=settings.audience is not None))
    return Connected(cluster, installed, rights, rights.checked(cluster.namespace))


async def until_found(
    settings: Settings,
    opened: Callable[[Cluster], None],
    failed: Callable[[KaleServeError], None],
) -> Connected:
    """Try until it is there. `opened` comes once there is something to ask by, `failed` with each new reason."""
    cluster: Cluster | None = None
    tries = 0
    try:
        while True:
            try:
                if cluster is None:
                    cluster = await asyncio.to_thread(open_cluster, settings)
                    opened(cluster)
                return await asyncio.to_thread(look, cluster, settings)
            except KaleServeError as error:
                log.warning("The cluster cannot be used: %s", error.message)
                failed(error)
            await asyncio.sleep(WAITS[min(tries, len(WAITS) - 1)])
            tries += 1
    except BaseException:
        if cluster is not None:
            cluster.close()
        raise
