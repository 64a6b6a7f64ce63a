"""`kale-serve cluster prune`: what lies in the cluster's store and no service uses. Nothing is removed unasked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kale_serve_lab.cli_printing import print_json, table
from kale_serve_lab.errors import ClusterUnavailable, KaleServeError

if TYPE_CHECKING:
    from kale_serve_lab.stores.published import Published

TEXT = "List what lies in the cluster's store and no service uses; with --remove, remove it."


def options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--remove", action="store_true", help="remove what is listed")
    parser.add_argument(
        "--only-namespace",
        action="store_true",
        help="nobody else reads this store: look for services in the own namespace only",
    )


def run(options: argparse.Namespace) -> None:
    """Raises `Forbidden` where it cannot be known what others use."""
    from kale_serve_lab.backends.kserve import settings as kept
    from kale_serve_lab.backends.kserve.connect import connect
    from kale_serve_lab.daemon import publishers

    meant = kept.meant()
    if meant is None:
        raise ClusterUnavailable(
            "No cluster is set.",
            subject="cluster",
            hint="`kale-serve cluster set --context NAME` says which one is meant.",
        )
    cluster = connect(meant)
    try:
        using = [*publishers.services_of(cluster, only_namespace=options.only_namespace), *_own()]
        found = publishers.prunable(meant.store, using)
        freed = 0
        claims: list[str] = []
        if options.remove:
            freed = publishers.prune(meant.store, found)
            claims = publishers.prune_claims(meant.store, cluster)
    finally:
        cluster.close()
    if options.json:
        print_json(
            {
                "items": [{"digest": one.digest, "view": one.view, "size": one.size} for one in found],
                "removed": options.remove,
                "freed": freed,
                "objects": claims,
            }
        )
        return
    _print(found, claims, freed, removed=options.remove)


def _print(found: list[Published], claims: list[str], freed: int, *, removed: bool) -> None:
    if not found and not claims:
        print("Everything in the store is used by a service.")
        return
    if found:
        table(["DIGEST", "VIEW", "FILES", "BYTES"], [_row(one) for one in found])
    for one in claims:
        print(f"removed {one}")
    total = sum(one.size for one in found)
    if removed:
        print(f"Removed: {freed:,} bytes.")
    else:
        print(f"No service uses these {total:,} bytes. `kale-serve cluster prune --remove` removes them.")


def _row(one: Published) -> list[str]:
    return [one.digest[:16], one.view, str(len(one.files)), f"{one.size:,}"]


def _own() -> list[Any]:
    """What the daemon means to serve, also where the cluster has not heard of it yet; nothing where none runs."""
    from kale_serve_lab.client import Client
    from kale_serve_lab.client.start import running

    if running() is None:
        return []
    try:
        return list(Client(start=False).request("GET", "/api/services")["items"])
    except KaleServeError:
        if running() is None:
            return []
        raise
