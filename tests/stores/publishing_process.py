"""Publishes in a process of its own, so that a test can kill it: tells progress on stdout, and its peak memory at the end.

Arguments: a JSON file {kind, settings, folder, digest, view, entries: [[path, source]]}.
"""

import json
import resource
import sys
from pathlib import Path

from kale_serve_lab.serving.kserve.publishing import Entry


def publisher_of(kind, settings):
    if kind == "s3":
        from kale_serve_lab.stores.s3 import S3Publisher
        from kale_serve_lab.stores.s3_client import s3_settings

        return S3Publisher(s3_settings(**settings))
    from kale_serve_lab.stores.pvc import PvcPublisher, pvc_settings

    volume = PvcPublisher(
        pvc_settings(settings["claim"], settings["mounted"], settings.get("prefix")), needs_mount=False
    )
    if kind == "pvc":
        return volume
    from kale_serve_lab.backends.kserve.connect import connect
    from kale_serve_lab.backends.kserve.settings import Settings
    from kale_serve_lab.backends.kserve.snapshots import Component, SnapshotPublisher

    cluster = connect(Settings(kubeconfig=settings["kubeconfig"]))
    return SnapshotPublisher(
        cluster, volume, settings["claim"], Component(cluster.namespace, settings["service"], "predictor")
    )


def main():
    asked = json.loads(Path(sys.argv[1]).read_text())
    publisher = publisher_of(asked["kind"], asked["settings"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    publisher.publish(
        Path(asked["folder"]),
        asked["digest"],
        asked["view"],
        [Entry(path, source) for path, source in asked["entries"]],
        lambda done, total: print("progress", done, total, flush=True),
        lambda: False,
    )
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("published", before, after, flush=True)


if __name__ == "__main__":
    main()
