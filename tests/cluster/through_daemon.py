"""A daemon that serves on a cluster, asked as the panel asks: waiting for what it says, and what to send it."""

from __future__ import annotations

import contextlib
import json
import time

ISVC = "inferenceservices"


def configure(home, cluster_kubeconfig, mounted, claim, **more):
    """Write cluster.json, all at once; models go to a mounted volume."""
    store = {"kind": "pvc", "claim": claim, "mounted": str(mounted), "prefix": "kale"}
    found = {"kubeconfig": str(cluster_kubeconfig), "store": store, "address": "api-server"} | more
    folder = home / "data"
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / "cluster.draft"
    draft.write_text(json.dumps(found))
    draft.replace(folder / "cluster.json")


def target(one, name="kserve"):
    return next(item for item in one.call("GET", "/api/targets").json["items"] if item["name"] == name)


def until(holds, seconds=60):
    """The daemon tells of no event when its cluster is found, so it is asked."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def available(one):
    return until(lambda: target(one)["available"])


def follow(one, name, holds, where="kserve", seconds=60, states=None):
    """The service as soon as `holds(service)`, by the events; `states` gets each state that it was seen in."""
    seq = one.call("GET", "/api/services").json["seq"]
    ends = time.monotonic() + seconds
    with one.connect() as listener:
        listener.request("GET", f"/api/events?since={seq}")
        with contextlib.closing(listener.getresponse()) as response:
            while True:
                seen = one.call("GET", f"/api/services/{name}?target={where}").json
                if states is not None and "state" in seen:
                    states.append(seen["state"])
                if holds(seen):
                    return seen
                assert time.monotonic() < ends, (seen.get("sentence"), seen.get("error"), seen)
                response.readline()


def ready(revision):
    return lambda seen: seen.get("ready_revision") == revision


def serve(one, **body):
    answer = one.call("POST", "/api/services", {"model": "iris", "target": "kserve"} | body)
    assert answer.status == 202, answer.body
    return answer.json
