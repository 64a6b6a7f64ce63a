"""The fake in a process of its own, for tests that take it for a real cluster: python -m tests.cluster.fake KUBECONFIG

It writes the kubeconfig, says "ready", and ends with its stdin. Services whose names begin with that of a recording get that
recording, all others a healthy one; at their end it says how many namespaces of tests are left.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.cluster.kserve_backend import Predictor

from .cluster import FakeCluster
from .crds import SHARED


def main():
    options = argparse.ArgumentParser(prog="python -m tests.cluster.fake")
    options.add_argument("kubeconfig", type=Path)
    options.add_argument("--kserve", default="0.20", metavar="VERSION")
    options.add_argument("--without-kserve", action="store_true")
    given = options.parse_args()
    with FakeCluster(given.kserve, tls=True) as fake:
        if given.without_kserve:
            fake.script.fail("get", "serving.kserve.io/v1beta1", status=404)
        for recording in sorted((SHARED / "kserve-v0.20.0" / "recordings").glob("*.ndjson")):
            fake.play(recording.stem, name=f"{recording.stem}*")
        predictor = Predictor()
        fake.backs("public-model-predictor", predictor.url)
        fake.kubeconfig(given.kubeconfig)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        predictor.close()
        left = [one["metadata"]["name"] for one in fake.list("namespaces")]
        sys.stdout.write(
            " ".join(sorted(name for name in left if name.startswith("kale-serve-test-"))) + "\n"
        )


if __name__ == "__main__":
    main()
