"""The controller's part: recordings of a real one, played onto the InferenceServices that are made here.

    fake.play("missing-image")                 # every InferenceService that is created or changed from now on gets it
    fake.play("ready", name="iris")            # the one of this name; patterns too; the last call that fits counts
    fake.play("canary-standard", steps=True)   # its parts one by one: at the creation, then at each change of the object

Without `steps` all parts are played at once, to the recording's last state. Objects that no call fits get what a healthy
cluster does: `ready`, `transformer`, `canary-standard`, the parts of `stop-and-start`, and a rollout on other changes.

As fast as it can, unless the test holds the clock: `controller.hold()`, then `controller.advance(seconds)`, at last
`controller.release()`. `controller.settle()` waits until nothing is left to play. `controller.enabled = False`: no controller.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import heapq
import itertools
import secrets
import threading
import time

from . import recordings
from .fieldsets import encode
from .kinds import named
from .store import now

ISVC, PODS, EVENTS = named("inferenceservices"), named("pods"), named("events", "")
OWNED = {"Pod": PODS, "Event": EVENTS}
FINALIZER = "inferenceservice.finalizers"
STOP = "serving.kserve.io/stop"
MODE = "serving.kserve.io/deploymentMode"


@dataclasses.dataclass
class Choice:
    recording: str
    name: str
    namespace: str
    steps: bool


@dataclasses.dataclass
class Player:
    """What one object has been played so far."""

    choice: Choice | None
    recording: str
    uid: str
    part: int = 0
    pods: set[str] = dataclasses.field(default_factory=set)
    run: int = 0


class Controller:
    def __init__(self, store, api):
        self.store = store
        self.api = api
        self.enabled = True
        self._choices: list[Choice] = []
        self._players: dict[tuple[str, str], Player] = {}
        self._runs: dict[tuple[str, str], int] = {}
        self._queue: list[tuple[float, int, object]] = []
        self._order = itertools.count()
        self._clock = 0.0
        self._held = False
        self._busy = False
        self._closing = False
        self._thread: threading.Thread | None = None

    # what a test says

    def play(self, recording, name="*", namespace="*", *, steps=False):
        recordings.load(recording)
        self._choices.append(Choice(recording, name, namespace, steps))

    def hold(self):
        with self.store.lock:
            self._held = True

    def advance(self, seconds):
        """Let the clock go on; answers when all that was due has been done."""
        with self.store.lock:
            self._clock += seconds
            self.store.changed.notify_all()
        self.settle()

    def release(self):
        with self.store.lock:
            self._held = False
            self.store.changed.notify_all()

    def settle(self, seconds=60):
        """Wait until nothing that is due is left."""
        deadline = time.monotonic() + seconds
        with self.store.lock:
            while self._busy or self._due():
                if time.monotonic() > deadline:
                    raise AssertionError("the player does not come to rest")
                self.store.changed.wait(1.0)

    # its thread

    def start(self):
        self._thread = threading.Thread(target=self._work, name="fake-controller")
        self._thread.start()

    def stop(self):
        with self.store.lock:
            self._closing = True
            self.store.changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _due(self):
        return bool(self._queue) and (not self._held or self._queue[0][0] <= self._clock)

    def _work(self):
        while True:
            with self.store.lock:
                self._busy = False
                self.store.changed.notify_all()
                while not self._closing and not self._due():
                    self.store.changed.wait()
                if self._closing:
                    return
                due, _, action = heapq.heappop(self._queue)
                self._busy = True
                if not self._held:
                    self._clock = max(self._clock, due)
                action()

    def _later(self, delay, action):
        heapq.heappush(self._queue, (self._clock + delay, next(self._order), action))

    def _at_once(self, action):
        heapq.heappush(self._queue, (float("-inf"), next(self._order), action))

    # what happens to objects

    def changed(self, verb, resource, obj, old):
        """Told of every write of a request, under the store's lock."""
        if resource is not ISVC or not self.enabled:
            return
        metadata = obj["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if verb in ("delete", "gone"):
            self._at_once(lambda: self._deleted(key, obj))
        elif key not in self._players or self._players[key].uid != metadata["uid"]:
            self._created(key, obj)
        elif not metadata.get("deletionTimestamp"):
            self._edited(key, obj, old)
        self.store.changed.notify_all()

    def _choice(self, key):
        for choice in reversed(self._choices):
            if fnmatch.fnmatchcase(key[1], choice.name) and fnmatch.fnmatchcase(key[0], choice.namespace):
                return choice
        return None

    def _created(self, key, obj):
        choice = self._choice(key)
        if choice:
            name, parts = choice.recording, 1 if choice.steps else None
        elif (obj["metadata"].get("annotations") or {}).get(STOP) == "true":
            name, parts = "stop-and-start", 2
        elif obj["spec"].get("canary"):
            name, parts = "canary-standard", None
        else:
            name, parts = ("transformer" if "transformer" in obj["spec"] else "ready"), 1
        run = self._runs[key] = self._runs.get(key, -1) + 1
        player = self._players[key] = Player(choice, name, obj["metadata"]["uid"], run=run)
        self._later(0.0, lambda: self._finalizer(key, player.uid))
        for index in range(len(recordings.load(name).parts) if parts is None else parts):
            self._schedule(key, player, name, index)

    def _edited(self, key, obj, old):
        player = self._players[key]
        choice = self._choice(key)
        annotations, before = ((o["metadata"].get("annotations") or {}) for o in (obj, old or obj))
        stops, stopped = annotations.get(STOP) == "true", before.get(STOP) == "true"
        if (
            obj["spec"] == (old or obj)["spec"]
            and stops == stopped
            and _passed_on(obj) == _passed_on(old or obj)
        ):
            return
        if choice is not None and choice.steps and choice is player.choice:
            player.part += 1
            if player.part < len(recordings.load(player.recording).parts):
                self._schedule(key, player, player.recording, player.part)
            return
        self._runs[key] += 1
        player.run = self._runs[key]
        player.choice = choice
        if choice is not None and not stops:
            self._rollout(key, player, choice.recording)
        elif stops != stopped:
            # Whatever its pods were doing: they end.
            player.recording = "ready"
            self._schedule(key, player, "stop-and-start", 1 if stops else 2)
            if stops:
                self._later(60.0, lambda: self._drop_pods(key, set(player.pods), player))
        elif obj["spec"].get("canary") and not old["spec"].get("canary"):
            self._schedule(key, player, "canary-standard", 1)
        else:
            self._rollout(key, player, "transformer" if "transformer" in obj["spec"] else "ready")

    def _rollout(self, key, player, name):
        """New pods beside the old ones, which go when a healthy recording has come to its end."""
        player.recording = name
        leaves = set(player.pods)
        recording = recordings.load(name)
        for index in range(len(recording.parts)):
            self._schedule(key, player, name, index)
        last = [s for part in recording.parts for s in part if s.kind == "InferenceService"][-1]
        ready = any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in (last.object.get("status") or {}).get("conditions", ())
        )
        if ready:
            self._later(120.0, lambda: self._drop_pods(key, leaves, player))

    def _schedule(self, key, player, name, index):
        recording = recordings.load(name)
        part = recording.parts[index]
        if not part:
            return
        first = recording.parts[0][0].t if index == 0 else part[0].t
        base = first if len(recording.parts) == 1 or index == 0 else recording.parts[0][0].t
        base = base if player.choice is None or not player.choice.steps else part[0].t
        live = self.store.get(ISVC, *key)
        canaries = (live["spec"].get("canary") if live else None) or ({},)
        fresh = secrets.token_hex(2) if player.run else ""
        renaming = recordings.Renaming(
            recording, key[1], key[0], canary=canaries[0].get("name", "v2"), fresh=fresh
        )
        run = player.run
        for step in part:
            self._later(step.t - base, lambda step=step: self._step(key, player, run, step, renaming))

    def _mine(self, key, player):
        live = self.store.get(ISVC, *key)
        return live if live is not None and live["metadata"]["uid"] == player.uid else None

    def _step(self, key, player, run, step, renaming):
        live = self._mine(key, player)
        if live is None or live["metadata"].get("deletionTimestamp") or player.run != run:
            return
        if step.kind == "InferenceService":
            status = step.object.get("status")
            if status:
                self._status(key, live, renaming(status), _lag(step.object))
            return
        obj = renaming(step.object)
        resource = OWNED[step.kind]
        name = obj["metadata"]["name"]
        if step.kind == "Pod":
            player.pods.add(name)
        if step.gone:
            player.pods.discard(name)
            self.store.remove(resource, key[0], name)
            return
        there = self.store.get(resource, key[0], name)
        if there is not None:
            kept = {
                k: there["metadata"][k]
                for k in ("uid", "creationTimestamp", "annotations")
                if k in there["metadata"]
            }
            obj = {**obj, "metadata": {**obj["metadata"], **kept}}
        elif step.kind == "Pod":
            told = {**(obj["metadata"].get("annotations") or {}), **_passed_on(live)}
            obj = {**obj, "metadata": {**obj["metadata"], "annotations": told}}
        if step.kind == "Event" and obj["involvedObject"].get("kind") == "InferenceService":
            obj["involvedObject"]["uid"] = player.uid
        self.store.put(resource, obj)

    def _status(self, key, live, status, lag=0):
        metadata, spec = live["metadata"], live["spec"]
        if "observedGeneration" in status:
            status["observedGeneration"] = max(1, metadata.get("generation", 1) - lag)
        mode = (metadata.get("annotations") or {}).get(MODE)
        if mode and "deploymentMode" in status:
            status["deploymentMode"] = mode
        if "canaryStatuses" in status and spec.get("canary"):
            one = status["canaryStatuses"][0]
            status["canaryStatuses"] = [
                {
                    **one,
                    "name": c.get("predictor", {}).get("name", one["name"]),
                    "trafficPercent": c.get("trafficPercent", 0),
                }
                for c in spec["canary"]
            ]
        self._services(key, live, reachable="address" in status)
        self.store.put(ISVC, {**live, "status": status})

    def _services(self, key, live, *, reachable):
        """The Services and Deployments of the components, owned by the InferenceService."""
        namespace, name = key
        names = [
            f"{name}-{part}" for part in ("predictor", "transformer", "explainer") if part in live["spec"]
        ]
        names += [
            f"{name}-{canary['predictor'].get('name', 'v2')}-predictor"
            for canary in live["spec"].get("canary") or ()
            if canary.get("predictor")
        ]
        owner = {
            "apiVersion": ISVC.api_version, "kind": "InferenceService", "name": name, "uid": live["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        for each in names:
            for plural in ("services", "deployments"):
                resource = named(plural)
                there = self.store.get(resource, namespace, each)
                if not reachable and there is not None:
                    self.store.remove(resource, namespace, each)
                elif reachable and there is None:
                    spec = (
                        {"ports": [{"name": each, "port": 80, "targetPort": 8080, "protocol": "TCP"}],
                         "selector": {"app": f"isvc.{each}"}, "type": "ClusterIP"}
                        if plural == "services" else {"replicas": 1, "selector": {"matchLabels": {"app": f"isvc.{each}"}}}
                    )  # fmt: skip
                    self.store.put(resource, {
                        "apiVersion": resource.api_version, "kind": resource.kind,
                        "metadata": {"name": each, "namespace": namespace, "ownerReferences": [owner],
                                     "labels": {"serving.kserve.io/inferenceservice": name}},
                        "spec": spec,
                    })  # fmt: skip

    def _finalizer(self, key, uid):
        live = self.store.get(ISVC, *key)
        if live is None or live["metadata"]["uid"] != uid or live["metadata"].get("deletionTimestamp"):
            return
        metadata = copy.deepcopy(live["metadata"])
        if FINALIZER in metadata.get("finalizers", ()):
            return
        metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
        at = (("f", "metadata"), ("f", "finalizers"))
        metadata.setdefault("managedFields", []).append(
            {
                "apiVersion": ISVC.api_version,
                "fieldsType": "FieldsV1",
                "fieldsV1": encode({at, (*at, ("v", f'"{FINALIZER}"'))}),
                "manager": "kserve-manager",
                "operation": "Update",
                "time": now(),
            }
        )
        self.store.put(ISVC, {**live, "metadata": metadata})

    def _deleted(self, key, obj):
        player = self._players.get(key)
        if player is None or player.uid != obj["metadata"]["uid"]:
            return
        for name in sorted(player.pods):
            pod = self.store.get(PODS, key[0], name)
            if pod is not None:
                metadata = {**pod["metadata"], "deletionTimestamp": now(), "deletionGracePeriodSeconds": 30}
                self.store.put(PODS, {**pod, "metadata": metadata})
        self.api.lift(ISVC, obj, FINALIZER)
        if self._mine(key, player) is None:
            del self._players[key]
        self._drop_pods(key, set(player.pods), player)

    def _drop_pods(self, key, names, player):
        for name in sorted(names):
            self.store.remove(PODS, key[0], name)
            player.pods.discard(name)


def _passed_on(live):
    """The annotations that KServe writes on the pods too: all but its own and kubectl's."""
    told = live["metadata"].get("annotations") or {}
    return {
        k: v for k, v in told.items() if not k.startswith(("serving.kserve.io/", "kubectl.kubernetes.io/"))
    }


def _lag(recorded):
    """How many generations behind KServe was: with a canary in the Standard mode it stays behind for good."""
    observed = recorded["status"].get("observedGeneration")
    return 0 if observed is None else recorded["metadata"]["generation"] - observed
