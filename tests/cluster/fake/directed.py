"""The fake in a process of its own, directed line by line, for browser tests: python -m tests.cluster.fake.directed FOLDER

It writes FOLDER/kubeconfig, puts the claim `models` into the namespace `default`, says {"ready": …} and then does what each
line of its stdin asks: {"do": "edit", "with": ["inferenceservices", "iris", {…}]}. Each is answered by a line: {"done": …} or
{"failed": text}. `do` is a method of FakeCluster, of its `controller`, `script` or `logs` ("script.fail"), or one of:

    answers NAME      a real model server stands behind NAME's predictor, with the files that the cluster would mount
    logs POD LINES    what a container has said: POD is "pod/container", a pattern

It ends with its stdin, and everything that it started with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from tests.cluster.serving_containers import Container

from .cluster import FakeCluster

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models", "namespace": "default"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
}


class Director:
    """What the lines ask for."""

    def __init__(self, fake, folder, mounted, ended):
        self.fake, self._folder, self._mounted, self._ended = fake, folder, mounted, ended

    def do(self, name, /, *given, **named):
        if name in ("answers", "logs"):
            return getattr(self, name)(*given, **named)
        method = self.fake
        for part in name.split("."):
            method = getattr(method, part)
        return method(*given, **named)

    def logs(self, pod, lines):
        self.fake.logs[pod] = lines

    def answers(self, name):
        live = self.fake.wait_for(lambda: self.fake.get("inferenceservices", name))
        uri = live["spec"]["predictor"]["model"]["storageUri"]
        served = self._folder / "served" / name
        served.mkdir(parents=True, exist_ok=True)
        for path in (self._mounted / uri.removeprefix("pvc://models/")).iterdir():
            (served / path.name).write_bytes(path.read_bytes())
        framework = live["spec"]["predictor"]["model"]["modelFormat"]["name"]
        (served / "kale.json").write_text(json.dumps({"framework": framework}))
        container = Container(self._folder, served, name=name)
        self._ended.callback(container.close)
        self.fake.backs(f"{name}-predictor", container.wait_until_open().url)


def main():
    options = argparse.ArgumentParser(prog="python -m tests.cluster.fake.directed")
    options.add_argument("folder", type=Path)
    options.add_argument("--mounted", type=Path, required=True, help="where the claim's volume lies here")
    options.add_argument("--kserve", default="0.20", metavar="VERSION")
    given = options.parse_args()
    with FakeCluster(given.kserve, tls=True) as fake, contextlib.ExitStack() as ended:
        fake.put(CLAIM)
        director = Director(fake, given.folder, given.mounted, ended)
        say({"ready": str(fake.kubeconfig(given.folder / "kubeconfig"))})
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                done = director.do(asked["do"], *asked.get("with", ()), **asked.get("by", {}))
                say({"done": done if isinstance(done, (dict, list, str, int, type(None))) else None})
            except Exception as error:
                say({"failed": f"{type(error).__name__}: {error}"})


def say(what):
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
